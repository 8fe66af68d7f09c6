"""Two orchestrators of one cell as processes: one is killed with -9, or sleeps, and the other goes on."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from cell import bare, events_of, findings, wait_for

from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import (
    CellName,
    CreateWorkflow,
    Event,
    OrchestratorStarted,
    RoutingDecided,
    subjects,
)

RO = Path(sys.executable).with_name("ro")


@asynccontextmanager
async def orchestrators(
    server: EmbeddedServer, cell: CellName, count: int
) -> AsyncIterator[dict[int, asyncio.subprocess.Process]]:
    """Processes of `ro orchestrator`, by their ids; whatever became of them, they are gone at the end."""
    command = (RO, "orchestrator", "--cell", cell)
    environment = {**os.environ, "NATS_URL": server.url}
    started = [
        await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.DEVNULL)
        for _ in range(count)
    ]
    try:
        yield {process.pid: process for process in started}
    finally:
        for process in started:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            await process.wait()


async def active(log: JetStreamLog, start: int = 1) -> tuple[int, int]:
    """The process that became active after a place in the log, and where it says so."""
    record = await wait_for(log, lambda event: isinstance(event, OrchestratorStarted), start)
    assert isinstance(record.event, OrchestratorStarted)
    return int(record.event.orchestrator.split("-")[-2]), int(record.position.partition("-")[0])


def commanded(signal_at: int) -> Callable[[Event], bool]:
    """Whether an event is the command that follows from a signal."""
    return lambda event: isinstance(event, CreateWorkflow) and event.execution == f"wfe-{signal_at}"


async def test_a_killed_orchestrator_is_replaced_and_nothing_is_decided_twice(
    server: EmbeddedServer, cell: CellName, log: JetStreamLog
) -> None:
    """Killed with -9, it gives nothing back: its lease lapses, and the fence moves on."""
    async with orchestrators(server, cell, 2) as processes:
        pid, place = await active(log)
        before = await log.append(subjects.signal(cell, "test"), bare(target="before"))
        await wait_for(log, commanded(before))
        processes[pid].kill()
        after = await log.append(subjects.signal(cell, "test"), bare(target="after"))
        other, _ = await active(log, place + 1)
        assert other != pid
        await wait_for(log, commanded(after))
    verdicts = [event.signal for event in await events_of(log) if isinstance(event, RoutingDecided)]
    assert verdicts == [str(before), str(after)]
    assert await findings(log) == []


async def test_an_orchestrator_that_slept_past_its_lease_decides_nothing_when_it_wakes(
    server: EmbeddedServer, cell: CellName, log: JetStreamLog
) -> None:
    """Stopped and continued: it meets the other's record, and stands by."""
    async with orchestrators(server, cell, 2) as processes:
        pid, place = await active(log)
        processes[pid].send_signal(signal.SIGSTOP)
        signals = [await log.append(subjects.signal(cell, "test"), bare(target=f"t{n}")) for n in range(5)]
        other, place = await active(log, place + 1)
        assert other != pid
        processes[pid].send_signal(signal.SIGCONT)
        signals += [await log.append(subjects.signal(cell, "test"), bare(target=f"u{n}")) for n in range(5)]
        await wait_for(log, commanded(signals[-1]))
        processes[other].terminate()  # The sleeper stands by now, and takes over again.
        assert (await active(log, place + 1))[0] == pid
    verdicts = [event.signal for event in await events_of(log) if isinstance(event, RoutingDecided)]
    assert verdicts == [str(one) for one in signals]
    assert await findings(log) == []
