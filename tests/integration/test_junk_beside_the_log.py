"""Junk where something is kept beside the log: passed over, and what was kept there before is still found."""

import asyncio

import pytest
from cell import bare, orchestrator, running, wait_for
from nats.aio.client import Client

from remediation_orchestrator.bus import api, topology
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import stream_name
from remediation_orchestrator.bus.topology import ARCHIVES, MARKS, SNAPSHOTS, SideStream
from remediation_orchestrator.events import CellName, CreateWorkflow, subjects

PATIENCE_SECONDS = 20


async def throw(connection: Client, log: JetStreamLog, side: SideStream) -> None:
    """Have the answer to a signal stored where the newest of a side stream is looked for."""
    await topology.ensure_side_stream(connection, side)
    place = side.subject(log.cell, "newest")
    before = await api.last_message(connection, side.stream, place)
    await connection.publish(subjects.signal(log.cell, "vandal"), b"nothing", reply=place)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (found := await api.last_message(connection, side.stream, place)) is None or found == before:
            pass  # Each question is a turn around the broker.


async def decides(log: JetStreamLog, target: str) -> None:
    """Publish a signal, and wait for its command."""
    at = await log.append(subjects.signal(log.cell, "test"), bare(target=target))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow) and event.execution == f"wfe-{at}")


@pytest.mark.parametrize("side", [SNAPSHOTS, ARCHIVES, MARKS], ids=lambda side: side.word)
async def test_junk_beside_the_log_keeps_nobody_from_leading(
    connection: Client, log: JetStreamLog, cell: CellName, side: SideStream
) -> None:
    """Before the first start and after it, and while one stands by."""
    await throw(connection, log, side)
    async with running(await orchestrator(connection, cell, "o1")):
        await decides(log, "a")
        await throw(connection, log, side)
    async with running(await orchestrator(connection, cell, "o2")):
        await decides(log, "b")


async def test_junk_takes_no_mark_away(connection: Client, log: JetStreamLog, cell: CellName) -> None:
    """A log that was made again is not led, whatever stands behind the mark of the one before."""
    async with running(await orchestrator(connection, cell, "o1")):
        await decides(log, "a")
    await throw(connection, log, MARKS)
    await api.call(connection, f"STREAM.DELETE.{stream_name(cell)}", {}, api.Done)
    again = await JetStreamLog.ensure(connection, cell)
    service = await orchestrator(connection, cell, "o2")
    task = asyncio.create_task(service.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "the cell's log was" not in (await service.why_not_ready() or ""):  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.01)
    assert await again.last_sequence() == 0
    service.stop()
    await task


def head(digest: str) -> bytes:
    """Of something that is kept."""
    return b'{"digest":"' + digest.encode() + b'"}'


@pytest.mark.parametrize("junk", [1, 300])
async def test_what_is_kept_behind_junk_is_found(connection: Client, log: JetStreamLog, junk: int) -> None:
    """However much of it there is."""
    parts = [b"part"]
    await log.archive.save(parts, head)
    written = await log.archive.head()
    for _ in range(junk):
        await connection.publish(ARCHIVES.subject(log.cell, "newest"), b"nothing")
    await throw(connection, log, ARCHIVES)
    found = await log.archive.newest()
    assert found is not None
    assert (found[0], list(found[1])) == (written, parts)
    await log.archive.save(parts, head, after=written)
