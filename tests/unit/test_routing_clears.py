"""What an operator's clear forgives, releases and has judged again."""

from collections.abc import Callable

from story import CHECKOUT, Story, minute

from remediation_orchestrator.events import (
    Block,
    BlockCleared,
    Proceed,
    Reason,
    Refuse,
    RemediationCancelled,
    RemediationId,
    SignalRejected,
    Target,
    fingerprint_of,
)

F = fingerprint_of(CHECKOUT, "KubePodCrashLooping")
OTHER = Target("cart", "eu-1", "shop", "Deployment")


def half_done() -> Story:
    """A run has left its target half-changed, and the next signal is refused."""
    story = Story()
    story.signal(0, resolves=False)
    story.failed(1, "wfe-1", idempotent=False)
    story.signal(10, resolves=False)
    assert story.verdict == Refuse(Reason.PREVIOUS_EXECUTION_FAILED, of=RemediationId("rr-1"))
    return story


def test_a_clear_of_the_fingerprint_forgets_its_failures_and_its_half_done_runs() -> None:
    """The next signal proceeds."""
    story = half_done()
    story.operator(11, BlockCleared(fingerprint=F))
    assert story.history().failures == 0
    story.signal(12)
    assert story.verdict == Proceed()


def test_a_clear_of_the_target_forgets_what_was_left_there_but_no_failure() -> None:
    """The half-done run is forgotten, the ladder stands."""
    story = half_done()
    story.operator(11, BlockCleared(target=CHECKOUT))
    assert story.history().failures == 1
    story.signal(12)
    assert story.verdict == Proceed()


def test_a_clear_of_the_target_and_a_workflow_forgets_that_workflows_run_only() -> None:
    """Another workflow's half-done run stays."""
    story = half_done()
    story.operator(11, BlockCleared(target=CHECKOUT, workflow="scale-up"))
    story.signal(12)
    assert isinstance(story.verdict, Refuse)
    story.operator(13, BlockCleared(target=CHECKOUT, workflow="restart"))
    story.signal(14)
    assert story.verdict == Proceed()


def test_a_clear_of_another_target_forgets_nothing_here() -> None:
    """Cluster and case are part of the target."""
    story = half_done()
    for target in (OTHER, Target("checkout", "eu-2", "shop", "Deployment"), Target("Checkout", "eu-1", "shop")):
        story.operator(11, BlockCleared(target=target))
    story.signal(12)
    assert isinstance(story.verdict, Refuse)


def test_nobody_acts_in_the_name_of_another() -> None:
    """Who publishes as one, and says that another says it, is answered, and nothing follows."""
    story = half_done()
    cleared = BlockCleared(target=CHECKOUT, by="bob", reason="looked")
    place = story.fact(11, cleared, "ro.main.operator.clear.ann")
    answer = story.decisions[-1]
    assert isinstance(answer, SignalRejected)
    assert (answer.position, answer.reason) == (place, "Undecodable")
    assert answer.message == "`by` is 'bob', and on `operator.clear.ann` only 'ann' speaks"
    story.signal(12)
    assert isinstance(story.verdict, Refuse)
    story.fact(13, cleared, "ro.main.operator.clear.bob")
    story.signal(14)
    assert story.verdict == Proceed()


def test_a_clear_of_another_fingerprint_leaves_this_ones_half_done_run() -> None:
    """Only the previous execution failures of its own runs are forgotten."""
    story = half_done()
    story.operator(11, BlockCleared(fingerprint=fingerprint_of(CHECKOUT, "Other")))
    story.signal(12)
    assert isinstance(story.verdict, Refuse)


def test_a_cleared_fingerprint_is_judged_again_at_once() -> None:
    """It waits for its backoff no longer."""
    story = Story()
    story.signal(0)
    story.failed(1, "wfe-1")
    clear = story.operator(1.1, BlockCleared(fingerprint=F))
    assert story.last.because.kind == "cleared"
    assert story.last.because.position == clear
    assert story.last.execution == "wfe-1-r2"


def test_a_clear_of_only_a_target_judges_no_waiting_remediation_again() -> None:
    """It re-judges only what it releases, and here it releases nothing."""
    story = Story()
    story.signal(0)
    story.failed(1, "wfe-1")
    before = len(story.decisions)
    story.operator(1.1, BlockCleared(target=CHECKOUT))
    assert len(story.decisions) == before


def test_a_clear_of_both_does_both() -> None:
    """What `ro clear rr-1` fills in."""
    story = half_done()
    story.operator(11, BlockCleared(fingerprint=F, target=CHECKOUT, workflow="restart"))
    assert story.history().failures == 0
    assert not story.cell.fold.view.half_done


def test_a_clear_of_the_target_releases_it_from_a_lost_run_and_its_queue_is_served() -> None:
    """The next in the queue proceeds, because it was released by this fact."""
    story = Story()
    story.signal(0, resolves=False)
    story.started(0.1, "wfe-1")
    story.failed(1, "wfe-1", reason="ExecutorLost")
    story.signal(2, "Other")
    assert story.verdict == Block(Reason.RESOURCE_BUSY, of=RemediationId("rr-1"), queue_position=1)
    clear = story.operator(3, BlockCleared(target=CHECKOUT))
    assert story.last.because.kind == "released"
    assert story.last.because.position == clear
    assert story.holder() == "wfe-4"


def test_a_clear_never_releases_a_target_from_a_run_that_goes_on() -> None:
    """Nobody may begin beside it."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    story.operator(1, BlockCleared(fingerprint=F, target=CHECKOUT))
    assert story.holder() == "wfe-1"


def test_a_clear_releases_a_target_from_a_run_that_nobody_reports_thirty_seconds_after_its_deadline() -> None:
    """Its remediation is over, by its time limit: before that the run may go on yet."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    story.wait(30.1)
    assert story.phase("rr-1") == "TimedOut"
    story.operator(30.49, BlockCleared(target=CHECKOUT))
    assert story.holder() == "wfe-1"
    story.operator(30.5, BlockCleared(target=CHECKOUT))
    assert story.holder() is None


def cancelled(story: Story, *then: Callable[[], object]) -> None:
    """A run is cancelled while nobody leads, an hour passes, and this happens before anybody does."""
    story.signal(0)
    story.together(60, lambda: story.operator(1, RemediationCancelled(RemediationId("rr-1"))), *then)


def test_a_clear_never_releases_a_target_from_a_run_that_may_yet_be_begun() -> None:
    """It is not revoked yet, and who takes its command up holds the target, whatever the clocks show."""
    story = Story()
    cancelled(story, lambda: story.operator(59, BlockCleared(target=CHECKOUT)), lambda: story.started(59, "wfe-1"))
    assert story.holder() == "wfe-1"


def test_a_run_that_was_begun_too_late_has_all_of_its_time_from_there() -> None:
    """Its executor's clock was behind: nobody else is let on its target before that run is surely over."""
    story = Story()
    cancelled(story, lambda: story.started(60, "wfe-1"))
    story.operator(90.49, BlockCleared(target=CHECKOUT))
    assert story.holder() == "wfe-1"
    story.operator(90.5, BlockCleared(target=CHECKOUT))
    assert story.holder() is None


def test_a_clear_that_comes_before_an_overdue_run_is_judged_does_not_strand_its_remediation() -> None:
    """Nobody was awake at the deadline: the run is still timed out, counted and cancelled."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    story.together(60, lambda: story.operator(50, BlockCleared(target=CHECKOUT)))
    assert story.phase("rr-1") == "TimedOut"
    assert story.history().failures == 1
    assert story.changes[-1].execution == "wfe-1"
    story.operator(61, BlockCleared(target=CHECKOUT))
    assert story.holder() is None


def test_a_clear_that_names_nothing_changes_nothing() -> None:
    """A stray."""
    story = Story()
    story.signal(0)
    before = story.state()
    story.operator(1, BlockCleared())
    assert story.state() == before
    assert story.last.situation.now == minute(0)
