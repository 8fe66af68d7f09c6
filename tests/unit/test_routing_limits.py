"""Time limits, each from entering the phase and strictly longer; and what "resolved" cancels."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from story import STEADY, Story, minute

from remediation_orchestrator.events import (
    ApprovalGranted,
    ApprovalRejected,
    Block,
    PolicyAdopted,
    Proceed,
    Reason,
    RemediationCancelled,
    RemediationId,
    RetryRequested,
    Target,
)

RR = RemediationId("rr-1")
US = timedelta(microseconds=1)


def analysing(severity: str = "warning") -> Story:
    """A signal that names no workflow."""
    story = Story()
    body = {**story.body(workflow=None), "severity": severity}
    story.several(0, body)
    return story


ONE = RemediationId("rr-1-0")

# -- limits -------------------------------------------------------------------------------------------------


def test_a_run_that_nobody_has_started_is_revoked_and_judged_again() -> None:
    """At exactly `start_before` it still lives; it counts nothing."""
    story = Story()
    story.signal(0)
    story.wait(minute(5))
    assert story.last.attempt == 1
    story.wait(minute(5) + US)
    assert (story.last.attempt, story.last.execution, story.last.because.kind) == (2, "wfe-1-r2", "released")
    assert story.history().failures == 0
    assert story.holder() == "wfe-1-r2"


def test_a_revoked_run_goes_behind_who_waits() -> None:
    """It is judged first, and another is ahead in the queue."""
    story = Story()
    story.signal(0)
    story.signal(1, "B", workflow="B")
    story.wait(6)
    assert story.holder() == "wfe-2"
    assert story.phase("rr-1") == "Blocked"


def test_a_run_that_was_started_in_time_is_not_revoked() -> None:
    """A microsecond before is in time."""
    story = Story()
    story.signal(0)
    story.started(minute(5) - US, "wfe-1")
    story.wait(29)
    assert story.last.attempt == 1


def test_a_run_that_takes_too_long_is_cancelled_and_its_target_stays_held() -> None:
    """At exactly the limit it still lives."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    story.wait(minute(30))
    assert story.phase("rr-1") == "Executing"
    story.wait(minute(30) + US)
    assert (story.phase("rr-1"), story.history().failures, story.holder()) == ("TimedOut", 1, "wfe-1")
    assert story.changes[-1].execution == "wfe-1"
    assert ("cancel", "wfe-1") in story.cell.fold.view.owed
    assert story.changes[-1].failure_phase == "WorkflowExecution"


def test_an_analysis_that_takes_too_long_has_timed_out() -> None:
    """Strictly longer, too."""
    story = analysing()
    story.wait(minute(10))
    assert story.phase(ONE) == "Analyzing"
    story.wait(minute(10) + US)
    assert (story.phase(ONE), story.history().failures) == ("TimedOut", 1)
    assert story.changes[-1].failure_phase == "AIAnalysis"


def test_an_approval_expires_and_counts_nothing() -> None:
    """From when it began to wait for one."""
    story = analysing()
    story.analysed(2, ONE, approval=True)
    story.wait(minute(17))
    assert story.phase(ONE) == "AwaitingApproval"
    story.wait(minute(17) + US)
    assert (story.phase(ONE), story.history().failures) == ("TimedOut", 0)
    assert story.changes[-1].failure_phase == "Approval"


def test_the_limits_of_a_policy_are_its_own() -> None:
    """Taken when the phase is entered."""
    story = Story()
    story.operator(0, PolicyAdopted({**STEADY, "timeouts": {"starting": "1m"}}))
    story.signal(0)
    assert story.last.start_before == minute(1)
    assert story.last.deadline == minute(30)


# -- analysis and approval -----------------------------------------------------------------------------------


def test_without_a_workflow_it_is_analysed_and_nothing_is_claimed() -> None:
    """A Proceed of stage `signal` owes an analysis."""
    story = analysing()
    assert (story.last.stage, story.verdict, story.last.analysis) == ("signal", Proceed(), "rr-1-0")
    assert story.holder() is None
    assert list(story.cell.fold.view.owed) == [("analyze", "rr-1-0")]


def test_an_analysis_that_names_a_workflow_is_judged_by_the_whole_list() -> None:
    """On the target that it names."""
    story = analysing()
    other = Target("database", "eu-1", "shop", "StatefulSet")
    answered = story.analysed(1, ONE, target=other)
    assert (story.last.stage, story.last.attempt) == ("workflow", 2)
    assert (story.last.because.kind, story.last.because.position) == ("analysed", answered)
    assert (story.holder(other), story.holder()) == ("wfe-1-0", None)


def test_an_analysis_may_find_its_target_busy() -> None:
    """A check whose key becomes known applies from then on."""
    story = analysing()
    story.signal(1, "Other")
    story.analysed(2, ONE, workflow="scale-up")
    assert story.verdict == Block(Reason.RESOURCE_BUSY, of=RemediationId("rr-2"), queue_position=1)


@pytest.mark.parametrize(
    ("severity", "no_action", "outcome", "owed"),
    [
        ("critical", False, "ManualReviewRequired", [("notify", "rr-1-0-1")]),
        ("critical", True, "ManualReviewRequired", [("notify", "rr-1-0-1")]),
        ("warning", False, "NoWorkflow", []),
        ("warning", True, "NoActionRequired", []),
    ],
)
def test_an_analysis_without_a_workflow_completes(
    severity: str, no_action: bool, outcome: str, owed: list[object]
) -> None:
    """A critical one needs a person, whatever it says. That nothing fits is not that nothing has to be done."""
    story = analysing(severity)
    story.together(1, lambda: story.analysed(1, ONE, workflow=None, no_action=no_action))
    assert (story.phase(ONE), story.changes[-1].outcome) == ("Completed", outcome)
    assert [key for key in story.cell.fold.view.owed if key[0] == "notify"] == owed


def test_an_approval_is_judged_by_the_whole_list() -> None:
    """Not only for the lock: meanwhile this workflow has run here."""
    story = analysing()
    story.analysed(1, ONE, approval=True)
    assert story.phase(ONE) == "AwaitingApproval"
    story.signal(2, "Other")
    story.completed(3, "wfe-3")
    granted = story.granted(4, ONE)
    assert (story.last.because.kind, story.last.because.position) == ("approved", granted)
    assert story.verdict == Block(
        Reason.RECENTLY_REMEDIATED, until=minute(8), of=RemediationId("rr-3"), remaining=240.0
    )


def test_a_grant_of_another_plan_than_is_asked_for_changes_nothing() -> None:
    """What was seen is what is allowed: the same remediation asks for another workflow by now."""
    story = analysing()
    story.analysed(1, ONE, workflow="reboot", approval=True)
    seen = story.changes[-1].plan
    story.wait(17)  # Nobody answers in time, and somebody asks again.
    story.operator(18, RetryRequested(ONE))
    story.analysed(19, ONE, workflow="restart", approval=True)
    before = story.state()
    story.operator(20, ApprovalGranted(ONE, seen))
    assert (story.phase(ONE), story.changes[-1].plan != seen) == ("AwaitingApproval", True)
    assert story.state() == before
    story.granted(21, ONE)
    assert story.verdict == Proceed()


@pytest.mark.parametrize("late", [timedelta(0), US])
@pytest.mark.parametrize("said", ["granted", "rejected"])
def test_what_a_person_says_behind_the_limit_is_too_late(said: str, late: timedelta) -> None:
    """Nobody has led since, to say that its time is over; at exactly the limit it still counts."""
    story = analysing()
    story.analysed(2, ONE, approval=True)
    plan = story.changes[-1].plan
    fact = ApprovalGranted(ONE, plan) if said == "granted" else ApprovalRejected(ONE)
    story.together(20, lambda: story.operator(minute(17) + late, fact))
    in_time = "Executing" if said == "granted" else "Failed"
    assert story.phase(ONE) == ("TimedOut" if late else in_time)


def test_a_rejected_approval_has_failed_and_counts_nothing() -> None:
    """A person said no."""
    story = analysing()
    story.analysed(1, ONE, approval=True)
    story.operator(2, ApprovalRejected(ONE))
    assert (story.phase(ONE), story.history().failures) == ("Failed", 0)


@pytest.mark.parametrize("refusal", [ApprovalRejected, RemediationCancelled])
def test_a_retry_of_what_nobody_approved_is_analysed_again(refusal: type) -> None:
    """Whatever ended it while it waited for a person: it does not run without one."""
    story = Story()
    story.signal(0, workflow=None)
    story.analysed(1, "rr-1", approval=True)
    story.operator(2, refusal(RemediationId("rr-1")))
    story.operator(3, RetryRequested(RemediationId("rr-1")))
    assert (story.verdict, story.last.stage) == (Proceed(), "signal")
    assert story.phase("rr-1") == "Analyzing"


def test_an_approval_of_what_waits_for_none_changes_nothing() -> None:
    """Neither yes nor no."""
    story = Story()
    story.signal(0)
    before = story.state()
    story.operator(1, ApprovalGranted(RR, ""))
    story.operator(2, ApprovalRejected(RR))
    assert story.state() == before


# -- resolved -------------------------------------------------------------------------------------------------


def blocked_by_backoff(story: Story) -> None:
    """After a failed run."""
    story.signal(0)
    story.failed(0.5, "wfe-1")


def blocked_in_a_queue(story: Story) -> None:
    """Behind another problem's run."""
    story.signal(0, "Other")
    story.signal(0.1)


def awaiting_approval(story: Story) -> None:
    """After an analysis."""
    story.signal(0, workflow=None)
    story.analysed(0.5, "rr-1", approval=True)


PHASES: dict[str, Callable[[Story], object]] = {
    "Blocked": blocked_by_backoff,
    "queued": blocked_in_a_queue,
    "Analyzing": lambda story: story.signal(0, workflow=None),
    "AwaitingApproval": awaiting_approval,
    "Executing": lambda story: story.signal(0),
}


@pytest.mark.parametrize("phase", PHASES)
def test_resolved_cancels_what_has_not_begun_to_run(phase: str) -> None:
    """In every phase; and nothing of it is ever due again."""
    story = Story()
    PHASES[phase](story)
    story.resolved(1)
    (change,) = story.changes[-1:]
    assert (change.phase, change.because.kind) == ("Cancelled", "resolved")
    assert story.history().active is None
    assert story.history().failures == (phase == "Blocked")
    count = len(story.decisions)
    story.wait(200)
    waited = [one for one in story.decisions[count:] if getattr(one, "fingerprint", None) == change.fingerprint]
    assert waited == []


def test_a_run_that_nobody_has_begun_is_revoked_by_resolved() -> None:
    """Its target is free again."""
    story = Story()
    story.signal(0)
    story.signal(0.1, "Other", workflow="other")
    story.resolved(1)
    assert story.changes[-1].execution == "wfe-1"
    assert story.holder() == "wfe-2"


def test_resolved_does_not_stop_a_run_which_may_complete() -> None:
    """It has begun."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    story.resolved(1)
    assert story.phase("rr-1") == "Executing"
    story.completed(2, "wfe-1")
    assert story.changes[-1].outcome == "Remediated"


def test_a_run_that_fails_after_resolved_is_not_judged_again() -> None:
    """It has Failed, and counts."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    story.resolved(1)
    story.failed(2, "wfe-1")
    assert (story.phase("rr-1"), story.history().failures) == ("Failed", 1)


def test_but_it_is_where_the_source_has_fired_since() -> None:
    """The problem is back."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    story.resolved(1)
    story.signal(1.5)
    story.failed(2, "wfe-1")
    assert story.verdict == Block(Reason.EXPONENTIAL_BACKOFF, until=minute(3))


def test_resolved_right_behind_its_signal_in_one_message_waits_for_its_turn() -> None:
    """The signal has its verdict, and is cancelled by what came after it."""
    story = Story()
    story.several(0, story.body(), story.body(status="resolved"))
    assert story.verdicts == [("1-0", 1, Proceed())]
    assert story.phase("rr-1-0") == "Cancelled"
    assert story.holder() is None


def test_resolved_between_two_signals_of_one_message_ends_only_the_first() -> None:
    """The second opens the next remediation."""
    story = Story()
    body = story.body(workflow=None)
    story.several(0, body, {**body, "status": "resolved"}, body)
    assert story.verdicts == [("1-0", 1, Proceed()), ("1-2", 1, Proceed())]
    assert (story.phase("rr-1-0"), story.phase("rr-1-2")) == ("Cancelled", "Analyzing")


def test_resolved_before_its_signal_in_one_message_cancels_nothing_of_it() -> None:
    """The order is the log's."""
    story = Story()
    story.several(0, story.body(status="resolved"), story.body())
    assert story.phase("rr-1-1") == "Executing"


def test_resolved_of_what_nobody_is_at_changes_nothing() -> None:
    """No decision: it is no firing signal."""
    story = Story()
    story.resolved(0)
    assert story.decisions == []


# -- operators cancel ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", PHASES)
def test_an_operator_cancels_in_every_phase(phase: str) -> None:
    """It ends, and counts nothing."""
    story = Story()
    PHASES[phase](story)
    active = story.history().active
    assert active is not None
    story.operator(1, RemediationCancelled(active))
    assert (story.phase(active), story.changes[-1].because.kind) == ("Cancelled", "cancelled")
    assert story.history().active is None


def test_a_cancelled_run_holds_its_target_until_it_has_ended() -> None:
    """The next one waits, although the remediation is over."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    story.operator(1, RemediationCancelled(RR))
    assert ("cancel", "wfe-1") in story.cell.fold.view.owed
    story.signal(2)
    assert story.verdict == Block(Reason.RESOURCE_BUSY, of=RR, queue_position=1)
    story.failed(3, "wfe-1")
    assert story.holder() == "wfe-4"


def test_an_executor_that_was_first_is_cancelled_and_not_revoked() -> None:
    """One record decides who may begin."""
    story = Story()
    story.signal(0)
    story.together(
        1,
        lambda: story.operator(0.5, RemediationCancelled(RR)),
        lambda: story.started(0.6, "wfe-1"),
    )
    assert [key for key in story.cell.fold.view.owed if key[1] == "wfe-1"] == [("cancel", "wfe-1")]
