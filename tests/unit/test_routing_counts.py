"""What counts as a failure, what does not, and what sets the count back; late ends and strays."""

import pytest
from story import CELL, CHECKOUT, STEADY, Story, minute

from remediation_orchestrator.events import (
    Block,
    Duplicate,
    ExecutionId,
    Proceed,
    Reason,
    Refuse,
    RemediationCancelled,
    RemediationId,
    Skip,
    WorkflowRevoked,
    subjects,
)
from remediation_orchestrator.events.identity import remediation_of
from remediation_orchestrator.orchestrator.routing.policy import policy_of

RR = RemediationId("rr-1")


def running(*, resolves: bool = True) -> Story:
    """A run that has begun."""
    story = Story()
    story.signal(0, resolves=resolves)
    story.started(0.1, "wfe-1")
    return story


def test_a_failed_run_counts_before_and_during_execution() -> None:
    """Both are one more."""
    for during in (False, True):
        story = running()
        story.failed(1, "wfe-1", during=during)
        assert story.history().failures == 1
        assert story.history().last_failure_at == minute(1)


def test_a_failed_analysis_counts() -> None:
    """And its remediation has failed."""
    story = Story()
    story.signal(0, workflow=None)
    story.analysis_failed(1, "rr-1")
    assert story.history().failures == 1
    assert story.phase("rr-1") == "Failed"
    assert story.changes[-1].failure_phase == "AIAnalysis"


def test_a_run_that_takes_too_long_counts() -> None:
    """It counts when its record says so, for no fact does."""
    story = running()
    story.wait(31)
    assert story.history().failures == 1
    assert story.history().last_failure_at == story.changes[-1].now


def test_an_analysis_that_takes_too_long_counts() -> None:
    """So it backs off, and does not loop for ever."""
    story = Story()
    story.signal(0, workflow=None)
    story.wait(10.4)
    assert story.history().failures == 1
    story.signal(10.5, workflow=None)
    assert isinstance(story.verdict, Block)
    assert story.verdict.reason is Reason.EXPONENTIAL_BACKOFF


def test_a_duplicate_a_skip_a_block_and_a_refusal_do_not_count() -> None:
    """They are verdicts, not failures."""
    story = running(resolves=False)
    story.signal(0.5)
    assert isinstance(story.verdict, Duplicate)
    story.signal(0.6, "Other", resolves=False)
    assert isinstance(story.verdict, Block)
    story.completed(1, "wfe-1")
    assert isinstance(story.verdict, Skip)
    story.signal(2, resolves=False)
    assert isinstance(story.verdict, Skip)
    assert story.history().failures == 0
    assert story.history("Other").failures == 0


def test_a_refusal_does_not_count() -> None:
    """What is refused did not fail again."""
    story = running(resolves=False)
    story.failed(1, "wfe-1", idempotent=False)
    for at in (10, 11, 12):
        story.signal(at, resolves=False)
        assert isinstance(story.verdict, Refuse)
    assert story.history().failures == 1


def test_blocked_siblings_do_not_count() -> None:
    """One target, three problems: the one that failed has failed, the others only wait."""
    story = running()
    story.signal(0.2, "B")
    story.signal(0.3, "C")
    story.failed(1, "wfe-1")
    assert [story.history(name).failures for name in ("KubePodCrashLooping", "B", "C")] == [1, 0, 0]


def test_a_cancelled_remediation_does_not_count_whenever_it_is_cancelled() -> None:
    """Nor does the end of its run."""
    story = running()
    story.operator(1, RemediationCancelled(RR))
    story.failed(2, "wfe-1", reason="DeadlineExceeded")
    assert story.phase("rr-1") == "Cancelled"
    assert story.history().failures == 0


def test_an_analysis_that_names_no_workflow_does_not_count() -> None:
    """Nor is it a completed run: no cooldown begins."""
    story = Story()
    story.signal(0, workflow=None)
    story.analysed(1, "rr-1", workflow=None)
    assert story.history().failures == 0
    assert story.history().completed_at is None
    story.signal(2, workflow=None)
    assert story.verdict == Proceed()


def test_a_completed_run_forgives_everything() -> None:
    """The next failure is the first again."""
    story = running()
    story.failed(1, "wfe-1")
    story.wait(2)
    story.completed(3, "wfe-1-r2")
    assert (story.history().failures, story.history().last_failure_at) == (0, None)
    story.signal(9)
    story.failed(10, "wfe-5")
    assert story.verdict == Block(Reason.EXPONENTIAL_BACKOFF, until=minute(11))


def test_failures_whose_last_is_longer_ago_than_the_memory_count_no_longer() -> None:
    """At exactly 24 h they do: the next is one more; a microsecond later it is the first."""
    day = 24 * 60
    for late, expected in ((0.0, 2), (0.001, 1)):
        story = running(resolves=False)
        story.failed(1, "wfe-1")
        story.signal(day - 1, resolves=False)
        story.failed(day + 1 + late, f"wfe-{story.sequence}")
        assert story.history().failures == expected


def test_a_new_request_does_not_start_again_from_zero() -> None:
    """The count belongs to the fingerprint, whichever remediation failed."""
    story = running(resolves=False)
    story.failed(1, "wfe-1")
    story.signal(3, resolves=False)
    story.failed(4, "wfe-4")
    story.signal(4.5, resolves=False)
    assert story.verdict == Block(Reason.EXPONENTIAL_BACKOFF, until=minute(6))


def test_failures_of_one_problem_do_not_count_for_another_on_the_same_target() -> None:
    """Two budgets."""
    story = running(resolves=False)
    story.failed(1, "wfe-1")
    story.signal(1.1, "Other")
    assert story.verdict == Proceed()


# -- after a failed run -----------------------------------------------------------------------------------


def test_where_the_source_resolves_the_remediation_itself_tries_again() -> None:
    """Judged at once, because of that failure; then it runs as -r2, and completes."""
    story = running()
    failed = story.failed(1, "wfe-1")
    assert (story.last.because.kind, story.last.because.position) == ("failed", failed)
    story.wait(2)
    assert story.last.execution == "wfe-1-r2"
    assert story.last.because.kind == "due"
    story.completed(3, "wfe-1-r2")
    assert story.phase("rr-1") == "Completed"
    assert story.changes[-1].outcome == "Remediated"


def test_elsewhere_it_has_failed_and_the_next_signal_opens_the_next() -> None:
    """Nobody would say when the problem is over."""
    story = running(resolves=False)
    story.failed(1, "wfe-1")
    assert story.phase("rr-1") == "Failed"
    assert story.changes[-1].failure_phase == "WorkflowExecution"
    story.signal(3, resolves=False)
    assert (story.last.remediation, story.verdict) == ("rr-4", Proceed())


def test_a_half_changed_target_is_refused_to_the_remediation_that_left_it() -> None:
    """Judged again at once, it is refused, of itself: manual review."""
    story = running()
    story.failed(1, "wfe-1", idempotent=False)
    assert story.verdict == Refuse(Reason.PREVIOUS_EXECUTION_FAILED, of=RR)
    assert story.phase("rr-1") == "Failed"
    assert ("notify", "rr-1-2") in story.cell.fold.view.owed


def test_nothing_ran_so_nothing_is_left_half_changed() -> None:
    """A failure before execution is safe to retry."""
    story = running()
    story.failed(1, "wfe-1", during=False, idempotent=False)
    assert story.verdict == Block(Reason.EXPONENTIAL_BACKOFF, until=minute(2))


def test_the_half_done_run_is_of_its_workflow_and_its_target() -> None:
    """Another workflow may run there, and the same one elsewhere."""
    story = running(resolves=False)
    story.failed(1, "wfe-1", idempotent=False)
    story.signal(10, workflow="scale-up", resolves=False)
    assert story.verdict == Proceed()


# -- late ends and strays ---------------------------------------------------------------------------------


def test_the_late_end_of_a_run_releases_its_target_and_changes_no_count() -> None:
    """Timed out, the target stays held until the run has ended."""
    story = running()
    story.wait(31)
    assert (story.phase("rr-1"), story.holder()) == ("TimedOut", "wfe-1")
    story.failed(40, "wfe-1")
    assert (story.history().failures, story.holder()) == (1, None)


def test_a_late_completion_forgives_nothing() -> None:
    """It changes no count."""
    story = running()
    story.wait(31)
    story.completed(40, "wfe-1")
    assert story.history().failures == 1
    assert story.history().completed_at is None
    assert not story.cell.fold.view.half_done


def test_the_late_end_of_a_run_is_remembered_for_previous_execution_failed() -> None:
    """Cancelled, and then it failed half-way."""
    story = running()
    story.operator(1, RemediationCancelled(RR))
    story.failed(2, "wfe-1", idempotent=False)
    story.signal(3)
    assert story.verdict == Refuse(Reason.PREVIOUS_EXECUTION_FAILED, of=RR)


def test_a_timed_out_run_has_left_its_target_half_changed_until_it_says_otherwise() -> None:
    """Cut off by a time-out counts as failed during execution; whether it is idempotent, its end tells."""
    story = running()
    story.wait(31)
    story.signal(45)
    assert story.verdict == Refuse(Reason.PREVIOUS_EXECUTION_FAILED, of=RR)
    story.failed(46, "wfe-1", idempotent=True)
    story.signal(50)
    assert story.verdict == Proceed()


@pytest.mark.parametrize("execution", ["wfe-9", "wfe-1-r9"])
def test_an_event_of_an_unknown_run_changes_nothing(execution: str) -> None:
    """Audit shows it."""
    story = running()
    before = {
        **story.state(),
        "spoilt": {remediation_of(ExecutionId(execution)): {execution}},
    }  # Only the name can be given to no run any more.
    story.started(1, execution)
    story.completed(2, execution)
    story.failed(3, execution)
    story.fact(4, WorkflowRevoked(ExecutionId(execution)), subjects.execution(CELL, ExecutionId(execution)))
    assert story.state() == before
    assert len(story.decisions) == 1


def test_a_run_that_was_spoken_of_too_early_gets_another_name() -> None:
    """The subject of the first name is taken: whoever came to run it would find it ended, and nobody would."""
    story = Story()
    story.completed(0, "wfe-2")
    story.signal(1)
    assert (story.verdict, story.last.execution) == (Proceed(), "wfe-2-r2")
    story.failed(2, "wfe-2-r2")
    story.wait(4)
    assert story.last.execution == "wfe-2-r3"


def test_an_end_told_twice_counts_once() -> None:
    """Whichever end comes second."""
    story = running(resolves=False)
    story.failed(1, "wfe-1")
    story.failed(2, "wfe-1")
    story.completed(3, "wfe-1")
    assert story.history().failures == 1
    assert story.history().last_failure_at == minute(1)


def test_a_start_told_twice_is_told_once() -> None:
    """The limit does not begin again."""
    story = running()
    before = story.state()
    story.started(1, "wfe-1")
    assert story.state() == before


def test_a_run_that_has_begun_cannot_be_revoked() -> None:
    """One record decides who may begin, and it was the executor's."""
    story = running()
    before = story.state()
    story.fact(1, WorkflowRevoked(ExecutionId("wfe-1")), subjects.execution(CELL, ExecutionId("wfe-1")))
    assert story.state() == before


def test_facts_about_a_remediation_in_another_phase_change_nothing() -> None:
    """An analysis that nobody asked for, a cancel of what is over."""
    story = running()
    story.completed(1, "wfe-1")
    before = story.state()
    story.analysed(2, "rr-1", workflow="other")
    story.analysis_failed(3, "rr-1")
    story.operator(4, RemediationCancelled(RR))
    story.operator(5, RemediationCancelled(RemediationId("rr-77")))
    assert story.state() == before


def test_a_fact_takes_effect_when_it_is_folded() -> None:
    """Before any record says so: the run has counted, and its target is free."""
    story = running()
    story.together(
        1,
        lambda: story.failed(0.5, "wfe-1", idempotent=False),
        lambda: story.signal(0.6, "Other", workflow="scale-up"),
    )
    refused, proceeding = story.decisions[-2:]
    assert isinstance(story.verdict, Proceed)
    assert (refused.signal, proceeding.signal) == ("1", "4")  # type: ignore[union-attr]
    assert refused.situation.failures == 1  # type: ignore[union-attr]


# -- cooldowns ---------------------------------------------------------------------------------------------


def test_after_a_repair_the_same_problem_waits_where_its_source_resolves() -> None:
    """Until the end of the cooldown, of that remediation; and then it is judged, not failed."""
    story = running()
    story.completed(1, "wfe-1")
    story.signal(2)
    assert story.verdict == Block(Reason.RECENTLY_REMEDIATED, until=minute(6), of=RR, remaining=240.0)
    story.wait(6)
    assert (story.verdict, story.history().failures) == (Proceed(), 0)


def test_and_is_skipped_where_it_does_not() -> None:
    """Its next signal will ask again; at exactly the cooldown's end it may."""
    story = running(resolves=False)
    story.completed(1, "wfe-1")
    story.signal(2, resolves=False)
    assert story.verdict == Skip(Reason.RECENTLY_REMEDIATED, of=RR, remaining=240.0)
    assert story.phase("rr-4") == "Skipped"
    story.signal(6, resolves=False)
    assert story.verdict == Proceed()


def test_another_problem_waits_for_the_workflow_that_has_just_run_on_the_target() -> None:
    """Of the remediation whose run it was; another workflow may run at once."""
    story = running()
    story.completed(1, "wfe-1")
    story.signal(2, "Other")
    assert story.verdict == Block(Reason.RECENTLY_REMEDIATED, until=minute(6), of=RR, remaining=240.0)
    story.signal(3, "Third", workflow="scale-up")
    assert story.verdict == Proceed()


def test_a_target_of_another_case_is_another_target() -> None:
    """No cooldown there, and no lock."""
    story = running()
    story.signal(1, target=CHECKOUT.__class__("Checkout", "eu-1", "shop", "Deployment"))
    assert story.verdict == Proceed()


def test_a_block_of_an_hour_outlives_every_time_limit() -> None:
    """Blocked is waiting, not running: no clock of a phase pre-empts it."""
    quick = {"starting": "1m", "analyzing": "1m", "executing": "10m", "approval": "1m"}
    story = Story(policy_of({**STEADY, "timeouts": quick}))
    story.signal(0)
    for at, execution in ((0.5, "wfe-1"), (1.6, "wfe-1-r2"), (3.7, "wfe-1-r3")):
        story.failed(at, execution)
    assert story.verdict == Block(Reason.CONSECUTIVE_FAILURES, until=minute(63.7))
    story.wait(63.6)
    assert story.phase("rr-1") == "Blocked"
    story.wait(63.7)
    assert story.verdict == Proceed()
