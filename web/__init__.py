"""One bounded HTTP server, for the door and for the health of every service."""
