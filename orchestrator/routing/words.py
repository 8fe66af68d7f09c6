"""How moments, durations and counts stand in a sentence. Nothing is decided by them."""

from datetime import datetime, timedelta

from .durations import MICROSECOND, format_duration

_SECOND = timedelta(seconds=1)


def span(duration: timedelta | None) -> str:
    """A duration of a policy, exactly as it is written there."""
    return "not set" if duration is None else format_duration(duration)


def spoken(duration: timedelta) -> str:
    """A duration that was measured, as a person would say it: `340ms`, `41s`, `5m12s`, `3h05m`, `2d04h`."""
    if MICROSECOND <= duration < _SECOND:
        return f"{duration // timedelta(milliseconds=1)}ms"
    seconds = max(duration // _SECOND, 0)
    minutes, hours, days = seconds // 60, seconds // 3_600, seconds // 86_400
    if not minutes:
        return f"{seconds}s"
    if not hours:
        return f"{minutes}m{seconds % 60:02}s"
    return f"{hours}h{minutes % 60:02}m" if not days else f"{days}d{hours % 24:02}h"


def written(moment: datetime) -> str:
    """A moment as a record has it, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def said(moment: datetime) -> str:
    """A moment to the second, for people."""
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def times(count: int, what: str) -> str:
    """So many of something: `1 failure`, `2 failures`."""
    return f"{count} {what}{'' if count == 1 else 's'}"
