"""Whoever breaks a promise about what is to be judged, for what, and when, is found by one of some histories.

The patch is the mistake."""

import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from remediation_orchestrator.events import Cause, Reason, Situation, Skip, Verdict
from remediation_orchestrator.orchestrator.routing import checks
from remediation_orchestrator.orchestrator.routing.policy import Policy
from remediation_orchestrator.orchestrator.routing.retention import Retention
from remediation_orchestrator.orchestrator.routing.schedule import TaskList
from remediation_orchestrator.orchestrator.routing.state import HeldRun, JudgeTask, Remediation
from remediation_orchestrator.simulation.explore_search import silently
from remediation_orchestrator.simulation.histories import tell

# A history costs some 25 ms; each of these shows within forty of them.
HISTORIES_MAX = 400


def leave_out_what_a_clear_asks_for(patch: pytest.MonkeyPatch) -> None:
    """What is blocked is not judged again because somebody has cleared its problem."""
    ask = TaskList.ask

    def deaf(self: TaskList, task: Any) -> None:
        if not (isinstance(task, JudgeTask) and task.because.kind is Cause.CLEARED):
            ask(self, task)

    patch.setattr(TaskList, "ask", deaf)


def hear_a_retry_of_what_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """What has ended may be retried for as long as it happens to lie about."""

    def forgets_nothing(self: Retention, remediation: Remediation, now: datetime) -> bool:
        return False

    patch.setattr(Retention, "has_forgotten", forgets_nothing)


def let_a_lost_run_go_too_early(patch: pytest.MonkeyPatch) -> None:
    """A lost run's target is free at its deadline."""
    patch.setattr(HeldRun, "released_at", property(lambda run: run.deadline))


def be_wrong_at_a_boundary(patch: pytest.MonkeyPatch) -> None:
    """At exactly its greatest age a signal is too old."""
    stale = checks.CHECKS[2]

    def at_once(situation: Situation, policy: Policy) -> Verdict | None:
        oldest, occurred = policy.routing.signal_max_age, situation.occurred_at
        if oldest is None or occurred is None or situation.resolves:
            return None
        old = situation.now - occurred - situation.queued >= oldest
        return Skip(Reason.STALE_SIGNAL) if old else None

    others = [one for one in checks.CHECKS if one is not stale]
    wrong = checks.Check(
        name=stale.name,
        reason=stale.reason,
        keys=stale.keys,
        reads=stale.reads,
        objection=at_once,
        sentence=stale.sentence,
        when=stale.when,
        then=stale.then,
    )
    patch.setattr(checks, "CHECKS", (*others[:2], wrong, *others[2:]))


def _found(mistake: Callable[[pytest.MonkeyPatch], None], word: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether one of some histories shows a mistake, and says so in these words."""
    silently()
    dice = random.Random(1)
    with monkeypatch.context() as patch:
        mistake(patch)
        return any(word in one for _ in range(HISTORIES_MAX) for one in tell(dice.randbytes(150)))


def test_whoever_leaves_out_what_a_clear_asks_for_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is judged before any signal."""
    assert _found(leave_out_what_a_clear_asks_for, "has asked for", monkeypatch)


def test_whoever_hears_a_retry_of_what_is_forgotten_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing follows from it."""
    assert _found(hear_a_retry_of_what_is_forgotten, "nothing may follow", monkeypatch)


def test_whoever_lets_a_lost_run_go_too_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its target is held for thirty seconds more."""
    assert _found(let_a_lost_run_go_too_early, "may be at it", monkeypatch)


def test_whoever_is_wrong_at_a_boundary_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """At exactly an age's end the way is free."""
    assert _found(be_wrong_at_a_boundary, "the table says", monkeypatch)
