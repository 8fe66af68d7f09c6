"""Spans and the moment that the core reckons with."""

from datetime import UTC, datetime, timedelta

ZERO = timedelta(0)
EPOCH = datetime.fromtimestamp(0, UTC)
LAST = datetime.max.replace(tzinfo=UTC)
"""The last moment that there is."""


def later(moment: datetime, wait: timedelta) -> datetime:
    """Return a moment so much later, or the last that there is: a record may say a time of any year."""
    try:
        return moment + wait
    except OverflowError:
        return LAST
