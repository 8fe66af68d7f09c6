"""Spans and the moment that the core reckons with."""

from datetime import UTC, datetime, timedelta

MICROSECOND = timedelta(microseconds=1)
ZERO = timedelta(0)
EPOCH = datetime.fromtimestamp(0, UTC)
