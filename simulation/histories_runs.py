"""What happens to the runs of a history: whatever may be said of one, in any order, at once, and under a race."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from remediation_orchestrator.events import (
    ExecutionId,
    Fact,
    RemediationCancelled,
    SignalReceived,
    SignalResolved,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRef,
    WorkflowRevoked,
    WorkflowStarted,
    fingerprint_of,
    subjects,
)

from .histories_tale import ALERTS, JUNK, NAMES

if TYPE_CHECKING:
    from .histories import LivedHistory


async def run(history: "LivedHistory") -> None:
    """An executor says something of a run that goes on, or is over."""
    pick = history.tale.pick
    known = [one for one in list(history.runs)[-3:] + list(history.view.runs) * 3 if _is_commanded(history, one)]
    execution = pick(known) if known else ExecutionId("wfe-404")
    facts: tuple[Fact, ...] = (
        *(WorkflowStarted(execution), WorkflowStarted(execution), WorkflowCompleted(execution)),
        *(WorkflowFailed(execution, idempotent=True), WorkflowFailed(execution, idempotent=False)),
        WorkflowFailed(execution, was_execution_failure=False),
        WorkflowFailed(execution, "ExecutorLost", idempotent=pick((True, False))),
        # Of what nobody has begun only who leads says it, where something asks for it: it would be a fault.
        WorkflowRevoked(execution) if _has_begun(history, execution) else WorkflowStarted(execution),
    )
    history.tell(pick(facts), subjects.execution(history.cell.cell, execution))


async def together(history: "LivedHistory") -> None:
    """Whatever may be said of one run and of its problem, all of it at once."""
    pick = history.tale.pick
    runs = [one for one in history.view.runs.values() if _is_commanded(history, one.execution)]
    if not runs:
        return
    run = pick(runs)
    told = subjects.signal(history.cell.cell, "told")
    name = next((name for name in NAMES if fingerprint_of(run.target, name) == run.fingerprint), "N")
    of, place = run.execution, subjects.execution(history.cell.cell, run.execution)
    signal = SignalReceived(name, run.target, resolves=True, workflow=WorkflowRef(run.workflow))
    if not run.started and pick((True, False)):
        history.tell(WorkflowStarted(of), place)
    for _ in range(pick((2, 3, 4))):
        match pick(("fires", "fires", "over", "over", "fails", "fails", "cancel", "starts", "completes")):
            case "fires":
                fires = msgspec.structs.replace(signal, alert=pick(ALERTS))
                history.store(told, msgspec.json.encode(fires))
            case "over":
                history.tell(SignalResolved(name, run.target, alert=pick(ALERTS)), told)
            case "fails":
                history.tell(WorkflowFailed(of, idempotent=pick((True, False))), place)
            case "starts":
                history.tell(WorkflowStarted(of), place)
            case "completes":
                history.tell(WorkflowCompleted(of), place)
            case _:
                history.act(RemediationCancelled(run.remediation))
        if pick((False, True)):
            await history.settle()


def _has_begun(history: "LivedHistory", execution: ExecutionId) -> bool:
    run = history.view.runs.get(execution)
    return run is None or run.started


def _is_commanded(history: "LivedHistory", execution: ExecutionId) -> bool:
    subject = f"ro.{history.cell.cell}.command.workflow.{execution}"
    return any(one.subject == subject and one.payload != JUNK for one in history.cell.messages)


async def race(history: "LivedHistory") -> None:
    """An executor begins a run while its revocation is under way: it was given up, or is late."""
    runs = history.view.runs.values()
    waiting = [one for one in runs if not one.started and _is_commanded(history, one.execution)]
    history.process.meanwhile = partial(_begin_first, history)
    if not waiting:
        return
    run = history.tale.pick(waiting)
    if history.tale.pick((True, False)):
        history.act(RemediationCancelled(run.remediation))
    else:
        await asyncio.sleep(max((run.start_before - history.now()).total_seconds(), 0.0))
    await history.settle()


async def _begin_first(history: "LivedHistory", subject: str) -> None:
    """Be the first on a run's subject, where its revocation is just on its way there."""
    execution = ExecutionId(subject.rpartition(".")[2])
    if subject == subjects.execution(history.cell.cell, execution) and _is_commanded(history, execution):
        history.process.meanwhile = None
        history.tell(WorkflowStarted(execution), subject)
