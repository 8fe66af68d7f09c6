"""The bodies that the door reads: one module a format, which says its sources under `SOURCES`."""
