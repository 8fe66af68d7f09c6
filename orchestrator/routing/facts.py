"""What each fact does to the projection. A recorded fact never raises; one that fits nothing changes nothing.

A fact takes effect here, when it is folded. What must be recorded because of it goes on the task list."""

from datetime import datetime
from typing import assert_never

from msgspec import to_builtins
from msgspec.structs import replace

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    ApprovalGranted,
    ApprovalRejected,
    ArchiveRequested,
    Because,
    BlockCleared,
    Cause,
    ExecutionId,
    Fact,
    FailurePhase,
    FailureReason,
    Fingerprint,
    LossAccepted,
    Outcome,
    PolicyAdopted,
    PolicyShadowed,
    Position,
    Recorded,
    RemediationCancelled,
    RetryRequested,
    Severity,
    SignalReceived,
    SignalResolved,
    Target,
    TriedRun,
    Undecodable,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
)
from remediation_orchestrator.events.durations import later
from remediation_orchestrator.events.facts import RunFact
from remediation_orchestrator.events.identity import (
    analysis_id,
    position_key,
    remediation_of,
    run_number,
    signal_of,
    within_of,
)
from remediation_orchestrator.events.matchers import Matched, matches

from .acts import fold_act
from .effects import (
    change_of,
    count_failure,
    end_and_tell,
    find_executing,
    forgive,
    judge_again,
    let_go,
    lose,
    miss,
    resolve,
    verify,
)
from .lifecycle import Happening, enter, may
from .policy import Policy
from .projection import Projection
from .state import (
    HeldRun,
    RejectTask,
    Remediation,
    TellTask,
    Unjudged,
    after,
    shared_target,
    shared_text,
    shared_within,
    shared_workflow,
    words_of,
)
from .verification import verifying


def fold_fact(view: Projection, record: Recorded | Undecodable) -> bool:
    """Let one fact take effect; False where it is a stray that fits nothing."""
    view.reach(record.recorded_at)
    if isinstance(record, Undecodable):
        view.task_list.ask(RejectTask(record.position, record.reason, record.message, record.unknown_type))
        return True
    fact: Fact = record.event  # type: ignore[assignment]  # The codec lets nothing else be said on these subjects.
    fits = _take(view, fact, record.position, record.recorded_at)
    if not fits and isinstance(fact, RunFact):
        _spoil(view, fact.execution, record.position)
    return fits


def _take(view: Projection, fact: Fact, position: Position, at: datetime) -> bool:
    """Every fact there is: a new one is an error of the type checker until it has its line. The frequent first."""
    match fact:
        case SignalReceived():
            return _signal_received(view, fact, position, at)
        case WorkflowStarted():
            return _workflow_started(view, fact, at)
        case WorkflowCompleted():
            return _workflow_completed(view, fact, position, at)
        case WorkflowFailed():
            return _workflow_failed(view, fact, position, at)
        case SignalResolved():
            return _signal_resolved(view, fact, position, at)
        case AnalysisCompleted():
            return _analysis_completed(view, fact, position, at)
        case AnalysisFailed():
            return _analysis_failed(view, fact, position, at)
        case WorkflowRevoked():
            return _workflow_revoked(view, fact, position)
        case ApprovalGranted() | ApprovalRejected() | BlockCleared() | RemediationCancelled() | RetryRequested():
            return fold_act(view, fact, position, at)
        case PolicyAdopted() | PolicyShadowed() | ArchiveRequested() | LossAccepted():
            return fold_act(view, fact, position, at)
        case _:
            assert_never(fact)


# -- signals -------------------------------------------------------------------------------------------


def _signal_received(view: Projection, signal: SignalReceived, position: Position, at: datetime) -> bool:
    fingerprint = Fingerprint(signal.fingerprint)
    at_it = view.active(fingerprint)
    if at_it is not None and at_it.verifying is not None:
        verify(view, at_it, at_it.verifying.fired(at))
    elif at_it is not None and at_it.resolved:
        view.retention.know(replace(at_it, resolved=False))
    if signal.alert:
        view.retention.fire(fingerprint, signal.alert, at)
    view.occurrences.wait(Unjudged(position, at, fingerprint, classify(signal, view.policy)))
    return True


def classify(signal: SignalReceived, policy: Policy) -> SignalReceived:
    """Return a signal as a policy classifies it: each rule that matches sets, and sees what was set before."""
    for rule in policy.classify:
        workflow = signal.workflow.id if signal.workflow is not None else None
        known = Matched(signal.fingerprint, signal.target, words_of(signal), workflow, signal.labels)
        if matches(rule.when, known):
            signal = replace(signal, **to_builtins(rule.assigned))
    return signal


def _signal_resolved(view: Projection, signal: SignalResolved, position: Position, at: datetime) -> bool:
    fingerprint = Fingerprint(signal.fingerprint)
    if not view.retention.resolve(fingerprint, signal.alert, at):
        return True  # Another alert fires for the problem still.
    at_it = view.active(fingerprint)
    if at_it is not None and at_it.verifying is not None:
        verify(view, at_it, at_it.verifying.over(at))
    if fingerprint in view.occurrences.waiting:  # It comes after signals without a verdict: it waits for its turn.
        view.occurrences.wait(Unjudged(position, at, fingerprint, signal))
        return True
    return resolve(view, fingerprint, position, at)


# -- analysis ------------------------------------------------------------------------------------------


def _analysis_completed(view: Projection, fact: AnalysisCompleted, position: Position, at: datetime) -> bool:
    remediation = view.remediations.get(fact.remediation)
    if (
        remediation is None
        or not may(remediation, Happening.WORKFLOW_CHOSEN)
        or _is_of_an_earlier(fact, remediation)
    ):
        return False
    because = Because(Cause.ANALYSED, position)
    if fact.workflow is None:
        end_and_tell(view, remediation, Happening.NONE_FITS, because, at, outcome=_without(remediation, fact))
        return True
    known = replace(
        remediation,
        target=shared_target(fact.target or remediation.target),
        within=_within(remediation, fact),
        home=(remediation.target, remediation.within),
        workflow=shared_workflow(fact.workflow),
        misses=0,
    )
    if fact.approval_required:
        due = after(later(at, view.policy.timeouts.approval))
        asking = enter(known, Happening.APPROVAL_WANTED, due)
        view.retention.know(asking)
        view.timers.wake(due, known.order, known.id)
        view.task_list.tell(TellTask(change_of(asking, because, at)))
    else:
        judge_again(view, known, Happening.WORKFLOW_CHOSEN, because)
    return True


def _within(remediation: Remediation, fact: AnalysisCompleted) -> tuple[Target, ...]:
    """In which others stands what is to be repaired: what an analysis says of it, and of the signal's own target
    what the signal said."""
    if fact.within is not None:
        return shared_within(within_of(fact.target or remediation.target, fact.within))
    return remediation.within if fact.target is None else ()


def _is_of_an_earlier(fact: AnalysisCompleted | AnalysisFailed, remediation: Remediation) -> bool:
    """Whether it says to answer an analysis for which nobody waits any more."""
    return fact.analysis not in ("", analysis_id(remediation.id, remediation.analyses))


def _without(remediation: Remediation, fact: AnalysisCompleted) -> Outcome:
    """Return what an analysis comes to that names no workflow: what is critical is looked at, whatever it says."""
    if remediation.words.severity == Severity.CRITICAL:
        return Outcome.MANUAL_REVIEW_REQUIRED
    return Outcome.NO_ACTION_REQUIRED if fact.no_action else Outcome.NO_WORKFLOW


def _analysis_failed(view: Projection, fact: AnalysisFailed, position: Position, at: datetime) -> bool:
    remediation = view.remediations.get(fact.remediation)
    if (
        remediation is None
        or not may(remediation, Happening.ANALYSIS_FAILED)
        or _is_of_an_earlier(fact, remediation)
    ):
        return False
    count_failure(view, remediation.fingerprint, at)
    because = Because(Cause.FAILED, position)
    end_and_tell(view, remediation, Happening.ANALYSIS_FAILED, because, at, failure_phase=FailurePhase.AI_ANALYSIS)
    return True


# -- runs ----------------------------------------------------------------------------------------------


def _workflow_started(view: Projection, fact: WorkflowStarted, at: datetime) -> bool:
    run = view.runs.get(fact.execution)
    if run is None or run.started or run.lost:
        return False
    if at > run.start_before:  # By its executor's clock it was not too late: from here it has all of its time.
        run = replace(run, deadline=later(at, run.deadline - run.decided_at))
    view.targets.renew(replace(run, started=True))
    view.timers.wake(after(run.deadline), run.order, run.execution)
    view.outbox.begin_run(run.execution)
    return True


def _workflow_completed(view: Projection, fact: WorkflowCompleted, position: Position, at: datetime) -> bool:
    run = view.runs.get(fact.execution)
    if run is None or run.lost:
        return False
    view.retention.complete(run, at)
    view.targets.leave(run, whole=True)
    remediation = find_executing(view, run)
    if remediation is not None:
        history = view.history(run.fingerprint)
        view.retention.record(run.fingerprint, replace(history, completed_at=at, completed_by=run.remediation))
        _repaired(view, remediation, run, Because(Cause.COMPLETED, position), at)
    let_go(view, run, position)
    return True


def _repaired(view: Projection, remediation: Remediation, run: HeldRun, because: Because, at: datetime) -> None:
    """Its run has completed: that is enough, or it has to show that it has helped."""
    over = remediation.resolved
    known = verifying(view.policy.verification, run.execution, at, resolves=remediation.resolves, over=over)
    if known is None:
        forgive(view, run.fingerprint)
        end_and_tell(view, remediation, Happening.RUN_COMPLETED, because, at, outcome=Outcome.REMEDIATED)
        return
    verify(view, enter(remediation, Happening.RUN_TO_VERIFY), known)
    view.task_list.tell(TellTask(change_of(view.remediations[remediation.id], because, at)))


def _workflow_failed(view: Projection, fact: WorkflowFailed, position: Position, at: datetime) -> bool:
    run = view.runs.get(fact.execution)
    if run is None or run.lost:
        return False
    if fact.was_execution_failure:
        view.targets.leave(run, whole=fact.idempotent)
    remediation = find_executing(view, run)
    if remediation is not None:
        remediation = miss(view, remediation, TriedRun(run.workflow, "Failed", shared_text(fact.reason)), at)
        because = Because(Cause.FAILED, position)
        if remediation.resolves and not remediation.resolved:
            judge_again(view, remediation, Happening.RUN_FAILED, because)
        else:
            failed = FailurePhase.WORKFLOW_EXECUTION
            end_and_tell(view, remediation, Happening.RUN_FAILED_FOR_GOOD, because, at, failure_phase=failed)
    if fact.reason == FailureReason.EXECUTOR_LOST and fact.was_execution_failure:
        lose(view, run)
    else:
        let_go(view, run, position)
    return True


def _workflow_revoked(view: Projection, fact: WorkflowRevoked, position: Position) -> bool:
    run = view.runs.get(fact.execution)
    if run is None or run.started or run.lost:
        return False
    remediation = find_executing(view, run)
    if remediation is not None:
        judge_again(view, remediation, Happening.RUN_REVOKED, Because(Cause.RELEASED, position))
    let_go(view, run, position)
    return True


def _spoil(view: Projection, execution: ExecutionId, position: Position) -> None:
    """A run is spoken of that was never decided. Its subject is taken, so nobody could claim it: pass it over."""
    of = remediation_of(execution)
    remediation = view.remediations.get(of)
    if remediation is not None:
        to_come = run_number(execution) > remediation.runs
    else:  # What has its verdict and is not known opens no run any more.
        to_come = signal_of(of) in view.unjudged or _is_behind(signal_of(of), position)
    if to_come:
        view.retention.spoil(of, execution)


def _is_behind(place: Position, position: Position) -> bool:
    try:
        return position_key(place) > position_key(position)
    except ValueError:
        return False
