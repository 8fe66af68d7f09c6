"""A log that cannot be asked, or takes no frame: that is said once, and it is tried ever more seldom."""

import asyncio
import itertools
from datetime import UTC, datetime

import pytest
from cell import PATIENCE_SECONDS, bare, orchestrator, running
from nats.aio.client import Client
from nats.aio.msg import Msg

from remediation_orchestrator.bus import api
from remediation_orchestrator.bus.clock import BrokerClock
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.lease import JetStreamLease
from remediation_orchestrator.bus.port import LogError, stream_name
from remediation_orchestrator.events import CellName, subjects
from remediation_orchestrator.orchestrator.lead import LeaderSettings
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator

RENEW = 0.02


def whys(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    """The reasons that lines of this event give."""
    return [str(getattr(record, "why", "")) for record in caplog.records if record.getMessage() == event]


async def questions(connection: Client, log: JetStreamLog) -> asyncio.Queue[float]:
    """When anybody asks the broker for this log's stream, from now on."""
    asked: asyncio.Queue[float] = asyncio.Queue()

    async def heard(_: Msg) -> None:
        asked.put_nowait(asyncio.get_running_loop().time())

    await connection.subscribe(f"{api.API}.STREAM.INFO.{stream_name(log.cell)}", cb=heard)
    await connection.flush()
    return asked


async def test_a_log_that_is_deleted_under_who_would_lead_it_is_said_once(
    connection: Client, cell: CellName, caplog: pytest.LogCaptureFixture
) -> None:
    """Readiness tells it too; it is asked for ever more seldom, and one that is made again ends it."""
    log = await JetStreamLog.ensure(connection, cell)
    lease, clock = await JetStreamLease.open(connection, cell), BrokerClock(datetime.now(UTC))
    service = Orchestrator(log, lease, clock, Identity("o1", "test"), pace=LeaderSettings(renew=RENEW))
    await api.call(connection, f"STREAM.DELETE.{stream_name(cell)}", {}, api.Done)
    asked = await questions(connection, log)
    task = asyncio.create_task(service.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        times = [await asked.get() for _ in range(6)]
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert all(pause >= RENEW * 2**number for number, pause in enumerate(pauses))
        assert await service.why_not_ready() == f"the broker has no log of the cell {cell!r}"
        assert whys(caplog, "not becoming active") == [f"the broker has no log of the cell {cell!r}"]
        await JetStreamLog.ensure(connection, cell)
        with pytest.raises(LogError, match="was deleted and made again"):
            await task


async def test_a_frame_that_is_not_stored_for_long_is_said_once(
    connection: Client, cell: CellName, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it is tried."""
    log = await JetStreamLog.ensure(connection, cell)
    tried: asyncio.Queue[None] = asyncio.Queue()

    async def heard(_: Msg) -> None:
        tried.put_nowait(None)

    async with running(await orchestrator(connection, cell, "o1")), asyncio.timeout(PATIENCE_SECONDS):
        info = await api.stream_info(connection, stream_name(cell))
        assert info is not None
        # There is room for the signal, and for no frame.
        await JetStreamLog.ensure(connection, cell, max_bytes=info.state.bytes + 500)
        await connection.subscribe(subjects.decision(cell), cb=heard)
        await log.append(subjects.signal(cell, "test"), bare())
        for _ in range(4):
            await tried.get()
        assert len(whys(caplog, "a frame is not stored yet")) == 1
        await JetStreamLog.ensure(connection, cell, max_bytes=1_000_000)
