"""Whatever has settled a command, it stands in the log, or audit misses it."""

import pytest
from forged import RR, SIGNALS, WFE, Forged, body, by, newest, start
from msgspec.structs import replace
from story import CELL, minute
from tampered import ELSEWHERE, drifts, found, rewritten

from remediation_orchestrator.events import (
    AnalysisCompleted,
    RemediationCancelled,
    StoredMessage,
    WorkflowCompleted,
    WorkflowRef,
    WorkflowStarted,
    encode,
    subjects,
)
from remediation_orchestrator.events.stored import EXPECTED
from remediation_orchestrator.orchestrator.frames import decision_attributes
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS, Drift

CANCELLED = RemediationCancelled(RR, "ann")


@pytest.fixture
def log() -> Forged:
    """1 start, 2 signal, 3 its frame, 4 its command."""
    log = Forged()
    log.signal(0)
    return log


def without(log: Forged, subject: str) -> list[StoredMessage]:
    """The log with the record of a subject replaced by what anybody may have the server write there."""
    (at,) = (one.sequence - 1 for one in log.messages if one.subject == subject)
    junk = replace(log.messages[at], payload=b'{"stream":"RO_main","seq":7}', headers=None)
    return rewritten([*log.messages[:at], junk, *log.messages[at + 1 :]], lambda _, items: items)


def missed(messages: list[StoredMessage]) -> list[str]:
    """The commands that audit misses; nothing else is wrong but the junk."""
    wrong = [one for one in found(messages) if one.drift is not Drift.JUNK]
    assert {one.drift for one in wrong} <= {Drift.UNANSWERED}
    return [one.message.split()[2] for one in wrong]


@pytest.mark.parametrize("workflow", ["restart", None])
def test_a_command_to_analyse_that_was_taken_is_missed_although_it_was_answered(workflow: str | None) -> None:
    """At once: whoever answers was asked, be the remediation over or not."""
    log = Forged()
    log.signal(0, workflow=None)
    chosen = WorkflowRef(workflow) if workflow else None
    log.fact(0.1, subjects.analysis(CELL, RR), AnalysisCompleted(RR, None, chosen))
    assert missed(log.messages) == []
    assert missed(without(log, f"ro.{CELL}.command.analyze.rr-2")) == ["analyze.rr-2"]


def test_a_command_to_analyse_that_was_taken_is_missed_although_its_time_was_over(log: Forged) -> None:
    """Whoever led has led on for long enough to send it."""
    log.signal(1, "Other", target=ELSEWHERE, workflow=None)
    analysis = f"rr-{newest(log, '.signal.')}"
    log.decide(20)
    log.signal(21, "Later", target=ELSEWHERE)
    assert missed(log.messages) == []
    assert missed(without(log, f"ro.{CELL}.command.analyze.{analysis}")) == [f"analyze.{analysis}"]


def test_a_cancel_that_was_taken_is_missed_although_its_run_has_ended(log: Forged) -> None:
    """Whoever led has led on."""
    run = subjects.execution(CELL, WFE)
    log.fact(0.1, run, WorkflowStarted(WFE))
    log.fact(0.2, subjects.operator(CELL, CANCELLED), CANCELLED)
    log.fact(0.3, run, WorkflowCompleted(WFE))
    log.signal(1, "Other", target=ELSEWHERE)
    log.signal(2, "Later", target=ELSEWHERE)
    assert missed(log.messages) == []
    assert missed(without(log, f"ro.{CELL}.command.cancel.{WFE}")) == [f"cancel.{WFE}"]


def test_a_revocation_that_never_came_is_missed(log: Forged) -> None:
    """Its run is neither begun nor over, although whoever led has led on."""
    log.fact(0.2, subjects.operator(CELL, CANCELLED), CANCELLED)
    log.signal(1, "Other", target=ELSEWHERE)
    assert missed(log.messages) == [f"revoke.{WFE}"]


def test_a_command_that_was_not_sent_any_more_is_not_missed_where_its_run_was_revoked() -> None:
    """Its sender's clock went on while the moments of the log stood still."""
    log = Forged()
    for at in (0, 1, 2):
        log.store(at, SIGNALS, body(name=f"Alert{at}", workflow={"id": "restart"}))
        log.unsent(at)
    assert "workflow.wfe-2" in missed(log.messages)
    log.revoked(6, "wfe-2")
    log.unsent(6)
    assert "workflow.wfe-2" not in missed(log.messages)


def test_a_command_that_was_under_way_when_its_run_was_revoked_is_owed(log: Forged) -> None:
    """Both were sent, and the revocation came first."""
    (command,) = (one for one in log.messages if one.subject == f"ro.{CELL}.command.workflow.{WFE}")
    late = Forged()
    late.store(0, SIGNALS, body(workflow={"id": "restart"}))
    late.unsent(0)
    late.store(0.1, SIGNALS, body(workflow={"id": "restart"}, status="resolved"))
    late.unsent(0.1)
    late.revoked(0.1, WFE)
    late.signal(0.2, "Other", target=ELSEWHERE)
    late.store(0.3, command.subject, command.payload, late.expecting(command.subject))
    assert found(late.messages) == []


@pytest.mark.parametrize("taken_over", [True, False])
def test_a_command_that_was_not_sent_before_another_took_over_is_not_missed(taken_over: bool) -> None:
    """What was over by then is nobody's to send."""
    log = Forged()
    log.store(0, SIGNALS, body(workflow=None))
    log.unsent(0)
    if taken_over:
        log.forge(0.5, "o1", start("o1"))
    log.store(0.5, SIGNALS, body(workflow=None, status="resolved"))
    log.decide(0.5)
    log.signal(1, "Other", target=ELSEWHERE)
    assert missed(log.messages) == ([] if taken_over else ["analyze.rr-2"])


def test_a_command_that_was_over_in_its_own_round_is_not_missed() -> None:
    """It was owed behind no frame."""
    log = Forged()
    log.store(0, SIGNALS, body(workflow=None))
    log.store(0, SIGNALS, body(workflow=None, status="resolved"))
    log.decide(0)
    log.signal(1, "Other", target=ELSEWHERE)
    assert missed(log.messages) == []


@pytest.mark.parametrize("covered", [True, False])
def test_a_start_of_what_nobody_was_asked_to_run_is_shown_and_no_fault_of_the_log(covered: bool) -> None:
    """A run that was over in the round that decided it has no command; begun all the same it is cancelled."""
    log = Forged()
    log.store(0, SIGNALS, body(workflow={"id": "restart"}))
    log.store(0, SIGNALS, body(workflow={"id": "restart"}, status="resolved"))
    log.decide(0)
    started = encode(WorkflowStarted(WFE), decision_attributes(start("o1"), by("o1"), minute(0)))
    at = log.store(0.1, subjects.execution(CELL, WFE), started, {EXPECTED: "0"})
    if covered:
        log.signal(1, "Other", target=ELSEWHERE)
        assert [one for one in log.messages if one.subject == f"ro.{CELL}.command.cancel.{WFE}"]
    assert drifts(log.messages) == [(at, Drift.STRAY)]
    assert Drift.STRAY in HARMLESS
