"""What verdicts are based on: every value of every situation, counted again from the log, naively.

Walked in the order of the fold, with nothing of the core's: runs by what was told of them, occurrences by when
they came, time in a queue by when somebody came and left."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from remediation_orchestrator.events import (
    Block,
    BlockCleared,
    Cause,
    Duplicate,
    FailurePhase,
    FailureReason,
    Phase,
    PhaseChanged,
    Position,
    Proceed,
    Reason,
    Recorded,
    RemediationCancelled,
    RetryRequested,
    RoutingDecided,
    SignalReceived,
    SignalResolved,
    Skip,
    Target,
    TargetReleased,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
)
from remediation_orchestrator.simulation.firing import Firing
from remediation_orchestrator.simulation.recount import in_fold_order

if TYPE_CHECKING:
    from remediation_orchestrator.simulation.world import Day

GRACE = timedelta(seconds=30)
NONE = timedelta()


@dataclass
class _Run:
    remediation: str
    fingerprint: str
    target: Target
    workflow: str
    deadline: datetime
    started: bool = False
    lost: bool = False


@dataclass
class _Known:
    """One remediation."""

    fingerprint: str
    resolves: bool
    occurred_at: datetime
    executing: str | None = None
    """Its run, while it is about that."""
    over: bool = False
    """Its source has said so while it ran, and nothing has fired since."""
    ended: bool = False
    stays: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    """From when to when it waited for a target."""

    def occurs(self, at: datetime) -> None:
        """Its problem has shown itself again. A queue that it had left before that was judged is not counted."""
        self.occurred_at, self.over = at, False
        self.stays = [stay for stay in self.stays if stay[1] is None]

    def leaves(self, now: datetime) -> None:
        """It waits for a target no more."""
        if self.stays and self.stays[-1][1] is None:
            self.stays[-1] = (self.stays[-1][0], now)

    def waited(self, now: datetime) -> timedelta:
        """How long it has waited since its newest occurrence."""
        stays = (min(until or now, now) - max(since, self.occurred_at) for since, until in self.stays)
        return sum((max(stay, NONE) for stay in stays), NONE)


def check_situations(day: "Day") -> Iterator[str]:
    """Every value that a check has read is what a naive recount of the log finds at that moment."""
    counted = _Counted(day)
    for record in in_fold_order(day.messages):
        yield from counted.take(record)


class _Counted:
    def __init__(self, day: "Day") -> None:
        self._known: dict[str, _Known] = {}
        self._runs: dict[str, _Run] = {}
        self._half_done: dict[tuple[Target, str], _Run] = {}
        self._completed: dict[str, tuple[datetime, str]] = {}
        self._worked: dict[tuple[Target, str], tuple[datetime, str]] = {}
        self._waiting: dict[str, list[tuple[Position, bool]]] = defaultdict(list)
        """Occurrences of each fingerprint without a verdict; True for a resolution behind one."""
        self._came: dict[Position, tuple[datetime, bool]] = {}
        """When each occurrence came, and whether its source tells when it is over."""
        self._firing = Firing()
        self._again: dict[str, bool] = {}
        """Of remediations whose run has failed: whether they are to be judged again."""
        self._answered = {
            record.event.because.position
            for record in day.records
            if isinstance(record.event, RoutingDecided) and record.event.because.kind is Cause.RETRY
        }

    def take(self, record: Recorded) -> Iterator[str]:
        """One more fact or decision."""
        event, at = record.event, record.recorded_at
        match event:
            case RoutingDecided():
                yield from self._verdict(event, record.position)
            case PhaseChanged():
                yield from self._changed(event, record.position)
            case TargetReleased(execution=execution):
                self._runs.pop(execution, None)
            case WorkflowStarted() | WorkflowRevoked() | WorkflowCompleted() | WorkflowFailed():
                if (run := self._runs.get(event.execution)) is not None and not run.lost:
                    self._run(event, run, at)
            case BlockCleared():
                self._clear(event, at)
            case _:
                self._other(record, over=self._firing.take(record))

    def _other(self, record: Recorded, *, over: bool) -> None:
        event, at = record.event, record.recorded_at
        match event:
            case SignalReceived(fingerprint=fingerprint, resolves=resolves):
                for one in self._of(fingerprint):
                    one.over = False
                self._came[record.position] = at, resolves
                self._waiting[fingerprint].append((record.position, False))
            case SignalResolved(fingerprint=fingerprint) if over:
                if self._waiting[fingerprint]:
                    self._waiting[fingerprint].append((record.position, True))
                else:
                    self._resolve(fingerprint, at)
                self._came[record.position] = at, False
            case RetryRequested(remediation=remediation) if record.position in self._answered:
                known = self._known[remediation]
                known.occurs(at)
                self._came[record.position] = at, known.resolves
                self._waiting[known.fingerprint].append((record.position, False))
            case RemediationCancelled(remediation=remediation) if remediation in self._known:
                self._end(self._known[remediation], at)
            case _:
                pass

    def _of(self, fingerprint: str) -> Iterator[_Known]:
        """Who is at a problem."""
        return (one for one in self._known.values() if one.fingerprint == fingerprint and not one.ended)

    def _end(self, known: _Known, at: datetime) -> None:
        if not known.ended:
            known.leaves(at)
            known.ended, known.executing = True, None

    def _resolve(self, fingerprint: str, at: datetime) -> None:
        for one in self._of(fingerprint):
            run = self._runs.get(one.executing or "")
            if run is not None and run.started:
                one.over = True
            else:
                self._end(one, at)

    # -- runs ------------------------------------------------------------------------------------------

    def _run(
        self,
        event: WorkflowStarted | WorkflowRevoked | WorkflowCompleted | WorkflowFailed,
        run: _Run,
        at: datetime,
    ) -> None:
        known, key = self._known[run.remediation], (run.target, run.workflow)
        current = known.executing == event.execution
        match event:
            case WorkflowStarted():
                run.started = True
                return
            case WorkflowRevoked() if run.started:
                return
            case WorkflowCompleted():
                self._worked[key] = at, run.remediation
                self._half_done.pop(key, None)
                if current:
                    self._completed[run.fingerprint] = at, run.remediation
                    self._end(known, at)
            case WorkflowFailed(was_execution_failure=ran, idempotent=safe, reason=reason):
                self._fail(run, current=current, ran=ran, safe=safe)
                if ran and reason == FailureReason.EXECUTOR_LOST:
                    run.started = run.lost = True
            case _:
                pass
        if current:
            known.executing = None
        if not run.lost:
            del self._runs[event.execution]

    def _fail(self, run: _Run, *, current: bool, ran: bool, safe: bool) -> None:
        known, key = self._known[run.remediation], (run.target, run.workflow)
        if ran:
            self._half_done.pop(key, None)
        if ran and not safe:
            self._half_done[key] = run
        if current:
            self._again[run.remediation] = known.resolves and not known.over
            known.ended = not self._again[run.remediation]

    def _clear(self, event: BlockCleared, at: datetime) -> None:
        for key, left in list(self._half_done.items()):
            by_target = key[0] == event.target and event.workflow in (None, key[1])
            if by_target or left.fingerprint == event.fingerprint:
                del self._half_done[key]
        for execution, run in list(self._runs.items()):
            goes_on = self._known[run.remediation].executing == execution
            sure = run.lost or (not goes_on and at >= run.deadline + GRACE)
            if run.target == event.target and sure:
                del self._runs[execution]

    # -- decisions -------------------------------------------------------------------------------------

    def _changed(self, change: PhaseChanged, place: Position) -> Iterator[str]:
        known = self._known.get(change.remediation)
        if known is None:
            return
        failed = change.because.kind is Cause.FAILED and change.failure_phase is FailurePhase.WORKFLOW_EXECUTION
        if failed and self._again.pop(change.remediation, False):
            yield f"{place} ends {change.remediation}, which is to be judged again: its problem goes on"
        if change.because.kind is Cause.RESOLVED and not known.ended:
            yield f"{place} ends {change.remediation} because its problem is over, and something fires for it"
        if change.phase is Phase.TIMED_OUT and not known.ended:
            run = self._runs.get(known.executing or "")
            if run is not None:
                self._half_done[run.target, run.workflow] = run
        if change.phase.ended:
            self._end(known, change.now)

    def _verdict(self, decided: RoutingDecided, place: Position) -> Iterator[str]:
        because, now = decided.because, decided.situation.now
        occurrence = because.position if because.kind in (Cause.SIGNAL, Cause.RETRY) else None
        if isinstance(decided.verdict, Duplicate):
            if occurrence in self._came and decided.verdict.of in self._known:
                self._known[decided.verdict.of].occurs(self._came[occurrence][0])
        else:
            if decided.remediation not in self._known:
                at, resolves = self._came.get(occurrence or Position(""), (now, False))
                self._known[decided.remediation] = _Known(decided.situation.fingerprint, resolves, at)
            yield from self._judged(decided, place)
        if occurrence is not None:
            self._answer(decided.situation.fingerprint, occurrence)

    def _judged(self, decided: RoutingDecided, place: Position) -> Iterator[str]:
        known, verdict, situation = self._known[decided.remediation], decided.verdict, decided.situation
        if known.ended and decided.because.kind is not Cause.RETRY:
            yield f"{place} judges {decided.remediation}, which has ended"
        again = self._again.pop(decided.remediation, None)
        if decided.because.kind is Cause.FAILED and again is False:
            yield f"{place} judges {decided.remediation} again, whose problem is over or which is not to be"
        for name, counted in self._values(decided, known).items():
            if counted != getattr(situation, name) and situation.active is None:
                yield f"{place} says `{name}` {getattr(situation, name)}, and counted is {counted}"
        if isinstance(verdict, Skip) and decided.because.kind is Cause.RETRY and known.executing:
            return  # A retry out of scope leaves a run to its remediation.
        known.ended = not isinstance(verdict, Proceed | Block)
        known.executing = None
        if isinstance(verdict, Block) and verdict.reason is Reason.RESOURCE_BUSY:
            if not known.stays or known.stays[-1][1] is not None:
                known.stays.append((situation.now, None))
        else:
            known.leaves(situation.now)
        if isinstance(verdict, Proceed) and decided.execution is not None and decided.workflow is not None:
            known.executing, deadline = decided.execution, decided.deadline or situation.now
            ids = (decided.remediation, situation.fingerprint, situation.target, decided.workflow.id)
            self._runs[decided.execution] = _Run(*ids, deadline)

    def _values(self, decided: RoutingDecided, known: _Known) -> dict[str, object]:
        """Every value that the log alone tells; what may be forgotten only where it is shown."""
        situation = decided.situation
        key = (situation.target, situation.workflow or "")
        left = self._half_done.get(key)
        holder = next((run for run in self._runs.values() if run.target == situation.target), None)
        values: dict[str, object] = {
            "resolves": known.resolves,
            "occurred_at": known.occurred_at,
            "queued": known.waited(situation.now),
            "previous_failure": left.remediation if left is not None else None,
            "held_by": holder.remediation if holder is not None else None,
        }
        if situation.completed_at is not None:
            values["completed_at"], values["completed_by"] = self._completed[situation.fingerprint]
        if situation.workflow_completed_at is not None:
            values["workflow_completed_at"], values["workflow_completed_by"] = self._worked[key]
        return values

    def _answer(self, fingerprint: str, occurrence: Position) -> None:
        """An occurrence has its verdict, and the resolutions right behind it take effect."""
        line = self._waiting[fingerprint]
        if (occurrence, False) in line:
            line.remove((occurrence, False))
        while line and line[0][1]:
            place, _ = line.pop(0)
            self._resolve(fingerprint, self._came[place][0])
