"""A round of judgement: everything that waits, in one fixed order, each decision folded before the next.

1. What the facts ended, cleared or released: a remediation whose run failed first, then its target's queue.
2. What has become due.
3. Signals without a verdict, in the order of the log."""

from collections.abc import Callable, Container, Iterable, Iterator
from datetime import datetime
from typing import TypeVar

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
    RetryRequested,
    RoutingDecided,
    ShadowDecided,
    SignalReceived,
    SignalRejected,
    SignalResolved,
    Stage,
    TargetReleased,
    VerificationEnded,
)
from remediation_orchestrator.events.durations import later
from remediation_orchestrator.events.identity import analysis_id, remediation_id

from .checks import decide
from .decisions import fold_decision, open_remediation
from .effects import current_run, tried_in_vain
from .lifecycle import LIFE, Happening, may
from .policy import Policy
from .projection import Projection
from .schedule import task_key
from .state import (
    ArchiveTask,
    HeldRun,
    JudgeTask,
    RejectTask,
    Remediation,
    ServeTask,
    Task,
    TaskKey,
    TellTask,
    Unjudged,
    VerifyTask,
    words_of,
)

T = TypeVar("T")

LIMITS = {
    Phase.ANALYZING: FailurePhase.AI_ANALYSIS,
    Phase.AWAITING_APPROVAL: FailurePhase.APPROVAL,
    Phase.EXECUTING: FailurePhase.WORKFLOW_EXECUTION,
}
"""The phases that have a limit, and in which phase a remediation fails that stays too long."""

Judged = (
    RoutingDecided
    | PhaseChanged
    | VerificationEnded
    | TargetReleased
    | SignalRejected
    | PolicyRejected
    | LogArchived
)
TurnKey = TaskKey | str
"""What has to be decided: a task, the id of what is due, the position of what has no verdict."""


class Turn(Struct, frozen=True):
    """What has to be decided next."""

    key: TurnKey
    about: Task | tuple[datetime, str] | Unjudged
    """What asks for it."""
    decision: Judged


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
    while (one := next_turn(view, now)) is not None:
        if isinstance(one, str):
            yield one
            continue
        decision = one.decision
        fold_decision(view, decision, None)
        assert not _is_open(view, one), f"{one.key} is not answered by {decision}"
        other = shadow_verdict(view.shadow, decision) if isinstance(decision, RoutingDecided) else None
        yield (decision,) if other is None else (decision, other)


def next_turn(view: Projection, now: datetime, passed: Container[TurnKey] = ()) -> Turn | ExecutionId | None:
    """Return what has to be decided next at this moment, and is to be folded before that is asked again.

    An id is of a run to revoke, and is told once; None where nothing waits. What was `passed` over is left out."""
    task = _first(view.tasks.values(), task_key, passed) if view.tasks else None
    if task is not None:
        return Turn(task_key(task), task, _do(view, task, now))
    while (due := view.timers.next_due(now)) is not None:
        about = due[1]
        run = view.runs.get(ExecutionId(about))
        overdue = run is not None and not run.started
        if overdue or about in passed:
            view.timers.take_due(now)
        if overdue:
            return ExecutionId(about)
        if about not in passed:
            return Turn(about, due, _when_due(view, run, RemediationId(about), now))
    waiting: Iterable[Unjudged] = view.unjudged.values()
    if passed:  # A resolution waits behind what was passed over, and has no verdict of its own.
        waiting = (one for one in waiting if not isinstance(one.event, SignalResolved))
    occurrence = _first(waiting, _place_of, passed)
    if occurrence is not None:
        return Turn(occurrence.position, occurrence, _judged(view, occurrence, now))
    return None


def _first(waiting: Iterable[T], key_of: Callable[[T], TurnKey], passed: Container[TurnKey]) -> T | None:
    if not passed:
        return next(iter(waiting), None)
    return next((one for one in waiting if key_of(one) not in passed), None)


def _place_of(occurrence: Unjudged) -> TurnKey:
    return occurrence.position


def _is_open(view: Projection, one: Turn) -> bool:
    """Whether what was decided waits all the same; a target's queue may have more than one who waits."""
    match one.about:
        case Unjudged():
            return one.key in view.unjudged
        case ServeTask():
            return False
        case tuple():
            return view.timers.next_due() == one.about
        case JudgeTask() | TellTask() | VerifyTask() | RejectTask() | ArchiveTask() as task:
            return view.tasks.get(task_key(task)) is task


def verdict_on_signal(
    view: Projection, occurrence: Unjudged, signal: SignalReceived, now: datetime
) -> RoutingDecided:
    """Judge a signal for the first time."""
    active = view.history(occurrence.fingerprint).active
    if active is not None:
        return _verdict_beside(view, occurrence, signal, now, active)
    remediation = open_remediation(occurrence, signal)
    return _verdict(view, remediation, now, Because(Cause.SIGNAL, occurrence.position), None)


def _verdict_beside(
    view: Projection, occurrence: Unjudged, signal: SignalReceived, now: datetime, active: RemediationId
) -> RoutingDecided:
    """As `_verdict` on what the signal would open. Most signals of a storm open nothing, so it is not made."""
    said = (words_of(signal), signal.workflow) if view.retention.reads_signal else None
    situation = view.situation_beside(occurrence.fingerprint, (signal.target, signal.within), now, active, said)
    verdict = decide(situation, view.policy)
    return RoutingDecided(
        signal=occurrence.position,
        remediation=verdict.of if isinstance(verdict, Duplicate) else remediation_id(occurrence.position),
        attempt=1,
        because=Because(Cause.SIGNAL, occurrence.position),
        stage=Stage.SIGNAL if signal.workflow is None else Stage.WORKFLOW,
        verdict=verdict,
        situation=situation,
    )


def verdict_again(view: Projection, remediation: Remediation, because: Because, now: datetime) -> RoutingDecided:
    """Judge a remediation again, by the whole list. A retry of one that is at work is its own duplicate."""
    active = view.history(remediation.fingerprint).active
    at_work = because.kind is Cause.RETRY and remediation.phase is not Phase.BLOCKED
    if active == remediation.id and not at_work:
        active = None
    if active is None and _is_tried_out(view, remediation, now):
        remediation = remediation.unanalysed()
    return _verdict(view, remediation, now, because, active)


def _is_tried_out(view: Projection, remediation: Remediation, now: datetime) -> bool:
    """Whether so many runs of what an analysis named have not helped that it is to be analysed again."""
    most = view.policy.routing.runs_per_analysis
    if most is None or remediation.workflow is None or not remediation.analyses or remediation.misses < most:
        return False
    return len(tried_in_vain(view, remediation.fingerprint, now)) >= most


def _do(view: Projection, task: Task, now: datetime) -> Judged:
    match task:
        case JudgeTask():
            return verdict_again(view, view.remediations[task.remediation], task.because, now)
        case ServeTask():
            first = view.targets.first(task.target)
            return verdict_again(view, view.remediations[first], task.because, now)
        case TellTask():
            return replace(task.change, now=now)
        case VerifyTask():
            return _verified(view.remediations[task.remediation], now)
        case ArchiveTask():
            return task.record
        case RejectTask():
            return answer_of(task)


def answer_of(task: RejectTask) -> SignalRejected | PolicyRejected:
    """How a record that could not be taken is answered."""
    if task.reason is None:
        return PolicyRejected(task.position, task.message)
    return SignalRejected(task.position, task.reason, task.message)


def _when_due(view: Projection, run: HeldRun | None, about: RemediationId, now: datetime) -> Judged:
    if run is not None and run.lost:
        return TargetReleased(run.target, run.execution, now)
    remediation = view.remediations[about if run is None else run.remediation]
    if remediation.phase is Phase.BLOCKED:
        return verdict_again(view, remediation, Because(Cause.DUE), now)
    if remediation.verifying is not None:
        return _verified(remediation, now)
    return _timed_out(remediation, now)


def expected_result(view: Projection, remediation: RemediationId, now: datetime) -> VerificationEnded | None:
    """What is known by now of a repair that is being verified; None where none is, or it is open."""
    known = view.remediations.get(remediation)
    if known is None or known.verifying is None or known.verifying.result_at(now) is None:
        return None
    return _verified(known, now)


def _verified(remediation: Remediation, now: datetime) -> VerificationEnded:
    known = remediation.verifying
    assert known is not None, f"nothing verifies {remediation.id}"
    result = known.result_at(now)
    assert result is not None, f"{remediation.id} is verified too soon"
    return VerificationEnded(remediation=remediation.id, execution=known.execution, result=result, now=now)


def expected_end(view: Projection, remediation: RemediationId, now: datetime) -> PhaseChanged | None:
    """The end that time alone has brought to a remediation by now; None where it has not."""
    known = view.remediations.get(remediation)
    if known is None:
        return None
    run = current_run(view, known)
    if run is not None:
        return _timed_out(known, now) if run.started and now > run.deadline else None
    over = may(known, Happening.TOO_LATE) and known.due is not None and now >= known.due
    return _timed_out(known, now) if over else None


def _timed_out(remediation: Remediation, now: datetime) -> PhaseChanged:
    executing = remediation.phase is Phase.EXECUTING
    return PhaseChanged(
        remediation=remediation.id,
        fingerprint=remediation.fingerprint,
        phase=LIFE[remediation.phase, Happening.TOO_LATE],
        because=Because(Cause.DUE),
        now=now,
        attempt=remediation.attempts,
        target=remediation.target,
        failure_phase=LIMITS[remediation.phase],
        execution=remediation.execution if executing else None,
    )


def _judged(view: Projection, occurrence: Unjudged, now: datetime) -> RoutingDecided:
    match occurrence.event:
        case SignalReceived() as signal:
            return verdict_on_signal(view, occurrence, signal, now)
        case SignalResolved():
            raise AssertionError(f"{occurrence.position} waits behind nothing")
        case RetryRequested() as retry:
            remediation = view.remediations[retry.remediation]
            return verdict_again(view, remediation, Because(Cause.RETRY, occurrence.position), now)


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
            name=remediation.words.name,
            severity=remediation.words.severity,
            analysis=analysis_id(remediation.id, remediation.analyses + 1),
            tried=tried_in_vain(view, remediation.fingerprint, now),
            deadline=later(now, limits.analyzing),
        )
    return replace(
        record,
        execution=view.next_run(remediation),
        workflow=remediation.workflow,
        start_before=later(now, limits.starting),
        deadline=later(now, limits.executing),
    )


def shadow_verdict(shadow: Policy | None, decided: RoutingDecided) -> ShadowDecided | None:
    """What a policy in shadow says of a verdict's situation; None where it says the same, and where there is none.

    It has no projection of its own: its verdict is on the situation that the policy in force has led to."""
    if shadow is None:
        return None
    verdict = decide(replace(decided.situation, policy=shadow.digest), shadow)
    if verdict == decided.verdict:
        return None
    return ShadowDecided(decided.signal, decided.attempt, shadow.digest, verdict)
