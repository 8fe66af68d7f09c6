"""Durations as people write them: exact, bounded, and never more than a clear line of complaint."""

from datetime import timedelta

import pytest

from remediation_orchestrator.events.durations import (
    LONGEST,
    MICROSECOND,
    format_duration,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        ("1500ms", timedelta(seconds=1.5)),
        ("7us", timedelta(microseconds=7)),
        ("0s", timedelta(0)),
    ],
)
def test_a_duration_is_read_as_it_is_written(text: str, meant: timedelta) -> None:
    """Exact to the microsecond."""
    assert parse_duration(text) == meant


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 m", " 5m", "5m\n", "-5m", "1.5h", "5M", "5w", "5m5", "٣m", "1" * 16 + "us"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    """It says how one is written."""
    with pytest.raises(ValueError, match="90s, 5m or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["999999999999d", "999999999999999h", "3651d", "3650d1us"])
def test_a_duration_beyond_ten_years_is_refused_however_long(text: str) -> None:
    """Even where it would not fit into any clock's arithmetic."""
    with pytest.raises(ValueError, match="longer than ten years"):
        parse_duration(text)


@pytest.mark.parametrize("duration", [LONGEST, LONGEST - MICROSECOND, timedelta(days=12, microseconds=1)])
def test_the_longest_durations_are_read_back_as_they_were_written(duration: timedelta) -> None:
    """Microseconds of ten years have fifteen digits."""
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(days=1), "24h"),
        (timedelta(minutes=90), "90m"),
        (timedelta(seconds=90), "90s"),
        (timedelta(seconds=1.5), "1500ms"),
        (MICROSECOND, "1us"),
        (timedelta(0), "0s"),
    ],
)
def test_a_duration_is_written_in_its_largest_whole_unit(duration: timedelta, text: str) -> None:
    """Days are written as hours."""
    assert format_duration(duration) == text
