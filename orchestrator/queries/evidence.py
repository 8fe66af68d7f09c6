"""Where each number of a situation comes from: the positions of the records that made it.

It looks on while a log is folded. It decides nothing, and nothing that decides may read it."""

from remediation_orchestrator.events import (
    AnalysisFailed,
    Duplicate,
    ExecutionId,
    FailurePhase,
    Fingerprint,
    OrchestratorStarted,
    Phase,
    PhaseChanged,
    PolicyAdopted,
    Position,
    Proceed,
    Recorded,
    RemediationId,
    RetryRequested,
    RoutingDecided,
    Target,
    Verification,
    VerificationEnded,
    WorkflowCompleted,
    WorkflowFailed,
)
from remediation_orchestrator.events.identity import remediation_id
from remediation_orchestrator.orchestrator.routing.projection import Projection

Sources = dict[str, list[Position]]
"""The records behind a situation, by the names of its values."""


class Evidence:
    """The positions behind every table of a projection."""

    def __init__(self) -> None:
        self._policy: list[Position] = []
        self._failures: dict[Fingerprint, list[Position]] = {}
        self._completed: dict[Fingerprint, Position] = {}
        self._workflow_completed: dict[tuple[Target, str], Position] = {}
        self._half_done: dict[tuple[Target, str], Position] = {}
        self._occurrence: dict[RemediationId, Position] = {}
        self._in_vain: dict[Target, list[Position]] = {}
        """Repairs of each target that have not helped."""
        self._runs: dict[ExecutionId, RoutingDecided] = {}
        self._claims: dict[ExecutionId, Position] = {}
        self._first: dict[RemediationId, Position] = {}

    def sources(self, view: Projection, decided: RoutingDecided) -> Sources:
        """The records behind the situation of a decision, at the moment before it is folded."""
        situation = decided.situation
        key = (situation.target, situation.workflow or "")
        holder = view.holders.get(situation.target)
        remediation = remediation_id(decided.signal)
        failed = self._failures.get(situation.fingerprint, [])
        in_vain = self._in_vain.get(situation.target, [])
        return {
            "policy": list(self._policy),
            "words": [decided.signal] if situation.words is not None else [],
            "active": _some(self._first.get(situation.active) if situation.active else None),
            "occurred_at": _some(self._occurrence.get(remediation, decided.signal)),
            "previous_failure": _some(self._half_done.get(key) if situation.previous_failure else None),
            "failures": failed[-situation.failures :] if situation.failures else [],
            "ineffective": in_vain[-len(situation.ineffective) :] if situation.ineffective else [],
            "completed_at": _some(self._completed.get(situation.fingerprint) if situation.completed_at else None),
            "workflow_completed_at": _some(
                self._workflow_completed.get(key) if situation.workflow_completed_at else None
            ),
            "held_by": _some(self._claims.get(holder) if holder else None),
        }

    def see_fact(self, view: Projection, record: Recorded) -> None:
        """Remember what a fact that has just been folded is the source of."""
        match record.event:
            case WorkflowCompleted(execution=execution) | WorkflowFailed(execution=execution):
                run = self._runs.get(execution)
                if run is not None:
                    self._see_end(view, record, run)
            case AnalysisFailed(remediation=remediation) if remediation in view.remediations:
                self._count(view, view.remediations[remediation].fingerprint, record.position)
            case RetryRequested(remediation=remediation):
                self._occurrence[remediation] = record.position
            case PolicyAdopted():
                self._policy = [record.position]
            case _:
                pass

    def _see_end(self, view: Projection, record: Recorded, run: RoutingDecided) -> None:
        fingerprint = run.situation.fingerprint
        key = (run.situation.target, run.situation.workflow or "")
        if isinstance(record.event, WorkflowCompleted):
            self._workflow_completed[key] = record.position
            if view.history(fingerprint).completed_at == record.recorded_at:
                self._completed[fingerprint] = record.position
        else:
            self._half_done[key] = record.position
            self._count(view, fingerprint, record.position)

    def _count(self, view: Projection, fingerprint: Fingerprint, position: Position) -> None:
        """Keep as many failures as the projection counts, the newest of them."""
        counted = view.history(fingerprint).failures
        self._failures[fingerprint] = (
            [*self._failures.get(fingerprint, []), position][-counted:] if counted else []
        )

    def see_decision(self, record: Recorded) -> None:
        """Remember what a decision is the source of."""
        match record.event:
            case RoutingDecided(verdict=Duplicate(of=original)) as decided:
                self._occurrence[original] = decided.because.position or decided.signal
            case RoutingDecided() as decided:
                self._first.setdefault(decided.remediation, record.position)
                if isinstance(decided.verdict, Proceed) and decided.execution is not None:
                    self._runs[decided.execution] = decided
                    self._claims[decided.execution] = record.position
            case PhaseChanged(phase=Phase.TIMED_OUT) as change if change.failure_phase != FailurePhase.APPROVAL:
                self._failures.setdefault(change.fingerprint, []).append(record.position)
                run = self._runs.get(change.execution) if change.execution else None
                if run is not None:
                    self._half_done[run.situation.target, run.situation.workflow or ""] = record.position
            case VerificationEnded(result=Verification.INEFFECTIVE, execution=execution) if (
                execution in self._runs
            ):
                found = self._runs[execution].situation
                self._failures.setdefault(found.fingerprint, []).append(record.position)
                self._in_vain.setdefault(found.target, []).append(record.position)
            case OrchestratorStarted(policy=dict()) if not self._policy:
                self._policy = [record.position]
            case _:
                pass


def _some(position: Position | None) -> list[Position]:
    return [] if position is None else [position]
