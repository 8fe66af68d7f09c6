"""Defects of systems whose history could vanish, be lost on the way, or fail to be asked."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from cell import bare, events_of, folded, orchestrator, running, tell, wait_for
from nats.aio.client import Client

from remediation_orchestrator.bus import topology
from remediation_orchestrator.bus.clock import BrokerClock
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.memory import MemoryCell
from remediation_orchestrator.events import (
    Block,
    CellName,
    CreateWorkflow,
    Event,
    ExecutionId,
    Reason,
    RoutingDecided,
    WorkflowFailed,
    subjects,
)
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator


def _about(signal: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, RoutingDecided) and event.signal == str(signal)


async def test_defect_17_the_log_drops_no_record_of_its_own_accord(log: JetStreamLog, cell: CellName) -> None:
    """No age, no count, and at its limit it refuses what is new instead of forgetting what is old."""
    config = topology.stream_config(cell)
    assert (config["retention"], config["discard"]) == ("limits", "new")
    assert {config.get(key, -1) for key in ("max_msgs", "max_msgs_per_subject")} <= {-1}
    assert not config.get("max_age")


async def test_defect_18_what_could_not_be_recorded_has_no_consequence() -> None:
    """A full log takes no decision: then no command follows, until there is room and the decision is on disk."""
    loop = asyncio.get_running_loop()
    clock = BrokerClock(datetime(2026, 11, 21, 10, tzinfo=UTC), monotonic=loop.time)
    cell = MemoryCell(CellName("main"), clock.now)
    log = cell.log()
    service = Orchestrator(log, cell.lease(), clock, Identity("o1", "test"))
    async with running(service):
        await log.append(subjects.signal(log.cell, "test"), bare(target="first"))
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow))
        cell.limit(cell.size + len(bare(target="second")) + 100)
        signal = await log.append(subjects.signal(log.cell, "test"), bare(target="second"))
        refused = asyncio.ensure_future(wait_for(log, _about(signal), signal))
        await asyncio.wait([refused], timeout=0.5)
        assert not refused.done()
        assert len([one for one in await events_of(log) if isinstance(one, CreateWorkflow)]) == 1
        cell.limit(None)
        assert isinstance((await refused).event, RoutingDecided)
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow), signal)


async def test_defect_19_nobody_decides_before_the_whole_log_is_folded(
    connection: Client, log: JetStreamLog, cell: CellName
) -> None:
    """The failures of before a restart count in the first verdict after it: no history is never "not blocked"."""
    async with running(await orchestrator(connection, cell)):
        signal = await log.append(subjects.signal(cell, "test"), bare(resolves=False))
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow))
        failure = WorkflowFailed(ExecutionId(f"wfe-{signal}"), was_execution_failure=False)
        await tell(log, failure, f"wfe-{signal}")
        await wait_for(log, lambda event: type(event).__name__ == "PhaseChanged")
    again = await log.append(subjects.signal(cell, "test"), bare(resolves=False))  # While nobody is there.
    async with running(await orchestrator(connection, cell, "o2")):
        decided = await wait_for(log, _about(again))
    assert isinstance(decided.event, RoutingDecided)
    assert decided.event.situation.failures == 1
    assert isinstance(decided.event.verdict, Block)
    assert decided.event.verdict.reason is Reason.EXPONENTIAL_BACKOFF
    assert (await folded(log)).view.history(decided.event.situation.fingerprint).failures == 1
