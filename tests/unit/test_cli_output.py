"""How moments, durations and strangers' words are written."""

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from remediation_orchestrator.cli.support.output import moment, plain
from remediation_orchestrator.cli.support.records import JsonLines
from remediation_orchestrator.orchestrator.routing.words import spoken


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (59.9, "59s"), (60, "1m00s"), (3_599, "59m59s"), (3_600, "1h00m"), (90_000, "1d01h"), (-5, "0s")],
)
def test_a_duration_is_said_in_its_two_largest_units(seconds: float, said: str) -> None:
    """And never less than nothing."""
    assert spoken(timedelta(seconds=seconds)) == said


def test_a_moment_is_utc_to_the_second() -> None:
    """And nothing, where there is none."""
    assert moment(datetime(2026, 11, 21, 10, 0, 0, 999_999, tzinfo=UTC)) == "2026-11-21 10:00:00Z"
    assert moment(None) == ""


@pytest.mark.parametrize("text", ["\x1b[31m", "a\nb", "\x07", "\u202e", "\ud800", "\x9b2J"])
def test_what_could_move_a_terminal_is_written_out(text: str) -> None:
    """Escapes, line ends, direction marks, halves of characters."""
    assert plain(text).isprintable()
    assert plain(text).encode()


def test_words_of_any_language_stay_as_they_are() -> None:
    """They are printable."""
    assert plain("Größe → 東京") == "Größe → 東京"


def test_a_log_line_is_one_object_with_the_fields_that_were_given() -> None:
    """What is no JSON by itself is written as text; an error as its type and message."""
    record = logging.makeLogRecord(
        {"name": "remediation_orchestrator.x", "msg": "decided", "levelno": 20, "levelname": "INFO"}
    )
    record.fingerprint, record.odd = "f", {1, 2}
    record.exc_info = (ValueError, ValueError("a\nb"), None)
    line = JsonLines().format(record)
    said = json.loads(line)
    assert "\n" not in line
    assert (said["event"], said["level"], said["logger"], said["fingerprint"]) == ("decided", "info", "x", "f")
    assert said["error"] == "ValueError: a\nb"


def test_a_record_without_an_error_may_say_so_in_any_way() -> None:
    """Asyncio says False."""
    for nothing in (None, False, (None, None, None)):
        record = logging.makeLogRecord({"name": "asyncio", "msg": "x", "levelno": 40, "levelname": "ERROR"})
        record.exc_info = nothing  # type: ignore[assignment]
        assert "error" not in json.loads(JsonLines().format(record))
