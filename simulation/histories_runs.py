"""What happens to the runs of a history: whatever may be said of one, in any order, at once, and under a race."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from remediation_orchestrator.bus.memory import FaultPoint
from remediation_orchestrator.events import (
    BlockCleared,
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

from .histories_tale import ALERTS, JUNK, NAMES, OverError

if TYPE_CHECKING:
    from .histories import LivedHistory, Step


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
    alerts = pick((ALERTS, ("",)))
    if not run.started and pick((True, False)):
        history.tell(WorkflowStarted(of), place)
    for _ in range(pick((2, 3, 4))):
        match pick(("fires", "fires", "over", "over", "fails", "fails", "cancel", "starts", "completes")):
            case "fires":
                fires = msgspec.structs.replace(signal, alert=pick(alerts))
                history.store(told, msgspec.json.encode(fires))
            case "over":
                history.tell(SignalResolved(name, run.target, alert=pick(alerts)), told)
            case "fails":
                history.tell(WorkflowFailed(of, idempotent=pick((True, False))), place)
            case "starts":
                history.tell(WorkflowStarted(of), place)
            case "completes":
                history.tell(WorkflowCompleted(of), place)
            case _:
                history.act(RemediationCancelled(run.remediation))
        if pick((False, False, True)):
            await history.settle()


async def unled(history: "LivedHistory", limit: datetime | None, steps: "Sequence[Step]") -> None:
    """While nobody leads time may pass, be it just until something is due, and things are told."""
    pick = history.tale.pick
    with suppress(OverError):
        for _ in range(pick((0, 0, 1, 2))):
            seconds = pick((0.0, 1.0, 61.0, 125.0, -1.0, -1.0))
            if seconds < 0 and limit is not None:
                seconds = (limit - history.now()).total_seconds() + pick((-0.001, 0.0, 0.001))
            await asyncio.sleep(max(seconds, 0.0))
            await pick(steps)(history)


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


async def unrevoked(history: "LivedHistory") -> None:
    """A run that nobody has begun is over, and its revocation does not arrive; a person clears its target, however
    long after its deadline, and another wants it."""
    pick = history.tale.pick
    waiting = [run for run in history.view.runs.values() if not run.started]
    if not waiting or history.process.troubled:
        return
    run = pick(waiting)
    seconds = (run.released_at - history.now()).total_seconds()
    history.lose(FaultPoint.STORE, max(seconds, 0.0) + 60.0, ".execution.")
    history.act(RemediationCancelled(run.remediation))
    await asyncio.sleep(max(seconds + pick((-1.0, 1.0, 1.0)), 0.0))
    history.act(BlockCleared(None, run.target, None))
    await asyncio.sleep(pick((0.0, 1.0)))
    other = SignalReceived(pick(NAMES), run.target, resolves=True, workflow=WorkflowRef("w"))
    history.store(subjects.signal(history.cell.cell, "told"), msgspec.json.encode(other))
    await history.settle()


async def _begin_first(history: "LivedHistory", subject: str) -> None:
    """Be the first on a run's subject, where its revocation is just on its way there."""
    execution = ExecutionId(subject.rpartition(".")[2])
    if subject == subjects.execution(history.cell.cell, execution) and _is_commanded(history, execution):
        history.process.meanwhile = None
        history.tell(WorkflowStarted(execution), subject)
