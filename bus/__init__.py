"""The only NATS plumbing: the event log port and its implementations, topology, connection, embedded server."""
