"""Failures in a row: the ladder, the block, the probe, and what is forgotten."""

import pytest
from story import Story, minute

from remediation_orchestrator.events import Block, Proceed, Reason, Refuse


def failing_story(failures: int) -> tuple[Story, float]:
    """A source that resolves, and a run that fails whenever it runs. Returns the minute of the last failure."""
    story = Story()
    story.signal(0)
    at = 0.0
    for run in range(1, failures + 1):
        execution = "wfe-1" if run == 1 else f"wfe-1-r{run}"
        if run > 1:
            at += {2: 1.0, 3: 2.0}.get(run, 60.0)
        story.failed(at, execution)
    return story, at


def test_a_first_failure_waits_a_minute_and_runs_again() -> None:
    """The remediation itself is judged again, because its source will say when it is over."""
    story, _ = failing_story(1)
    assert story.verdict == Block(Reason.EXPONENTIAL_BACKOFF, until=minute(1))
    story.wait(minute(1))
    assert story.last.execution == "wfe-1-r2"
    assert story.last.situation.now == minute(1)


def test_a_second_failure_doubles_the_wait() -> None:
    """The ladder climbs: the count belongs to the fingerprint."""
    story, at = failing_story(2)
    assert story.verdict == Block(Reason.EXPONENTIAL_BACKOFF, until=minute(at + 2))


def test_a_third_failure_blocks_for_an_hour_and_then_one_probe_runs() -> None:
    """Half-open: at the end of the cooldown one run is allowed."""
    story, at = failing_story(3)
    assert story.verdict == Block(Reason.CONSECUTIVE_FAILURES, until=minute(at + 60))
    story.wait(at + 60)
    assert story.verdict == Proceed()


def test_a_failed_probe_blocks_for_another_hour_and_the_fifth_failure_is_the_last() -> None:
    """Then it is refused, until a person has looked."""
    story, at = failing_story(4)
    assert story.verdict == Block(Reason.CONSECUTIVE_FAILURES, until=minute(at + 60))
    story, at = failing_story(5)
    assert story.verdict == Refuse(Reason.EXHAUSTED_RETRIES)
    assert story.phase("rr-1") == "Failed"


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_attempts_count_every_verdict_on_a_signal(attempts: int) -> None:
    """The first is 1, and retries count on."""
    story, _ = failing_story(attempts)
    assert [attempt for _, attempt, _ in story.verdicts] == list(range(1, 2 * attempts + 1))
