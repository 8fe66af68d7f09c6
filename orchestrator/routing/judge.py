"""A round of judgement: everything that waits, in one fixed order, each decision folded before the next.

1. What the facts ended, cleared or released: a remediation whose run failed first, then its target's queue.
2. What has become due.
3. Signals without a verdict, in the order of the log."""

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from remediation_orchestrator.events import (
    Because,
    Cause,
    Decision,
    Duplicate,
    ExecutionId,
    FailurePhase,
    LogArchived,
    Phase,
    PhaseChanged,
    PolicyRejected,
    Proceed,
    RemediationId,
    RoutingDecided,
    SignalReceived,
    SignalRejected,
    SignalResolved,
    Stage,
    TargetReleased,
)
from remediation_orchestrator.events.identity import analysis_id

from .checks import decide
from .decisions import fold_decision, open_remediation
from .effects import current_run
from .projection import Projection
from .shadow import shadow_verdict
from .state import Answer, Archive, Judge, Remediation, Run, Serve, Task, Tell, Unjudged

_TIMED = {
    Phase.ANALYZING: FailurePhase.AI_ANALYSIS,
    Phase.AWAITING_APPROVAL: FailurePhase.APPROVAL,
    Phase.EXECUTING: FailurePhase.WORKFLOW_EXECUTION,
}
"""The phases that have a limit, and in which phase a remediation fails that stays too long."""

Judged = RoutingDecided | PhaseChanged | TargetReleased | SignalRejected | PolicyRejected | LogArchived


class Round(Struct, frozen=True):
    """What a round came to: decisions to store, and runs to revoke that nobody has started in time."""

    decisions: list[Decision]
    overdue: list[ExecutionId]


def judge(view: Projection, now: datetime) -> Round:
    """Decide all that waits for a decision at this moment, and fold it."""
    decisions: list[Decision] = []
    overdue: list[ExecutionId] = []
    for one in judgements(view, now):
        if isinstance(one, str):
            overdue.append(one)
        else:
            decisions += one
    return Round(decisions, overdue)


def judgements(view: Projection, now: datetime) -> Iterator[tuple[Decision, ...] | ExecutionId]:
    """Decide all that waits, one by one, each folded before it is handed out with what stands behind it.

    An id is of a run to revoke. Whoever asks may go on later, as long as nothing else is folded meanwhile."""
    for one in _in_order(view, now):
        other = shadow_verdict(view.shadow, one) if isinstance(one, RoutingDecided) else None
        yield one if isinstance(one, str) else (one,) if other is None else (one, other)


def _in_order(view: Projection, now: datetime) -> Iterator[Decision | ExecutionId]:
    yield from _agenda(view, now)
    for due in _due(view, now):
        yield due
        if not isinstance(due, str):
            yield from _agenda(view, now)
    for decision in _signals(view, now):
        yield decision
        yield from _agenda(view, now)


def verdict_on_signal(
    view: Projection, occurrence: Unjudged, signal: SignalReceived, now: datetime
) -> RoutingDecided:
    """Judge a signal for the first time."""
    remediation = open_remediation(occurrence, signal)
    active = view.history(occurrence.fingerprint).active
    return _verdict(view, remediation, now, Because(Cause.SIGNAL, occurrence.position), active)


def verdict_again(view: Projection, remediation: Remediation, because: Because, now: datetime) -> RoutingDecided:
    """Judge a remediation again, by the whole list. A retry of one that is at work is its own duplicate."""
    active = view.history(remediation.fingerprint).active
    at_work = because.kind is Cause.RETRY and remediation.phase is not Phase.BLOCKED
    if active == remediation.id and not at_work:
        active = None
    return _verdict(view, remediation, now, because, active)


def _agenda(view: Projection, now: datetime) -> Iterator[Decision]:
    while view.agenda:
        key, task = next(iter(view.agenda.items()))
        decision = _do(view, task, now)
        fold_decision(view, decision, None)
        yield decision
        assert view.agenda.get(key) is not task or isinstance(task, Serve), f"{task} is not answered by {decision}"


def _do(view: Projection, task: Task, now: datetime) -> Judged:
    match task:
        case Judge():
            return verdict_again(view, view.remediations[task.remediation], task.because, now)
        case Serve():
            first = next(iter(view.queues[task.target]))
            return verdict_again(view, view.remediations[first], task.because, now)
        case Tell():
            return replace(task.change, now=now)
        case Archive():
            return task.record
        case Answer(reason=reason):
            if reason is None:
                return PolicyRejected(task.position, task.message)
            return SignalRejected(task.position, reason, task.message)


def _due(view: Projection, now: datetime) -> Iterator[Judged | ExecutionId]:
    while (about := view.take_due(now)) is not None:
        run = view.runs.get(ExecutionId(about))
        if run is not None and not run.started:
            yield run.execution
            continue
        decision = _when_due(view, run, RemediationId(about), now)
        fold_decision(view, decision, None)
        yield decision


def _when_due(view: Projection, run: Run | None, about: RemediationId, now: datetime) -> Judged:
    if run is not None and run.lost:
        return TargetReleased(run.target, run.execution, now)
    remediation = view.remediations[about if run is None else run.remediation]
    if remediation.phase is Phase.BLOCKED:
        return verdict_again(view, remediation, Because(Cause.DUE), now)
    return _timed_out(remediation, now)


def expected_end(view: Projection, remediation: RemediationId, now: datetime) -> PhaseChanged | None:
    """The end that time alone has brought to a remediation by now; None where it has not."""
    known = view.remediations.get(remediation)
    if known is None:
        return None
    run = current_run(view, known)
    if run is not None:
        return _timed_out(known, now) if run.started and now > run.deadline else None
    over = known.phase in _TIMED and known.until is not None and now > known.until
    return _timed_out(known, now) if over else None


def _timed_out(remediation: Remediation, now: datetime) -> PhaseChanged:
    executing = remediation.phase is Phase.EXECUTING
    return PhaseChanged(
        remediation=remediation.id,
        fingerprint=remediation.fingerprint,
        phase=Phase.TIMED_OUT,
        because=Because(Cause.DUE),
        now=now,
        attempt=remediation.attempts,
        target=remediation.target,
        failure_phase=_TIMED[remediation.phase],
        execution=remediation.execution if executing else None,
    )


def _signals(view: Projection, now: datetime) -> Iterator[Decision]:
    while view.unjudged:
        occurrence = next(iter(view.unjudged.values()))
        match occurrence.event:
            case SignalReceived() as signal:
                decision = verdict_on_signal(view, occurrence, signal, now)
            case SignalResolved():
                raise AssertionError(f"{occurrence.position} waits behind nothing")
            case retry:
                remediation = view.remediations[retry.remediation]
                decision = verdict_again(view, remediation, Because(Cause.RETRY, occurrence.position), now)
        fold_decision(view, decision, None)
        assert occurrence.position not in view.unjudged, f"{occurrence.position} has no verdict"
        yield decision


def _verdict(
    view: Projection, remediation: Remediation, now: datetime, because: Because, active: RemediationId | None
) -> RoutingDecided:
    situation = view.situation(remediation, now, active)
    verdict = decide(situation, view.policy)
    record = RoutingDecided(
        signal=remediation.signal,
        remediation=verdict.of if isinstance(verdict, Duplicate) else remediation.id,
        attempt=remediation.attempts + 1,
        because=because,
        stage=Stage.SIGNAL if remediation.workflow is None else Stage.WORKFLOW,
        verdict=verdict,
        situation=situation,
    )
    return _with_consequence(view, remediation, record, now) if isinstance(verdict, Proceed) else record


def _with_consequence(
    view: Projection, remediation: Remediation, record: RoutingDecided, now: datetime
) -> RoutingDecided:
    """Write into a Proceed all that its command will say."""
    limits = view.policy.timeouts
    if remediation.workflow is None:
        return replace(
            record,
            name=remediation.kind.name,
            severity=remediation.kind.severity,
            analysis=analysis_id(remediation.id, remediation.analyses + 1),
            deadline=now + limits.analyzing,
        )
    return replace(
        record,
        execution=view.next_run(remediation),
        workflow=remediation.workflow,
        start_before=now + limits.starting,
        deadline=now + limits.executing,
    )
