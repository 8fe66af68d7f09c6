"""When a service says that it is ready, on the real server: it can do its work, or take over who does."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from cell import PATIENCE_SECONDS, bare, orchestrator, running
from nats.aio.client import Client

from remediation_orchestrator.bus import api
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.consumers import Probe, why_no_work
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import stream_name
from remediation_orchestrator.events import CellName, subjects
from remediation_orchestrator.executor.service import ExecutorSettings, run_executor


async def says(probe: Probe, wanted: str | None) -> None:
    """Wait until a service gives this answer, or one that contains it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            why = await probe()
            if why == wanted or (why and wanted and wanted in why):
                return
            await asyncio.sleep(0)  # Each question is a turn around the broker, if there is one.


async def test_who_decides_and_who_stands_by_are_ready(
    connection: Client, log: JetStreamLog, cell: CellName
) -> None:
    """Both have folded to the tail; while nobody is active, nobody is ready."""
    active, standby = await orchestrator(connection, cell), await orchestrator(connection, cell, "o2")
    assert await active.why_not_ready() == "nobody is active"
    async with running(active):
        standing_by = asyncio.create_task(standby.run())
        for number in range(50):
            await log.append(subjects.signal(cell, "test"), bare(target=f"t{number}"))
        await says(standby.why_not_ready, None)
        assert standby.fold.read >= 50
        await says(active.why_not_ready, None)
    standby.stop()
    await standing_by


async def test_who_has_not_folded_to_the_tail_is_not_ready(
    connection: Client, log: JetStreamLog, cell: CellName
) -> None:
    """It says how far it is."""
    await log.append(subjects.signal(cell, "test"), bare())
    assert await (await orchestrator(connection, cell)).why_not_ready() == "it has folded 0 of 1 messages"


async def test_without_a_broker_nobody_is_ready(cell: CellName, tmp_path: Path) -> None:
    """And the service goes on, to be ready again."""
    server = EmbeddedServer(tmp_path).start()
    try:
        async with connected(server.url) as connection:
            port = server.port
            async with running(await orchestrator(connection, cell)) as service:
                await says(service.why_not_ready, None)
                ask = partial(why_no_work, connection, cell, ())
                await says(ask, None)
                server.stop()
                await says(service.why_not_ready, "the broker cannot be reached")
                await says(ask, "the broker cannot be reached")
                server = EmbeddedServer(tmp_path, port=port).start()
                await says(service.why_not_ready, None)
                await says(ask, None)
    finally:
        server.stop()


async def test_an_executor_is_ready_while_its_consumers_are_there(
    server: EmbeddedServer, connection: Client, log: JetStreamLog, cell: CellName, tmp_path: Path
) -> None:
    """It says which is missing, before its watchdog ends it."""
    told: asyncio.Future[Probe] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    executor = asyncio.create_task(
        run_executor(server.url, cell, ExecutorSettings(tmp_path), stop, told.set_result)
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        ready = await told
    await says(ready, None)
    await api.call(connection, f"CONSUMER.DELETE.{stream_name(cell)}.analyser", {}, api.Done)
    await says(ready, "consumer not found")
    stop.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(executor, return_exceptions=True)


@pytest.mark.parametrize("durables", [("nobody",), ("executor", "nobody")])
async def test_a_consumer_that_was_never_made_is_missed(
    connection: Client, log: JetStreamLog, durables: tuple[str, ...]
) -> None:
    """Each of them is asked for."""
    assert await why_no_work(connection, log.cell, durables) is not None
