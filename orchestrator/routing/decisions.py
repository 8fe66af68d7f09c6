"""What each decision does to the projection, live as in replay. A recorded decision never raises either:
one whose cause is not in the log changes nothing, and audit shows it."""

from datetime import datetime
from typing import assert_never

from msgspec.structs import replace

from remediation_orchestrator.events import (
    Because,
    Block,
    Cause,
    Decision,
    DecisionFrame,
    Duplicate,
    ExecutionId,
    FailurePhase,
    LogArchived,
    OrchestratorStarted,
    Outcome,
    Phase,
    PhaseChanged,
    PolicyRejected,
    Position,
    Proceed,
    Reason,
    Refuse,
    RetryRequested,
    RoutingDecided,
    ShadowDecided,
    SignalReceived,
    SignalRejected,
    SignalResolved,
    Skip,
    Stage,
    TargetReleased,
    TriedRun,
    Verification,
    VerificationEnded,
    WorkflowRef,
)
from remediation_orchestrator.events.identity import (
    remediation_id,
    run_number,
)

from .effects import (
    count_failure,
    current_run,
    end,
    end_and_tell,
    forgive,
    judge_again,
    miss,
    renew_occurrence,
    resolve,
)
from .lifecycle import Happening, enter, may
from .policy import PolicyError, policy_of
from .projection import Projection
from .state import (
    ArchiveTask,
    HeldRun,
    JudgeTask,
    RejectTask,
    Remediation,
    TellTask,
    Unjudged,
    VerifyTask,
    after,
    shared_target,
    shared_within,
    shared_workflow,
    words_of,
)


def fold_decision(view: Projection, decision: Decision, at: Position | None) -> bool:
    """Let one decision take effect; False where it fits nothing. `at` is None until its frame is stored."""
    match decision:
        case RoutingDecided():
            view.reach(decision.situation.now)
            return _routing_decided(view, decision, at)
        case PhaseChanged():
            view.reach(decision.now)
            return _phase_changed(view, decision, at)
        case TargetReleased():
            view.reach(decision.now)
            return _target_released(view, decision)
        case VerificationEnded():
            view.reach(decision.now)
            return _verification_ended(view, decision)
        case SignalRejected() | PolicyRejected():
            view.task_list.drop(RejectTask, decision.position)
            return True
        case LogArchived():
            view.task_list.drop(ArchiveTask, decision.position)
            return True
        case OrchestratorStarted():
            return _orchestrator_started(view, decision)
        case DecisionFrame() | ShadowDecided():
            return True
        case _:
            assert_never(decision)


def open_remediation(occurrence: Unjudged, signal: SignalReceived) -> Remediation:
    """The remediation that a signal opens, before its first verdict."""
    return Remediation(
        id=remediation_id(occurrence.position),
        fingerprint=occurrence.fingerprint,
        words=words_of(signal),
        target=shared_target(signal.target),
        within=shared_within(signal.within),
        workflow=shared_workflow(signal.workflow),
        resolves=signal.resolves,
        occurred_at=occurrence.recorded_at,
    )


def _routing_decided(view: Projection, record: RoutingDecided, at: Position | None) -> bool:
    occurrence = _occurrence(view, record)
    verdict = record.verdict
    if isinstance(verdict, Duplicate):
        if occurrence is None:
            return False
        _count_occurrence(view, record, verdict, occurrence)
    else:
        known = view.remediations.get(record.remediation)
        if known is None and occurrence is not None and isinstance(occurrence.event, SignalReceived):
            known = open_remediation(occurrence, occurrence.event)
        if known is None or not _take_verdict(view, replace(known, attempts=record.attempt), record, verdict, at):
            return False
    if occurrence is not None:
        _settle(view, occurrence)
    return True


def _occurrence(view: Projection, record: RoutingDecided) -> Unjudged | None:
    """What a verdict answers: a signal its own alone, a retry that of its remediation."""
    cause = record.because
    if cause.kind not in (Cause.SIGNAL, Cause.RETRY) or cause.position is None:
        return None
    found = view.unjudged.get(cause.position)
    match found.event if found is not None else None:
        case RetryRequested(remediation=remediation):
            answers = cause.kind is Cause.RETRY and remediation == remediation_id(record.signal)
        case SignalReceived() | SignalResolved() | None:
            answers = cause.kind is Cause.SIGNAL and cause.position == record.signal
    return found if answers else None


def _settle(view: Projection, occurrence: Unjudged) -> None:
    """Take an occurrence off the list, and let the resolutions take effect that waited for its verdict."""
    following = view.occurrences.answer(occurrence)
    while following is not None:
        resolve(view, following.fingerprint, following.position, following.recorded_at)
        following = view.occurrences.answer(following)


def _count_occurrence(view: Projection, record: RoutingDecided, verdict: Duplicate, occurrence: Unjudged) -> None:
    original = view.remediations.get(verdict.of)
    if original is not None:
        view.retention.know(renew_occurrence(original, occurrence.recorded_at))
    of = remediation_id(record.signal)
    retried = view.remediations.get(of)
    if retried is not None:
        view.retention.know(replace(retried, attempts=record.attempt))
    else:
        view.retention.spoilt.pop(of, None)  # It opens no remediation, so it has no runs.


def _take_verdict(
    view: Projection,
    remediation: Remediation,
    record: RoutingDecided,
    verdict: Proceed | Block | Skip | Refuse,
    at: Position | None,
) -> bool:
    now = record.situation.now
    if isinstance(verdict, Skip) and record.because.kind is Cause.RETRY and _is_at_work(remediation):
        view.retention.know(remediation)  # Its target is not ours any more; what it began goes on.
        return True
    happening = _happening(verdict, _chosen(remediation, record))
    if not may(remediation, happening):
        return False
    view.task_list.drop(JudgeTask, remediation.id)
    if record.stage is Stage.SIGNAL and remediation.workflow is not None:
        view.dequeue(remediation)  # It may be another target's from here on.
        remediation = remediation.unanalysed()
    if isinstance(verdict, Proceed | Block):  # What ends at once must not displace the one that is at it.
        view.retention.begin(remediation)
    if not (isinstance(verdict, Block) and verdict.reason is Reason.RESOURCE_BUSY):
        remediation = _leave_queue(view, remediation, now)
    match verdict:
        case Proceed():
            _proceed(view, remediation, record)
        case Block():
            _block(view, remediation, verdict, now)
        case Skip() | Refuse():
            end(view, remediation, happening)
    view.outbox.promise(record, at)
    return True


def _happening(verdict: Proceed | Block | Skip | Refuse, chosen: WorkflowRef | None) -> Happening:
    match verdict:
        case Proceed():
            return Happening.TO_BE_ANALYSED if chosen is None else Happening.TO_BE_RUN
        case Block():
            return Happening.BLOCKED
        case Skip():
            return Happening.SKIPPED
        case Refuse():
            return Happening.REFUSED


def _chosen(remediation: Remediation, record: RoutingDecided) -> WorkflowRef | None:
    """Return what a Proceed lets run; None where that is to be found first."""
    return None if record.stage is Stage.SIGNAL else remediation.workflow


def _is_at_work(remediation: Remediation) -> bool:
    return remediation.phase is not Phase.BLOCKED and not remediation.phase.ended


def _block(view: Projection, remediation: Remediation, verdict: Block, now: datetime) -> None:
    """Let it wait for a moment, or in its target's queue."""
    in_queue = verdict.until is None
    since = (remediation.queued_since or now) if in_queue else None
    blocked = enter(remediation, Happening.BLOCKED, verdict.until)
    view.retention.know(replace(blocked, queued_since=since))
    if verdict.until is None:
        view.targets.enqueue(remediation)
    else:
        view.timers.wake(verdict.until, remediation.order, remediation.id)


def _leave_queue(view: Projection, remediation: Remediation, now: datetime) -> Remediation:
    view.dequeue(remediation)
    if remediation.queued_since is None:
        return remediation
    return replace(remediation, queued=remediation.waited(now), queued_since=None)


def _proceed(view: Projection, remediation: Remediation, record: RoutingDecided) -> None:
    chosen = _chosen(remediation, record)
    if chosen is None:
        due = None if record.deadline is None else after(record.deadline)
        analysing = enter(remediation, Happening.TO_BE_ANALYSED, due)
        view.retention.know(replace(analysing, analyses=remediation.analyses + 1))
        if due is not None:
            view.timers.wake(due, remediation.order, remediation.id)
    else:
        run = _run_of(remediation, chosen, record, view.next_run(remediation))
        runs = max(remediation.runs + 1, run_number(run.execution))
        view.retention.know(replace(enter(remediation, Happening.TO_BE_RUN), runs=runs))
        view.claim(run)


def _run_of(
    remediation: Remediation, workflow: WorkflowRef, record: RoutingDecided, following: ExecutionId
) -> HeldRun:
    now = record.situation.now
    return HeldRun(
        execution=record.execution or following,
        remediation=remediation.id,
        fingerprint=remediation.fingerprint,
        target=remediation.target,
        workflow=workflow.id,
        decided_at=now,
        start_before=record.start_before or now,
        deadline=record.deadline or now,
    )


def _phase_changed(view: Projection, record: PhaseChanged, at: Position | None) -> bool:
    told = view.tasks.get((TellTask, record.remediation))
    if isinstance(told, TellTask) and told.change.phase is record.phase:
        view.task_list.drop(TellTask, record.remediation)
    remediation = view.remediations.get(record.remediation)
    if remediation is None:
        return False
    if record.phase is Phase.TIMED_OUT and may(remediation, Happening.TOO_LATE):
        _time_out(view, remediation, record)
    view.outbox.notify(record, at)
    run = view.runs.get(record.execution) if record.execution is not None else None
    if run is not None and not run.lost:
        view.targets.renew(replace(run, ending=True))
        view.outbox.end_run(run.execution, record, at, started=run.started)
    return True


def _time_out(view: Projection, remediation: Remediation, record: PhaseChanged) -> None:
    """What no fact says takes effect by its record: too long an analysis or a run counts as a failure."""
    run = current_run(view, remediation)
    if run is not None:
        remediation = miss(view, remediation, TriedRun(run.workflow, "TimedOut"), record.now)
        view.targets.leave(run, whole=False)
    elif record.failure_phase is not FailurePhase.APPROVAL:
        count_failure(view, remediation.fingerprint, record.now)
    end(view, remediation, Happening.TOO_LATE)


def _verification_ended(view: Projection, record: VerificationEnded) -> bool:
    """Whether a run has helped takes effect by its record."""
    remediation = view.remediations.get(record.remediation)
    known = remediation.verifying if remediation is not None else None
    if remediation is None or known is None or known.execution != record.execution:
        return False
    if record.result is not Verification.INEFFECTIVE:
        effective = record.result is Verification.EFFECTIVE
        forgive(view, remediation.fingerprint)
        if effective:
            view.retention.chains.end(remediation.target)
        outcome = Outcome.REMEDIATED if effective else Outcome.UNVERIFIED
        end_and_tell(view, remediation, Happening.VERIFIED, Because(Cause.VERIFIED), record.now, outcome=outcome)
        return True
    tried = TriedRun(remediation.workflow.id if remediation.workflow else "", "Ineffective")
    remediation = miss(view, remediation, tried, record.now)
    view.retention.forget_completion(remediation, known.since, record.now)
    because = Because(Cause.INEFFECTIVE)
    view.task_list.drop(VerifyTask, remediation.id)
    if known.resolves and known.over_since is None:
        judge_again(view, remediation, Happening.INEFFECTIVE, because)
    else:
        outcome, happening = Outcome.INCONCLUSIVE, Happening.INEFFECTIVE_FOR_GOOD
        end_and_tell(view, remediation, happening, because, record.now, outcome=outcome)
    return True


def _target_released(view: Projection, record: TargetReleased) -> bool:
    run = view.runs.get(record.execution)
    if run is None or not run.lost:
        return False
    view.release(run, None)
    return True


def _orchestrator_started(view: Projection, record: OrchestratorStarted) -> bool:
    if record.policy is None or view.adopted:
        return True
    try:
        view.retention.adopt(policy_of(record.policy))
    except PolicyError:
        return False
    return True
