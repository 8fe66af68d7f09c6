"""The checkers are checked: each planted bug, a mistake that somebody could make, is found within 200 days.

This is the one place where our own code is patched: the patch is the mistake."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from remediation_orchestrator.bus.memory import MemoryLog
from remediation_orchestrator.bus.port import LogError, Room
from remediation_orchestrator.events import Position, StoredMessage, codec, encode
from remediation_orchestrator.executor import attempt
from remediation_orchestrator.executor.attempt import Attempt
from remediation_orchestrator.executor.claim import Started
from remediation_orchestrator.executor.lease import ClaimLease, ConfirmSchedule
from remediation_orchestrator.orchestrator import appending, dispatch, lead
from remediation_orchestrator.orchestrator.routing import checks, decisions, effects, facts
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.judge import judge
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.targets import Targets
from remediation_orchestrator.orchestrator.service import Orchestrator
from remediation_orchestrator.simulation.broker import ACK_WAIT
from remediation_orchestrator.simulation.checkers import violations
from remediation_orchestrator.simulation.endless import EndlessError, ended
from remediation_orchestrator.simulation.line import Line
from remediation_orchestrator.simulation.world import SHORT, simulate

DAYS_MAX = 200
# Of processor time: ten times what a short day takes.
DAY_SECONDS = 5.0
# What a patch says that no longer fits the code: it would be found, and prove nothing.
BROKEN_PLANT = ("AttributeError", "NameError", "TypeError")
Plant = Callable[[pytest.MonkeyPatch], None]


def fold_on_arrival(patch: pytest.MonkeyPatch) -> None:
    """Facts are folded when they are read, whatever the frames say."""
    take = Fold.take

    def at_once(self: Fold, message: StoredMessage, *own: Any) -> None:
        take(self, message, *own)
        self.fold_facts()

    patch.setattr(Fold, "take", at_once)


def skip_the_fence(patch: pytest.MonkeyPatch) -> None:
    """Frames are appended whoever has appended before."""

    async def append(self: appending.FrameAppender, payload: bytes) -> int:
        while True:
            try:
                return await self._log.append(self._subject, payload)
            except LogError:
                await asyncio.sleep(1.0)

    patch.setattr(appending.FrameAppender, "append", append)


def forget_what_is_owed(patch: pytest.MonkeyPatch) -> None:
    """A new leader sends only what it decided itself."""
    begin = lead.Leader.begin

    async def forgetful(self: lead.Leader, first_record: Any) -> None:
        await begin(self, first_record)
        self._fold.view.outbox.owed.clear()

    patch.setattr(lead.Leader, "begin", forgetful)


def forget_timers(patch: pytest.MonkeyPatch) -> None:
    """A new leader waits for nothing that an earlier one waited for."""
    begin = lead.Leader.begin

    async def forgetful(self: lead.Leader, first_record: Any) -> None:
        await begin(self, first_record)
        self._fold.view.timers.heap.clear()

    patch.setattr(lead.Leader, "begin", forgetful)


def release_at_the_report(patch: pytest.MonkeyPatch) -> None:
    """A lost run's target is free as soon as it is reported lost."""
    patch.setattr(facts, "lose", lambda view, run: effects.let_go(view, run, Position("1")))


def count_a_duplicate(patch: pytest.MonkeyPatch) -> None:
    """A repeated signal counts as a failure."""
    count = decisions._count_occurrence

    def and_fail(view: Projection, record: Any, verdict: Any, occurrence: Any) -> None:
        count(view, record, verdict, occurrence)
        effects.count_failure(view, occurrence.fingerprint, occurrence.recorded_at)

    patch.setattr(decisions, "_count_occurrence", and_fail)


def run_again_on_redelivery(patch: pytest.MonkeyPatch) -> None:
    """Whoever meets somebody else's lost run takes it over."""

    async def take_over(self: Attempt, start: Started) -> bool:
        self._lease = ClaimLease(ConfirmSchedule(ACK_WAIT), self._ports.monotonic, self._ports.monotonic())
        if self._hand.assignment is None:
            return False
        await self._run(self._hand.assignment, replace(start, delivery=self._delivery.number))
        return True

    patch.setattr(Attempt, "_meet", take_over)


def claim_without_expectation(patch: pytest.MonkeyPatch) -> None:
    """Two may claim one run: nobody asks to be the first on its subject."""
    append = Line.append

    async def anyhow(self: Line, subject: str, payload: bytes, *, expect: int | None = None, **rest: Any) -> int:
        claim = ".execution." in subject and expect == 0
        return await append(self, subject, payload, expect=None if claim else expect, **rest)

    patch.setattr(Line, "append", anyhow)


def command_without_expectation(patch: pytest.MonkeyPatch) -> None:
    """A command is sent again although it stands in the log."""

    async def store(self: dispatch.Dispatcher, record: Any) -> None:
        while True:
            try:
                await self._log.append(record.subject, record.written(self._now()))
            except LogError:
                await asyncio.sleep(1.0)
            else:
                return

    patch.setattr(dispatch.Dispatcher, "_store", store)


def ignore_resolved(patch: pytest.MonkeyPatch) -> None:
    """What is over is repaired all the same."""
    patch.setattr(facts, "_signal_resolved", lambda view, signal, position, at: True)


def judge_while_folding_the_past(patch: pytest.MonkeyPatch) -> None:
    """A standby judges what it folds, and keeps it for itself."""
    take = Orchestrator._take

    async def and_judge(self: Orchestrator) -> None:
        await take(self)
        if self.fold.facts:
            self.fold.fold_facts()
            judge(self.fold.view, self.clock.now())

    patch.setattr(Orchestrator, "_take", and_judge)


def restart_the_ladder(patch: pytest.MonkeyPatch) -> None:
    """Each remediation has failures of its own."""
    take_verdict = decisions._take_verdict

    def afresh(view: Projection, remediation: Any, record: Any, verdict: Any, at: Any) -> bool:
        if record.attempt == 1:
            effects.forgive(view, remediation.fingerprint)
        return take_verdict(view, remediation, record, verdict, at)

    patch.setattr(decisions, "_take_verdict", afresh)


def believe_every_append(patch: pytest.MonkeyPatch) -> None:
    """An append that was not answered is taken for stored."""

    async def append(self: appending.FrameAppender, payload: bytes) -> int:
        try:
            return await self._log.append(self._subject, payload, expect=self._chain.last)
        except LogError:
            return await self._log.last_sequence() + 1

    patch.setattr(appending.FrameAppender, "append", append)


def forget_the_queue(patch: pytest.MonkeyPatch) -> None:
    """A released target is offered to nobody."""

    def release(self: Projection, run: Any, position: Any) -> None:
        self.targets.release(run)

    patch.setattr(Projection, "release", release)


def forget_the_half_done(patch: pytest.MonkeyPatch) -> None:
    """A run that failed half-way is as good as one that never began."""
    patch.setattr(Targets, "leave", lambda self, run, *, whole: None)


def believe_who_somebody_claims_to_be(patch: pytest.MonkeyPatch) -> None:
    """An operator's event counts whoever it says to be by."""
    patch.setattr(codec, "why_not_theirs", lambda fact, rest: None)


def ignore_who_holds_the_target(patch: pytest.MonkeyPatch) -> None:
    """The lock on a target is not asked for."""
    patch.setattr(checks, "CHECKS", checks.CHECKS[:-1])


def give_up_the_report(patch: pytest.MonkeyPatch) -> None:
    """The end of a run is told once, and if that is not answered, never."""

    async def report(self: Attempt, start: Started, outcome: Any, *, idempotent: bool) -> None:
        fact = attempt._fact(self._execution, outcome, idempotent=idempotent)
        try:
            await self._place.append(encode(fact, self._attributes(f"end-{start.sequence}")))
        except LogError:
            return

    patch.setattr(Attempt, "_report", report)


def believe_that_signals_are_taken(patch: pytest.MonkeyPatch) -> None:
    """A leader does not ask whether the log has been shut for signals, by itself or by an earlier one."""

    told = MemoryLog.room

    async def trusting(self: MemoryLog) -> Room:
        return structs.replace(await told(self), takes_signals=True)

    patch.setattr(MemoryLog, "room", trusting)


PLANTS: tuple[Plant, ...] = (
    fold_on_arrival,
    skip_the_fence,
    forget_what_is_owed,
    forget_timers,
    release_at_the_report,
    count_a_duplicate,
    run_again_on_redelivery,
    claim_without_expectation,
    command_without_expectation,
    ignore_resolved,
    judge_while_folding_the_past,
    restart_the_ladder,
    believe_every_append,
    forget_the_queue,
    forget_the_half_done,
    believe_who_somebody_claims_to_be,
    ignore_who_holds_the_target,
    give_up_the_report,
    believe_that_signals_are_taken,
)


def _found(seed: int) -> list[str]:
    """What the day of a seed shows. One that goes on and on shows that, too."""
    try:
        with ended(DAY_SECONDS):
            return list(violations(simulate(seed, SHORT)))
    except EndlessError as error:
        return [f"the day does not end: {error}"]


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found_within_200_days(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checker that never says no is no checker."""
    for seed in range(DAYS_MAX):
        with monkeypatch.context() as patch:
            plant(patch)
            found = _found(seed)
        assert not any(word in one for one in found for word in BROKEN_PLANT), found
        if found:
            return
    pytest.fail(f"{DAYS_MAX} days, and nobody has noticed")
