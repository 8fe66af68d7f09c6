"""Records that cannot be taken, and what of a record is never read or copied."""

import msgspec
import pytest
from story import CELL, CHECKOUT, Story, minute

from remediation_orchestrator.events import (
    Duplicate,
    Proceed,
    Reason,
    RemediationId,
    SignalReceived,
    SignalRejected,
    Skip,
    Target,
    subjects,
)
from remediation_orchestrator.events.stored import MESSAGE_BYTES_MAX

RR = RemediationId("rr-1")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not json",
        b"{}",
        b"5",
        b"null",
        b'{"name":"x"}',
        b'{"name":"x","target":{}}',
        b'{"name":"","target":{"name":"y"}}',
        b'{"name":"x","target":{"name":"y"},"status":"maybe"}',
        b'{"specversion":"1.0","type":"NoSuchThing.v1","data":{}}',
        b'{"name":"x","target":{"name":"y"},"junk":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b"[" * 50_000,
    ],
)
@pytest.mark.parametrize("subject", ["signal.x", "execution.wfe-1", "analysis.rr-1", "operator.clear.ann"])
def test_a_record_that_cannot_be_decoded_is_answered_and_stops_nothing(payload: bytes, subject: str) -> None:
    """It names the position, and the next signal is judged."""
    story = Story()
    at = story.publish(0, f"ro.main.{subject}", payload)
    (answer,) = story.decisions
    assert isinstance(answer, SignalRejected)
    assert (answer.position, answer.reason) == (at, "Undecodable")
    assert answer.message
    story.signal(1)
    assert story.verdict == Proceed()


def test_a_fact_that_is_too_large_is_answered() -> None:
    """With a reason of its own."""
    story = Story()
    story.publish(0, subjects.signal(CELL, "x"), b"[" + b" " * MESSAGE_BYTES_MAX + b"]")
    (answer,) = story.decisions
    assert isinstance(answer, SignalRejected)
    assert answer.reason == "TooLarge"


def test_a_bare_array_is_judged_element_by_element() -> None:
    """The bad one is answered at its own place, the others have their verdicts."""
    story = Story()
    story.several(0, story.body("A", target=Target("a")), 5, story.body("B", target=Target("b")))
    assert [one.position for one in story.decisions if isinstance(one, SignalRejected)] == ["1-1"]
    assert story.verdicts == [("1-0", 1, Proceed()), ("1-2", 1, Proceed())]


def test_a_duplicate_within_one_array_is_of_the_first() -> None:
    """Judged one after the other."""
    story = Story()
    story.several(0, story.body(), story.body())
    assert story.verdict == Duplicate(RemediationId("rr-1-0"))


def test_labels_and_annotations_are_never_copied_into_decisions() -> None:
    """So whatever follows from a fact fits in a message."""
    story = Story()
    story.several(0, {**story.body(), "labels": {"secret": "x" * 1_000}, "annotations": {"a": "x" * 1_000}})
    fields = set(SignalReceived.__struct_fields__) - {
        "name",
        "severity",
        "target",
        "fingerprint",
        "resolves",
        "workflow",
    }
    assert not fields & set(type(story.last).__struct_fields__)
    assert "secret" not in str(story.decisions)


def test_only_the_brokers_stamps_are_compared() -> None:
    """What a source says of its own clock delays and ages nothing."""
    story = Story()
    story.several(0, {**story.body(resolves=False), "starts_at": "1999-01-01T00:00:00Z"})
    assert story.verdict == Proceed()
    assert story.last.situation.occurred_at == minute(0)


def test_a_stale_signal_is_one_that_waited_for_its_verdict_too_long() -> None:
    """The service was down: at exactly the age it may still run."""
    for late, expected in ((15.0, Proceed()), (15.001, Skip(Reason.STALE_SIGNAL))):
        story = Story()
        story.together(late, lambda story=story: story.signal(0, target=CHECKOUT, resolves=False))  # type: ignore[misc]
        assert story.verdict == expected


def test_parameters_that_no_frame_would_hold_are_answered() -> None:
    """They go into a decision and its command, and numbers may grow as they are written again."""
    story = Story()
    numbers = b"[" + b",".join([b"1e15"] * 12_000) + b"]"
    body = b'{"name":"A","target":{"name":"a"},"workflow":{"id":"w","parameters":{"n":' + numbers + b"}}}"
    story.publish(0, subjects.signal(CELL, "test"), body)
    assert [type(one).__name__ for one in story.decisions] == ["SignalRejected"]
    assert story.decisions[0].message.startswith("`workflow.parameters`: ")  # type: ignore[union-attr]


def test_a_complaint_does_not_repeat_all_that_it_complains_of() -> None:
    """The record itself is in the log."""
    story = Story()
    body = b'{"specversion":"1.0","type":"' + b"x" * 100_000 + b'","data":{}}'
    story.publish(0, subjects.signal(CELL, "test"), body)
    assert len(story.decisions[0].message) <= 500  # type: ignore[union-attr]


def test_a_duplicate_says_its_reason_on_the_wire() -> None:
    """Whoever reads the log with other tools sees every verdict's reason."""
    verdict = msgspec.to_builtins(Duplicate(RR))
    assert verdict == {"kind": "Duplicate", "of": "rr-1", "reason": "DuplicateInProgress"}
