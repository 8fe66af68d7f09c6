"""What is wrong with a record is told in a person's words; the log keeps the decoder's."""

from datetime import UTC, datetime

import pytest

from remediation_orchestrator.events import StoredMessage, Undecodable, decode
from remediation_orchestrator.events.wording import plainly

# Words of the decoder, which nobody reads who has only sent a signal.
A_PROGRAMS = ("Expected", "`str`", "`int`", "`object`", "`array`", "enum", "codec", "Object missing", " - at ")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"hello", "not JSON: invalid character at byte 0, counted from 0"),
        (b"", "not JSON: it ends too early"),
        (b"[" * 200, "nested deeper than 100 levels"),
        (b'{"name": "x"}', "`target` is missing"),
        (b'{"name": "x", "target": {}}', "`target.name` is missing"),
        (b'{"name": "x", "target": {"name": ""}}', "`target.name` must not be empty"),
        (b'{"name": "x", "target": "y"}', "`target` must be an object with keys, and is text"),
        (b'{"name": 5, "target": {"name": "y"}}', "`name` must be text, and is a whole number"),
        (
            b'{"name": "x", "target": {"name": "y"}, "labels": {"a": 1}}',
            "each of `labels` must be text, and is",
        ),
        (b'{"name": "x", "target": {"name": "y"}, "status": "maybe"}', "`status` cannot be 'maybe'"),
        (
            b'{"name": "x", "target": {"name": "y"}, "resolves": "yes"}',
            "`resolves` must be true or false, and",
        ),
        (
            b'{"name": "x", "target": {"name": "y"}, "workflow": "w"}',
            "`workflow` must be an object with keys",
        ),
        (
            b'{"name": "x", "target": {"name": "y"}, "status": "refused: alerts[0]: \'A\' names no target"}',
            "alerts[0]: 'A' names no target",
        ),
    ],
)
def test_what_is_wrong_with_a_signal_is_told_in_a_persons_words(body: bytes, says: str) -> None:
    """Which value, what it must be, and what it is; what the door has refused, by the door's own words."""
    (found,) = decode(StoredMessage(1, datetime(2026, 11, 21, tzinfo=UTC), "ro.main.signal.me", body))
    assert isinstance(found, Undecodable)
    told = plainly(found.message)
    assert told.startswith(says)
    assert not any(word in told for word in A_PROGRAMS)


@pytest.mark.parametrize(
    ("complaint", "says"),
    [
        ("Expected `int` >= 1 - at `data.attempt`", "`data.attempt` must be at least 1"),
        ("Expected `array` of length <= 1000 - at `data.signals`", "`data.signals` must have at most 1000 items"),
        ("Expected `array` of length 2 - at `data.signals[0]`", "`data.signals[0]` must have 2 items"),
        (
            "Expected `int | null`, got `str` - at `routing.retry_limit`",
            "`routing.retry_limit` must be a whole",
        ),
        ("unknown event type 'Foo.v1'", "unknown event type 'Foo.v1'"),
    ],
)
def test_a_sentence_of_the_decoder_keeps_its_numbers_and_any_other_is_told_as_it_is(
    complaint: str, says: str
) -> None:
    """Nothing that is known is lost."""
    assert plainly(complaint).startswith(says)
