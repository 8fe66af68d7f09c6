"""Rules of routing that docs/contract.md says in a line, each held by the test that it names."""

from story import Story, minute

from remediation_orchestrator.events import Block, Proceed, Reason, RemediationCancelled, RemediationId


def test_remaining_is_said_of_a_cooldown_alone() -> None:
    """Backoff, the block and the queue say an end or a place instead."""
    story = Story()
    story.signal(0)
    for at, execution in ((0, "wfe-1"), (1, "wfe-1-r2"), (3, "wfe-1-r3")):
        story.failed(at, execution)
    story.signal(4, "Other", workflow="other")
    story.signal(5, "Third", workflow="third")
    story.completed(6, "wfe-5")
    story.signal(7, "Other", workflow="other")
    said = {verdict.reason: verdict.remaining for _, _, verdict in story.verdicts if isinstance(verdict, Block)}
    assert said == {
        Reason.EXPONENTIAL_BACKOFF: None,
        Reason.CONSECUTIVE_FAILURES: None,
        Reason.RESOURCE_BUSY: None,
        Reason.RECENTLY_REMEDIATED: 240.0,
    }


def test_a_late_completion_starts_the_cooldown_of_its_workflow_but_not_of_its_problem() -> None:
    """The target has been repaired; the remediation that asked for it was cancelled."""
    story = Story()
    story.signal(0)
    story.started(0, "wfe-1")
    story.operator(1, RemediationCancelled(RemediationId("rr-1")))
    story.completed(2, "wfe-1")
    story.signal(3, workflow="another")
    assert story.verdict == Proceed()
    story.completed(4, f"wfe-{story.last.signal}")
    story.signal(4.5, "Other")
    assert isinstance(story.verdict, Block)
    assert (story.verdict.reason, story.verdict.of) == (Reason.RECENTLY_REMEDIATED, "rr-1")
    assert story.verdict.until == minute(7)
