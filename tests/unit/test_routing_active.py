"""One remediation at a time for one problem, whatever else is said of it meanwhile."""

import pytest
from story import STEADY, Story, minute

from remediation_orchestrator.events import (
    Block,
    Duplicate,
    PolicyAdopted,
    Proceed,
    Reason,
    RemediationId,
    RetryRequested,
    Skip,
)
from remediation_orchestrator.orchestrator.routing.policy import policy_of

EXCLUDING = {**STEADY, "scope": {"exclude": [{"target": {"namespace": "shop"}}]}}


def test_a_signal_out_of_scope_does_not_displace_the_remediation_at_work() -> None:
    """It is skipped; when the scope is lifted, the next one is still a duplicate of the first."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    story.operator(1, PolicyAdopted(EXCLUDING))
    story.signal(2)
    assert story.verdict == Skip(Reason.UNMANAGED_RESOURCE)
    story.operator(3, PolicyAdopted(STEADY))
    story.signal(4)
    assert story.verdict == Duplicate(RemediationId("rr-1"))


def test_a_retry_out_of_scope_leaves_a_run_to_its_remediation() -> None:
    """The operator's retry is skipped, and the run still completes the remediation."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    story.operator(1, PolicyAdopted(EXCLUDING))
    story.operator(2, RetryRequested(RemediationId("rr-1")))
    assert story.verdict == Skip(Reason.UNMANAGED_RESOURCE)
    assert story.last.attempt == 2
    assert story.phase("rr-1") == "Executing"
    story.completed(3, "wfe-1")
    assert story.phase("rr-1") == "Completed"


def test_a_retry_out_of_scope_ends_what_only_waits() -> None:
    """Blocked is not at work: the whole list is asked, and says no."""
    story = Story()
    story.signal(0)
    story.failed(1, "wfe-1")
    assert isinstance(story.verdict, Block)
    story.operator(1.1, PolicyAdopted(EXCLUDING))
    assert story.verdict == Skip(Reason.UNMANAGED_RESOURCE)
    assert story.phase("rr-1") == "Skipped"


def test_duplicates_never_count_against_their_original() -> None:
    """Three repeats while it runs: no failure, no block, and it completes."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    for at in (1, 2, 3):
        story.signal(at)
        assert story.verdict == Duplicate(RemediationId("rr-1"))
    assert story.history().failures == 0
    story.completed(4, "wfe-1")
    assert story.phase("rr-1") == "Completed"


def test_a_duplicate_is_recorded_about_its_original() -> None:
    """`signal` is the repeated one, `remediation` the original; only what was read is in the situation."""
    story = Story()
    story.signal(0, workflow=None)
    again = story.signal(1, workflow="restart")
    record = story.last
    assert (record.signal, record.remediation, record.attempt) == (again, "rr-1", 1)
    assert record.stage == "workflow"
    assert record.situation.active == "rr-1"
    assert record.situation.occurred_at is None
    assert record.situation.workflow is None
    story.signal(2, workflow=None)
    assert story.last.stage == "signal"


def test_the_older_of_two_is_the_original_and_it_stays_so() -> None:
    """Two in one message: the first of the log opens, the second is its duplicate, never the other way round."""
    story = Story()
    story.several(0, story.body(), story.body())
    assert story.verdicts == [("1-0", 1, Proceed()), ("1-1", 1, Duplicate(RemediationId("rr-1-0")))]


def test_its_workflow_and_target_stand_whatever_a_duplicate_says() -> None:
    """The repeat names another workflow; the run that follows a failure is of the first."""
    story = Story()
    story.signal(0, workflow="restart")
    story.signal(0.5, workflow="scale-up")
    story.failed(1, "wfe-1")
    story.wait(2)
    assert story.last.workflow is not None
    assert story.last.workflow.id == "restart"


@pytest.mark.parametrize("started", [False, True])
def test_a_retry_of_what_is_at_work_is_its_duplicate(started: bool) -> None:
    """It counts as its newest occurrence, and as an attempt on its first signal."""
    story = Story()
    story.signal(0)
    if started:
        story.started(0.1, "wfe-1")
    story.operator(1, RetryRequested(RemediationId("rr-1")))
    record = story.last
    assert record.verdict == Duplicate(RemediationId("rr-1"))
    assert (record.signal, record.remediation, record.attempt) == ("1", "rr-1", 2)
    assert story.remediation("rr-1").occurred_at == minute(1)


def test_a_retry_while_another_is_at_the_problem_is_that_ones_duplicate() -> None:
    """Its record stands under the retried one's first signal, and counts on there."""
    story = Story(policy_of(STEADY))
    story.signal(0, resolves=False)
    story.failed(1, "wfe-1")
    story.signal(3)
    story.operator(4, RetryRequested(RemediationId("rr-1")))
    record = story.last
    assert record.verdict == Duplicate(RemediationId("rr-3"))
    assert (record.signal, record.remediation, record.attempt) == ("1", "rr-3", 2)
    story.operator(5, RetryRequested(RemediationId("rr-1")))
    assert (story.last.verdict, story.last.attempt) == (record.verdict, 3)


def test_of_one_problem_the_last_remediation_to_end_is_the_one_to_retry() -> None:
    """Else a storm of signals that are skipped would leave a remediation each behind, for a day."""
    story = Story(policy_of(STEADY))
    story.signal(0, resolves=False)
    story.failed(1, "wfe-1")
    story.signal(3)
    story.completed(4, "wfe-3")
    decided = len(story.decisions)
    story.operator(20, RetryRequested(RemediationId("rr-1")))
    assert len(story.decisions) == decided
    assert "rr-1" not in story.cell.fold.view.remediations
    story.operator(21, RetryRequested(RemediationId("rr-3")))
    assert (story.last.verdict, story.last.attempt) == (Proceed(), 2)


def test_a_retry_is_judged_by_the_whole_list() -> None:
    """An operator asks for another chance, not for an exception."""
    story = Story()
    story.signal(0, resolves=False)
    story.failed(1, "wfe-1")
    story.operator(1.5, RetryRequested(RemediationId("rr-1")))
    assert story.verdict == Block(Reason.EXPONENTIAL_BACKOFF, until=minute(2))
    story.wait(2)
    assert story.last.execution == "wfe-1-r2"


def test_a_retry_of_nothing_known_changes_nothing() -> None:
    """No decision, no state."""
    story = Story()
    story.operator(0, RetryRequested(RemediationId("rr-9")))
    assert story.decisions == []


def test_what_a_resolution_ended_is_told_before_a_retry_in_the_same_message_begins_anew() -> None:
    """Readers see Cancelled first and the new run after it, in the order of the log."""
    story = Story()
    story.signal(0)
    story.failed(1, "wfe-1")
    message = [story.body(), story.body(status="resolved")]
    view = story.cell.fold.view
    story.several(1.2, *message)
    assert [one.phase for one in story.changes] == ["Cancelled"]
    assert story.phase("rr-1") == "Cancelled"
    assert not view.tasks


def test_facts_folded_together_are_answered_in_their_order() -> None:
    """Repeated, resolved, retried while the service was down: Cancelled is recorded before the new verdict."""
    story = Story()
    story.signal(0)
    story.failed(1, "wfe-1")
    story.together(
        1.5,
        lambda: story.signal(1.2),
        lambda: story.resolved(1.3),
        lambda: story.operator(1.4, RetryRequested(RemediationId("rr-1"))),
    )
    told = story.decisions[-3:]
    assert [type(one).__name__ for one in told] == ["RoutingDecided", "PhaseChanged", "RoutingDecided"]
    assert story.verdict == Block(Reason.EXPONENTIAL_BACKOFF, until=minute(2))
    assert story.phase("rr-1") == "Blocked"
