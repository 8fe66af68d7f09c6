"""Commands: what the active orchestrator wants done. Each is a function of the decision that owes it."""

from msgspec import Struct

from .decisions import Outcome, Reason, TriedRun
from .identity import ExecutionId, Fingerprint, Position, RemediationId, Target, WorkflowRef, Zoned


class CreateWorkflow(Struct, frozen=True, gc=False):
    """Run this workflow on this target: begin at `start_before` at the latest, end at `deadline`."""

    execution: ExecutionId
    remediation: RemediationId
    fingerprint: Fingerprint
    target: Target
    workflow: WorkflowRef
    start_before: Zoned
    deadline: Zoned
    decided_at: Position


class AnalyzeSignal(Struct, frozen=True, gc=False):
    """Choose a workflow and its target for the signal at this position, by `deadline`."""

    analysis: str
    remediation: RemediationId
    fingerprint: Fingerprint
    signal: Position
    name: str
    severity: str
    target: Target
    deadline: Zoned
    decided_at: Position
    failures: int = 0
    """Failures in a row of its fingerprint."""
    tried: tuple[TriedRun, ...] = ()
    """The newest runs of its fingerprint that have not helped, in their order, since its failures were last 0."""


class CancelWorkflow(Struct, frozen=True, gc=False):
    """End this run, whoever has it."""

    execution: ExecutionId
    remediation: RemediationId
    decided_at: Position
    reason: str = ""


class Notify(Struct, frozen=True, gc=False):
    """Tell a person that a remediation needs one."""

    remediation: RemediationId
    fingerprint: Fingerprint
    target: Target
    attempt: int
    outcome: Outcome
    decided_at: Position
    reason: Reason | None = None


Command = CreateWorkflow | AnalyzeSignal | CancelWorkflow | Notify
