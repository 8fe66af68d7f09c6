"""Commands, derived from the decisions that owe them and from nothing else: the same record, the same command."""

from remediation_orchestrator.events import (
    AnalyzeSignal,
    CancelWorkflow,
    Command,
    CreateWorkflow,
    Notify,
    Outcome,
    PhaseChanged,
    Position,
    Refuse,
    RoutingDecided,
    WorkflowRevoked,
)

from .outbox import Errand


def command_of(kind: str, decision: RoutingDecided | PhaseChanged, at: Position) -> Command:
    """Return the command of this kind that the decision at this position owes."""
    if isinstance(decision, PhaseChanged):
        return _cancel(decision, at) if kind == Errand.CANCEL else _notify_of_end(decision, at)
    if kind == Errand.NOTIFY:
        return _notify_of_refusal(decision, at)
    return _create(decision, at) if kind == Errand.WORKFLOW else _analyze(decision, at)


def revocation_of(decision: PhaseChanged) -> WorkflowRevoked:
    """Return the fact by which a run that has not begun is over, because its remediation is."""
    assert decision.execution is not None
    return WorkflowRevoked(decision.execution, reason=decision.phase)


def _create(decision: RoutingDecided, at: Position) -> CreateWorkflow:
    assert decision.execution is not None
    assert decision.workflow is not None
    assert decision.start_before is not None
    assert decision.deadline is not None
    return CreateWorkflow(
        execution=decision.execution,
        remediation=decision.remediation,
        fingerprint=decision.situation.fingerprint,
        target=decision.situation.target,
        workflow=decision.workflow,
        start_before=decision.start_before,
        deadline=decision.deadline,
        decided_at=at,
    )


def _analyze(decision: RoutingDecided, at: Position) -> AnalyzeSignal:
    assert decision.analysis is not None
    assert decision.deadline is not None
    return AnalyzeSignal(
        analysis=decision.analysis,
        remediation=decision.remediation,
        fingerprint=decision.situation.fingerprint,
        signal=decision.signal,
        name=decision.name,
        severity=decision.severity,
        target=decision.situation.target,
        deadline=decision.deadline,
        decided_at=at,
    )


def _cancel(decision: PhaseChanged, at: Position) -> CancelWorkflow:
    assert decision.execution is not None
    return CancelWorkflow(decision.execution, decision.remediation, decided_at=at, reason=decision.phase)


def _notify_of_refusal(decision: RoutingDecided, at: Position) -> Notify:
    assert isinstance(decision.verdict, Refuse)
    return Notify(
        remediation=decision.remediation,
        fingerprint=decision.situation.fingerprint,
        target=decision.situation.target,
        attempt=decision.attempt,
        outcome=Outcome.MANUAL_REVIEW_REQUIRED,
        decided_at=at,
        reason=decision.verdict.reason,
    )


def _notify_of_end(decision: PhaseChanged, at: Position) -> Notify:
    assert decision.target is not None
    return Notify(
        remediation=decision.remediation,
        fingerprint=decision.fingerprint,
        target=decision.target,
        attempt=decision.attempt,
        outcome=decision.outcome or Outcome.MANUAL_REVIEW_REQUIRED,
        decided_at=at,
    )
