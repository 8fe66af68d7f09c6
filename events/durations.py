"""Durations as people write them, wherever they do: `90s`, `5m`, `1h30m`. Exact to the microsecond.

And the ends of time: no sum of a moment and a duration is beyond them."""

import re
from datetime import UTC, datetime, timedelta

ZERO = timedelta(0)
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime.fromtimestamp(0, UTC)
LAST = datetime.max.replace(tzinfo=UTC)
"""The last moment that there is."""
LONGEST = timedelta(days=3_650)

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
    "us": MICROSECOND,
}
# Fifteen digits: as many as the longest duration has in microseconds.
_PART = re.compile(r"([0-9]{1,15})(d|h|ms|us|m|s)")


def parse_duration(text: object) -> timedelta:
    """Read `90s`, `5m`, `1h30m`. Raises ValueError for anything else."""
    parts = _PART.findall(text) if isinstance(text, str) else []
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(
            f"a duration is written as 90s, 5m or 1h30m, not {'null' if text is None else repr(text)}"
        )
    total = sum(int(number) * (_UNITS[unit] // MICROSECOND) for number, unit in parts)
    if total > LONGEST // MICROSECOND:
        raise ValueError(f"{text} is longer than ten years")
    return total * MICROSECOND


def format_duration(duration: timedelta) -> str:
    """Write a duration in the largest unit, up to hours, that divides it: `24h`, `90s`, `1500ms`."""
    if not duration:
        return "0s"
    unit = next(name for name, size in _UNITS.items() if name != "d" and not duration % size)
    return f"{duration // _UNITS[unit]}{unit}"


def later(moment: datetime, wait: timedelta) -> datetime:
    """Return a moment so much later, or the last that there is: a record may say a time of any year."""
    try:
        return moment + wait
    except OverflowError:
        return LAST
