"""What no message may ask of its readers, and what counts nowhere but on its own subject."""

from datetime import UTC, datetime

import msgspec
import pytest

from remediation_orchestrator.events import (
    AnalysisCompleted,
    CancelWorkflow,
    DecisionFrame,
    Decoded,
    ExecutionId,
    PolicyAdopted,
    Position,
    Recorded,
    RemediationCancelled,
    RemediationId,
    StoredMessage,
    Undecodable,
    decode,
    encode,
)
from remediation_orchestrator.events.bounds import ITEMS_MAX
from remediation_orchestrator.events.codec import Attributes, join_frame
from remediation_orchestrator.events.stored import EXPECTED, RECORD_BYTES_MAX

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
SIGNALS = "ro.main.signal.test"
RUN = "ro.main.execution.wfe-1"
AROUND = Attributes(id="1", source="/test", time=NOW)
SMALLEST = msgspec.json.encode({"name": "Crash", "target": {"name": "checkout"}})


def read(payload: bytes, subject: str = SIGNALS) -> list[Decoded]:
    """Decode a message."""
    return decode(StoredMessage(41, NOW, subject, payload, {EXPECTED: "40"}))


def one(payload: bytes, subject: str = SIGNALS) -> object:
    """The one event of a message."""
    (record,) = read(payload, subject)
    assert isinstance(record, Recorded), record
    return record.event


def refusal(payload: bytes, subject: str = SIGNALS) -> Undecodable:
    """Why the one event of a message was refused."""
    (record,) = read(payload, subject)
    assert isinstance(record, Undecodable), record
    return record


@pytest.mark.parametrize("name", ["Nats-Stream", "Nats-Sequence"])
@pytest.mark.parametrize("subject", [SIGNALS, RUN, "ro.main.operator.clear.ann", "ro.main.decision"])
def test_a_copy_is_rejected_whatever_it_says(name: str, subject: str) -> None:
    """The server makes one on any subject, for whoever may read; these headers it cannot leave out."""
    copy = StoredMessage(41, NOW, subject, SMALLEST, {"Nats-Msg-Id": "1", name: "RO_main"})
    (record,) = decode(copy)
    assert isinstance(record, Undecodable)
    assert (record.position, record.reason) == ("41", "Forged")


def test_an_array_of_too_many_elements_is_one_rejection() -> None:
    """At most ten thousand, good or bad: more than the shortest signals that a fact can hold."""
    assert len(read(b"[" + b"1," * (ITEMS_MAX - 1) + b"1]")) < ITEMS_MAX
    over = refusal(b"[" + b"1," * ITEMS_MAX + b"1]")
    assert (over.reason, over.position) == ("TooLarge", "41")
    assert "10,001 elements" in over.message


@pytest.mark.parametrize("subject", ["ro.main.decision", "ro.main.command.workflow.wfe-1"])
def test_no_record_is_larger_than_what_the_orchestrator_writes(subject: str) -> None:
    """Junk may stand there too, and is not read at any length."""
    assert refusal(b" " * (RECORD_BYTES_MAX + 1), subject).reason == "TooLarge"


UNFENCED = {
    "nothing": None,
    "no number": {EXPECTED: "²"},
    "a number without end": {EXPECTED: "1" * 5_000},
    "of another subject": {EXPECTED: "0", f"{EXPECTED}-Subject": "ro.main.signal.x"},
}


@pytest.mark.parametrize("headers", UNFENCED.values(), ids=UNFENCED)
def test_what_whoever_leads_writes_counts_only_where_it_expects_what_stood_before_it(
    headers: dict[str, str] | None,
) -> None:
    """Frames and commands; whoever tells facts may expect nothing."""
    command = encode(CancelWorkflow(ExecutionId("wfe-1"), RemediationId("rr-1"), Position("7")), AROUND)
    frame = join_frame([encode(DecisionFrame(1, 1, "o1", "", NOW), AROUND)])
    for subject, payload in (("ro.main.command.cancel.wfe-1", command), ("ro.main.decision", frame)):
        assert isinstance(one(payload, subject), CancelWorkflow | DecisionFrame)
        (record,) = decode(StoredMessage(41, NOW, subject, payload, headers))
        assert isinstance(record, Undecodable)
        assert (record.position, record.reason) == ("41", "Forged")
    assert isinstance(decode(StoredMessage(41, NOW, SIGNALS, SMALLEST, headers))[0], Recorded)


@pytest.mark.parametrize("headers", UNFENCED.values(), ids=UNFENCED)
def test_what_operators_and_analysers_say_counts_only_where_it_expects_what_stood_before_it(
    headers: dict[str, str] | None,
) -> None:
    """So the server stores none of it again for whoever may read."""
    cancelled = encode(RemediationCancelled(RemediationId("rr-1"), "ann"), AROUND)
    answer = encode(AnalysisCompleted(RemediationId("rr-1")), AROUND)
    for subject, payload in (("ro.main.operator.cancel.ann", cancelled), ("ro.main.analysis.rr-1", answer)):
        assert isinstance(one(payload, subject), RemediationCancelled | AnalysisCompleted)
        (record,) = decode(StoredMessage(41, NOW, subject, payload, headers))
        assert isinstance(record, Undecodable)
        assert (record.position, record.reason) == ("41", "Forged")


def test_an_operators_event_counts_on_its_own_verb_alone() -> None:
    """Who may approve must not adopt a policy by it."""
    adopted = encode(PolicyAdopted({}, by="ann"), AROUND)
    assert isinstance(one(adopted, "ro.main.operator.adopt.ann"), PolicyAdopted)
    wrong = refusal(adopted, "ro.main.operator.approve.ann").message
    assert wrong == "PolicyAdopted.v1 belongs on `operator.adopt.<who>`, not on `operator.approve.ann`"


@pytest.mark.parametrize(
    ("by", "who", "wrong"),
    [
        ("bob", "ann", "`by` is 'bob', and on `operator.cancel.ann` only 'ann' speaks"),
        ("", "ann", "`by` is '', and on `operator.cancel.ann` only 'ann' speaks"),
        ("Ann", "ann", "`by` is 'Ann', and on `operator.cancel.ann` only 'ann' speaks"),
        ("ann", "", "an operator's name is 1 to 64 of letters, digits, _ and -, not ''"),
        ("a.b", "a.b", "an operator's name is 1 to 64 of letters, digits, _ and -, not 'a.b'"),
        ("é", "é", "an operator's name is 1 to 64 of letters, digits, _ and -, not 'é'"),
        ("a" * 65, "a" * 65, f"an operator's name is 1 to 64 of letters, digits, _ and -, not '{'a' * 65}'"),
    ],
)
def test_an_operators_event_counts_as_its_subjects_person_alone(by: str, who: str, wrong: str) -> None:
    """Who may publish as one must not act in the name of another."""
    said = encode(RemediationCancelled(RemediationId("rr-1"), by), AROUND)
    assert refusal(said, f"ro.main.operator.cancel.{who}").message == wrong


def test_an_operators_name_is_as_long_as_a_word_of_a_subject_may_be() -> None:
    """All 64 characters of it."""
    for by in ("a", "Ann_B-2", "a" * 64):
        said = encode(RemediationCancelled(RemediationId("rr-1"), by), AROUND)
        assert isinstance(one(said, f"ro.main.operator.cancel.{by}"), RemediationCancelled)


def test_an_operators_event_that_no_person_says_counts_for_nothing() -> None:
    """A subject of a verb alone is nobody's."""
    nobodys = encode(RemediationCancelled(RemediationId("rr-1")), AROUND)
    assert "1 to 64 of letters" in refusal(nobodys, "ro.main.operator.cancel").message


def test_a_command_counts_on_its_own_subject_alone() -> None:
    """Anything else there is junk."""
    command = encode(CancelWorkflow(ExecutionId("wfe-1"), RemediationId("rr-1"), Position("7")), AROUND)
    assert isinstance(one(command, "ro.main.command.cancel.wfe-1"), CancelWorkflow)
    assert isinstance(refusal(command, "ro.main.command.cancel.wfe-2"), Undecodable)
    assert isinstance(refusal(command, "ro.main.command.workflow.wfe-1"), Undecodable)
