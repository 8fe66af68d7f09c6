"""Times as monitoring systems write them, with the zone that they say, or the one that they are said to be in.

Pure. Routing reads none of them: a time that cannot be read costs no alert, it is left out and said."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime

# Far longer than any time; whatever is longer is none.
TIME_LENGTH_MAX = 100
# Seconds since 1970 come no further than the year 5000; from there on each unit is a thousand times finer.
_FINER_FROM = 1e11
_UNITS = (1, 1e3, 1e6, 1e9)
_DATE = re.compile(r"^(\d{4})[./](\d{2})[./](\d{2})")
_BEFORE_OFFSET = re.compile(r"\s+(?=[+-]\d\d:?\d\d$)")
_UTC = re.compile(r"\s*(UTC|GMT|utc|gmt)$")


def moment_of(value: object, *, zone: tzinfo | None = None, formats: Sequence[str] = ()) -> datetime | None:
    """Read a time, in UTC; None where nothing is said. ValueError says what is wrong with it.

    ISO 8601, also with dots or slashes in its date; RFC 2822; seconds since 1970, or a finer unit; before them
    the `formats` of strptime. `zone` is for what says none itself."""
    if value is None or value == "":
        return None
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ValueError("is no time")
    text = str(value).strip()
    if len(text) > TIME_LENGTH_MAX:
        raise ValueError(f"has {len(text):,} characters, and a time has at most {TIME_LENGTH_MAX}")
    moment = _since_1970(text) or _written(text, formats)
    if moment is None:
        raise ValueError(f"{text!r} is no time")
    if moment.tzinfo is None:
        if zone is None:
            raise ValueError(f"{text!r} has no time zone")
        moment = moment.replace(tzinfo=zone)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is not between the years 1 and 9999 in UTC") from None


def _since_1970(text: str) -> datetime | None:
    try:
        number = float(text)
        unit = next((one for one in _UNITS if number < _FINER_FROM * one), None)
        return datetime.fromtimestamp(number / unit, UTC) if unit else None
    except (ValueError, OverflowError, OSError):
        return None


def _written(text: str, formats: Sequence[str]) -> datetime | None:
    for one in formats:
        try:
            return datetime.strptime(text, one)
        except ValueError:
            continue
    iso = _BEFORE_OFFSET.sub("", _UTC.sub("+00:00", _DATE.sub(r"\1-\2-\3", text)))
    for read, said in ((datetime.fromisoformat, iso), (parsedate_to_datetime, text)):
        try:
            return read(said)
        except (ValueError, OverflowError, IndexError, TypeError):
            continue
    return None
