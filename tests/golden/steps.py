"""The steps that themes are made of: tell what an executor would, and wait for what the orchestrator records."""

from remediation_orchestrator.events import (
    CreateWorkflow,
    ExecutionId,
    FailureReason,
    Phase,
    PhaseChanged,
    Position,
    Proceed,
    Reason,
    Verdict,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
)
from remediation_orchestrator.events.identity import execution_id, remediation_id
from remediation_orchestrator.orchestrator.routing.policy import policy_of
from remediation_orchestrator.testing.cell import Cell

SHORT: dict[str, dict[str, object]] = {
    "routing": {
        "consecutive_failure_threshold": 3,
        "consecutive_failure_cooldown": "1s",
        "retry_limit": 5,
        "failure_memory": "24h",
        "backoff_base": "100ms",
        "backoff_cap": "10m",
        "jitter": 0.1,
        "signal_cooldown": "500ms",
        "workflow_cooldown": "1s",
        "signal_max_age": "15m",
        "alert_memory": "24h",
    },
    "timeouts": {"starting": "2s", "analyzing": "1s", "executing": "3s", "approval": "1s"},
}
POLICY = policy_of(SHORT)


async def proceeds(cell: Cell, signal: Position, attempt: int = 1, run: int = 1) -> None:
    """A signal's attempt is decided, and its command follows."""
    decided = await cell.verdict(signal, attempt=attempt)
    assert isinstance(decided.verdict, Proceed), decided.verdict
    await cell.find(lambda one: isinstance(one, CreateWorkflow) and one.execution == execution_id(signal, run))


async def objects(cell: Cell, signal: Position, attempt: int, kind: type[Verdict], reason: Reason) -> None:
    """A signal's attempt meets an objection."""
    verdict = (await cell.verdict(signal, attempt=attempt)).verdict
    assert isinstance(verdict, kind), verdict
    assert verdict.reason == reason, verdict  # type: ignore[union-attr]


async def starts(cell: Cell, signal: Position, run: int = 1) -> ExecutionId:
    """An executor claims a run."""
    execution = execution_id(signal, run)
    await cell.tell(WorkflowStarted(execution, executor="recorder"))
    return execution


async def ends(cell: Cell, signal: Position, run: int = 1) -> None:
    """A run begins and ends well."""
    await cell.tell(WorkflowCompleted(await starts(cell, signal, run)))


async def completes(cell: Cell, signal: Position, run: int = 1) -> None:
    """A run begins and ends well, and its remediation with it."""
    await ends(cell, signal, run)
    await reaches(cell, signal, Phase.COMPLETED)


async def fails(
    cell: Cell, signal: Position, run: int = 1, *, idempotent: bool = True, reason: str = FailureReason.TASK_FAILED
) -> None:
    """A run begins and fails while it runs."""
    execution = await starts(cell, signal, run)
    await cell.tell(WorkflowFailed(execution, reason=reason, message="exit code 1", idempotent=idempotent))


async def reaches(cell: Cell, signal: Position, phase: Phase) -> None:
    """A remediation's change to a phase is recorded."""
    remediation = remediation_id(signal)
    await cell.find(
        lambda one: isinstance(one, PhaseChanged) and (one.remediation, one.phase) == (remediation, phase)
    )


async def appears(cell: Cell, kind: type, name: str) -> None:
    """A record of a kind about a run, or else a remediation, is there."""
    about = "execution" if name.startswith("wfe-") else "remediation"
    await cell.find(lambda one: isinstance(one, kind) and getattr(one, about, None) == name)
