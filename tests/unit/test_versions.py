"""Which of two versions is the newer, and what an unknown type means in a log that a newer one has written."""

import pytest
from newer import AT, ATTRIBUTES, NEWER, frame, unknown

from remediation_orchestrator.events import CellName, Position, SignalRejected, StoredMessage, encode, subjects
from remediation_orchestrator.events.stored import EXPECTED
from remediation_orchestrator.orchestrator.routing.fold import Fold, newer

CELL = CellName("main")
OURS = "0.1.0"
FACT, DECISION = subjects.signal(CELL, "test"), subjects.decision(CELL)


def folded(*messages: tuple[str, bytes]) -> Fold:
    """A fold of these messages."""
    fold = Fold()
    for sequence, (subject, payload) in enumerate(messages, 1):
        fold.take(StoredMessage(sequence, AT, subject, payload, {EXPECTED: "0"}))
    return fold


@pytest.mark.parametrize(
    ("one", "other"),
    [("0.2.0", "0.1.9"), ("0.10.0", "0.9.0"), ("1.0", "0.99.99"), ("0.1.1", "0.1"), ("0.0.1", "test")],
)
def test_the_newer_is_told_by_its_numbers(one: str, other: str) -> None:
    """As numbers, not as text; and never both ways."""
    assert newer(one, other)
    assert not newer(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [("0.1.0", "0.1.0"), ("0.1", "0.1.0"), ("0.2.0rc1", "0.2.0"), ("0.2.0+mine", "0.2"), ("", "x")],
)
def test_what_is_of_one_release_is_not_newer(one: str, other: str) -> None:
    """Nor is what has no number."""
    assert not newer(one, other)
    assert not newer(other, one)


def test_a_decision_of_an_unknown_type_needs_the_version_that_wrote_it() -> None:
    """Whatever that version calls itself."""
    for version in (NEWER, OURS, "test"):
        fold = folded((DECISION, frame(0, unknown("TargetReserved.v1"), version=version)))
        assert fold.needs_another(OURS) == "TargetReserved.v1 at 1-2"


def test_a_fact_that_a_newer_version_took_without_an_answer_needs_that_version() -> None:
    """It knew it: what followed from it, we cannot fold."""
    fold = folded((FACT, unknown("SignalSnoozed.v1")), (DECISION, frame(1)))
    assert fold.needs_another(OURS) == "SignalSnoozed.v1 at 1"
    assert fold.version == NEWER


def test_a_fact_of_an_unknown_type_is_ours_to_answer_where_no_newer_version_took_it() -> None:
    """Not covered by any frame, or covered by one of our own version: so no publisher can stop the service."""
    fact = (FACT, unknown("SignalSnoozed.v1"))
    assert folded((DECISION, frame(0)), fact).needs_another(OURS) is None
    assert folded(fact, (DECISION, frame(1, version=OURS))).needs_another(OURS) is None
    assert folded(fact, (DECISION, frame(1))).needs_another(NEWER) is None


def test_a_fact_that_was_answered_needs_nobody() -> None:
    """The newer version did not know it either; nor does a record that is no event at all."""
    answer = encode(SignalRejected(Position("1"), "Undecodable", "unknown event type"), ATTRIBUTES)
    fold = folded((FACT, unknown("SignalSnoozed.v1")), (DECISION, frame(1, answer)))
    assert fold.needs_another(OURS) is None
    assert folded((FACT, b"no JSON"), (DECISION, frame(1))).needs_another(OURS) is None
