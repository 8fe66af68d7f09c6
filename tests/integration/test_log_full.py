"""A log at its limit, on the real server: signals are refused, what runs can end, and room opens it again."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cell import PATIENCE_SECONDS, bare, events_of, findings, running, tell, wait_for
from nats.aio.client import Client

from remediation_orchestrator.bus.clock import BrokerClock
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.lease import JetStreamLease
from remediation_orchestrator.bus.memory import MemoryCell
from remediation_orchestrator.bus.port import LogFullError
from remediation_orchestrator.events import (
    CellName,
    CreateWorkflow,
    Event,
    ExecutionId,
    PhaseChanged,
    RoutingDecided,
    WorkflowCompleted,
    subjects,
)
from remediation_orchestrator.orchestrator.lead import LeaderSettings
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator

RO = Path(sys.executable).with_name("ro")
LIMIT = 2_000_000
# A tenth of the limit is far more than what comes between two looks.
PACE = LeaderSettings(fill=0.02)


@pytest.fixture
async def log(connection: Client, cell: CellName) -> JetStreamLog:
    """An empty log with a limit."""
    return await JetStreamLog.ensure(connection, cell, max_bytes=LIMIT)


async def watchful(connection: Client, log: JetStreamLog, name: str = "o1") -> Orchestrator:
    """An orchestrator that looks often how full its log is, not running yet."""
    lease = await JetStreamLease.open(connection, log.cell)
    return Orchestrator(log, lease, BrokerClock(datetime.now(UTC)), Identity(name, "test"), pace=PACE)


async def fill(log: JetStreamLog) -> LogFullError:
    """Publish signals until they are refused; return how."""
    note = {"note": "x" * 4_000}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await log.append(subjects.signal(log.cell, "test"), bare(target="busy", annotations=note))
            except LogFullError as refusal:
                return refusal


async def takes_signals(log: JetStreamLog, *, wanted: bool) -> None:
    """Wait until the log is open, or shut."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await log.room()).takes_signals is not wanted:
            pass  # Each question is a turn around the broker.


async def ro(server: EmbeddedServer, cell: CellName, *arguments: str) -> tuple[int | None, str]:
    """Run a verb; return its exit code and what it complained of."""
    process = await asyncio.create_subprocess_exec(
        RO,
        *arguments,
        env={**os.environ, "NATS_URL": server.url, "COLUMNS": "200"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await process.communicate()
    return process.returncode, complaint.decode()


async def test_at_its_limit_signals_are_refused_and_what_runs_can_end(
    server: EmbeddedServer, connection: Client, log: JetStreamLog, cell: CellName
) -> None:
    """Publishers, `ro list` and readiness say so; a higher limit opens it again, and nothing was lost."""
    async with running(await watchful(connection, log)) as active:
        first = await log.append(subjects.signal(cell, "test"), bare(target="running"))
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow))
        assert await active.why_not_ready() is None

        assert "takes no signals at the moment, it is nearly full" in str(await fill(log))
        assert 0.9 <= (await log.room()).fill < 1.0
        assert "it takes no signals until there is room" in str(await active.why_not_ready())
        signal = ("signal", "--name", "N", "--target", "t", "--cell", cell)
        code, complaint = await ro(server, cell, *signal)
        assert (code, complaint.count("\n")) == (1, 1)
        assert "the log takes no signals at the moment, it is nearly full" in complaint
        code, complaint = await ro(server, cell, "list", "--cell", cell)
        assert code == 0
        assert "it takes no signals until there is room" in complaint

        await tell(log, WorkflowCompleted(ExecutionId(f"wfe-{first}")), f"wfe-{first}")
        await wait_for(log, lambda event: isinstance(event, PhaseChanged) and event.remediation == f"rr-{first}")

        await JetStreamLog.ensure(connection, cell, max_bytes=2 * LIMIT)
        await takes_signals(log, wanted=True)
        assert await active.why_not_ready() is None
        last = await log.append(subjects.signal(cell, "test"), bare(target="after"))
        await wait_for(log, lambda event: isinstance(event, RoutingDecided) and event.signal == str(last))
    assert await findings(log) == []


async def test_a_log_in_which_no_frame_has_room_is_shut_for_signals(
    connection: Client, log: JetStreamLog, cell: CellName
) -> None:
    """Half full already, of what comes between two looks: what the frame needs is not given away."""
    note = {"note": "x" * 4_000}
    signals = [bare(target=f"t{number}", annotations=note) for number in range(235)]
    for one in signals:
        await log.append(subjects.signal(cell, "test"), one)
    await JetStreamLog.ensure(connection, cell, max_bytes=int(LIMIT * (await log.room()).fill / 0.88))
    async with running(await watchful(connection, log)) as active:
        await takes_signals(log, wanted=False)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "the broker stores nothing" not in str(await active.why_not_ready()):
                pass  # Each question is a turn around the broker.
        await JetStreamLog.ensure(connection, cell, max_bytes=2 * LIMIT)
        await takes_signals(log, wanted=True)
        assert await active.why_not_ready() is None
    assert await findings(log) == []


async def test_the_log_stays_shut_between_the_two_limits_for_the_next_orchestrator_too(
    connection: Client, log: JetStreamLog, cell: CellName
) -> None:
    """Below 90 % is not room enough: it opens below 80 %, whoever is active then."""
    async with running(await watchful(connection, log)):
        await fill(log)
    stored = LIMIT * (await log.room()).fill
    await JetStreamLog.ensure(connection, cell, max_bytes=int(stored / 0.85))
    async with running(await watchful(connection, log, "o2")):
        # What is asked is whether it opened: an answer to what is allowed meanwhile, rounds later, says no.
        for number in range(5):
            await tell(log, WorkflowCompleted(ExecutionId(f"wfe-{number}")), f"wfe-{number}")
            await asyncio.wait_for(log.last_sequence(), PATIENCE_SECONDS)
            assert not (await log.room()).takes_signals
        await JetStreamLog.ensure(connection, cell, max_bytes=int(stored / 0.7))
        await takes_signals(log, wanted=True)


async def test_what_could_not_be_recorded_has_no_consequence() -> None:
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

        def decided(event: Event) -> bool:
            return isinstance(event, RoutingDecided) and event.signal == str(signal)

        refused = asyncio.ensure_future(wait_for(log, decided, signal))
        await asyncio.wait([refused], timeout=0.5)
        assert not refused.done()
        assert len([one for one in await events_of(log) if isinstance(one, CreateWorkflow)]) == 1
        cell.limit(None)
        assert isinstance((await refused).event, RoutingDecided)
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow), signal)
