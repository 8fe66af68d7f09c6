"""A log that is not whole, on the real server: nobody leads it, whoever would says why, and it is still read."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cell import bare, orchestrator, running, wait_for
from click.testing import CliRunner, Result
from nats.aio.client import Client

from remediation_orchestrator.bus import api, topology
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import stream_name
from remediation_orchestrator.cli.main import main
from remediation_orchestrator.events import (
    CellName,
    CreateWorkflow,
    ExecutionId,
    WorkflowStarted,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.orchestrator.marks import read_mark
from remediation_orchestrator.orchestrator.service import Orchestrator

PATIENCE = 15.0
Damage = Callable[[JetStreamLog, Client], Awaitable[str]]
"""Does something to a log, and returns what has to be said of it."""


async def commanded(log: JetStreamLog, signal: int) -> None:
    """Wait until the run that a signal asks for is commanded."""
    await wait_for(log, lambda one: isinstance(one, CreateWorkflow) and one.execution == f"wfe-{signal}")


async def lived(connection: Client, cell: CellName, *, start: int = 0, name: str = "o1") -> JetStreamLog:
    """Three runs that nobody has begun yet: each holds its target."""
    log = await JetStreamLog.ensure(connection, cell)
    async with running(await orchestrator(connection, cell, name)):
        for number in range(start, start + 3):
            place = await log.append(subjects.signal(cell, "test"), bare(target=f"t{number}"))
            await commanded(log, place)
    return log


async def delete(connection: Client, log: JetStreamLog, sequence: int) -> None:
    """Take one message out, as whoever runs the broker may."""
    stream = stream_name(log.cell)
    await api.call(connection, f"STREAM.MSG.DELETE.{stream}", {"seq": sequence}, api.Done)


async def until_refused(service: Orchestrator, why: str) -> None:
    """Wait until it says of itself that it does not lead, and why."""
    async with asyncio.timeout(PATIENCE):
        while why not in (await service.why_not_ready() or ""):  # noqa: ASYNC110 - nobody sets an event for it
            await asyncio.sleep(0.01)
    assert not service.active.is_set()


@asynccontextmanager
async def standing(connection: Client, cell: CellName, name: str) -> AsyncIterator[Orchestrator]:
    """An orchestrator that need not become active, and that ends within seconds when it is told to stop."""
    service = await orchestrator(connection, cell, name)
    task = asyncio.create_task(service.run())
    try:
        yield service
    finally:
        service.stop()
        async with asyncio.timeout(PATIENCE):
            await task


async def ro(*arguments: object) -> Result:
    """Run a verb, beside this event loop."""
    return await asyncio.to_thread(CliRunner().invoke, main, [str(one) for one in arguments])


async def _fact_deleted(log: JetStreamLog, connection: Client) -> str:
    await delete(connection, log, 5)
    return "it has no record 5"


async def _newest_deleted(log: JetStreamLog, connection: Client) -> str:
    newest = await log.last_sequence()
    await delete(connection, log, newest)
    return f"it has no record {newest}"


async def _newest_frame_deleted(log: JetStreamLog, connection: Client) -> str:
    frame = await log.last(subjects.decision(log.cell))
    assert frame is not None
    await delete(connection, log, frame.sequence)
    return f"it has no record {frame.sequence}"


async def _beginning_purged(log: JetStreamLog, connection: Client) -> str:
    await log.purge(4)
    return "it begins at 4"


async def _all_purged(log: JetStreamLog, connection: Client) -> str:
    await log.purge(await log.last_sequence() + 1)
    return "it has no records 1, 2, 3"


DAMAGES = [_fact_deleted, _newest_deleted, _newest_frame_deleted, _beginning_purged, _all_purged]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_log_of_which_a_record_was_taken_is_not_led(
    connection: Client, cell: CellName, server: EmbeddedServer, damage: Damage
) -> None:
    """Whoever starts says why, and stops when told to; nothing is written; every verb says it and reads on."""
    log = await lived(connection, cell)
    why = await damage(log, connection)
    before = await log.last_sequence()
    result = await ro("list", "--nats", server.url, "--cell", cell)
    assert (result.exit_code, why in result.stderr, result.stderr.count("\n")) == (0, True, 1), result.stderr
    async with standing(connection, cell, "o2") as service:
        await until_refused(service, why)
        signal = await log.append(subjects.signal(cell, "test"), bare(target="t0"))
    assert await log.last_sequence() == signal == before + 1


async def test_whoever_leads_stops_storing_when_its_newest_frame_is_taken(
    connection: Client, cell: CellName
) -> None:
    """Something is to be decided before it has looked again whether the log is whole."""
    log = await JetStreamLog.ensure(connection, cell)
    async with running(await orchestrator(connection, cell)) as leading:
        await commanded(log, await log.append(subjects.signal(cell, "test"), bare(target="t0")))
        frame = await log.last(subjects.decision(cell))
        assert frame is not None
        await delete(connection, log, frame.sequence)
        await log.append(subjects.signal(cell, "test"), bare(target="t1"))
        await until_refused(leading, f"it has no record {frame.sequence}")


@pytest.mark.parametrize("damage", DAMAGES)
async def test_whoever_stands_by_when_a_record_is_taken_does_not_take_over(
    connection: Client, cell: CellName, damage: Damage
) -> None:
    """It has read all of it before; and the one who leads stops."""
    log = await JetStreamLog.ensure(connection, cell)
    async with running(await orchestrator(connection, cell)) as leading, standing(connection, cell, "o2") as other:
        for number in range(3):
            last = await log.append(subjects.signal(cell, "test"), bare(target=f"t{number}"))
        await commanded(log, last)
        why = await damage(log, connection)
        await until_refused(leading, why)
        await until_refused(other, why)
        frames = [one async for one in log.read() if one.subject == subjects.decision(cell)]
        await log.append(subjects.signal(cell, "test"), bare(target="t0"))
    assert [one async for one in log.read() if one.subject == subjects.decision(cell)] == frames


def copy_of(folder: Path, to: Path) -> None:
    """Copy a folder of a server that does not run, or bring such a copy back."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)


def stream_folder(data: Path, stream: str) -> Path:
    """Where a server on this data folder has a stream."""
    return next(data.glob(f"nats/store/**/streams/{stream}"))


def flip(data: Path, what: bytes) -> None:
    """Flip a bit of the last record that says this, on disk."""
    block = next(stream_folder(data, "RO_main").glob("msgs/*.blk"))
    written = bytearray(block.read_bytes())
    written[written.rfind(what)] ^= 1
    block.write_bytes(written)


MAIN = CellName("main")


@pytest.mark.parametrize(
    ("what", "forget", "why"),
    [
        (b"KubePod", False, "it has no record 8"),
        (b"DecisionFrame.v1", False, "it has another record at 9"),
        (b"CreateWorkflow.v1", False, "its newest record, 10, cannot be read"),
        (b"KubePod", True, "it ends at 7, and had come to "),
        (b"DecisionFrame.v1", True, "it ends at 8, and had come to "),
    ],
)
async def test_a_log_with_a_flipped_bit_is_not_led(tmp_path: Path, what: bytes, forget: bool, why: str) -> None:
    """The server leaves the record out, or all behind it where it builds its index anew; and says nothing."""
    async with EmbeddedServer(tmp_path) as server, connected(server.url) as connection:
        await lived(connection, MAIN)
    flip(tmp_path, what)
    if forget:
        (stream_folder(tmp_path, "RO_main") / "msgs" / "index.db").unlink()
    async with EmbeddedServer(tmp_path) as server, connected(server.url) as connection:
        async with standing(connection, MAIN, "o2") as service:
            await until_refused(service, why)
        result = await ro("list", "--nats", server.url)
        assert (result.exit_code, "not whole" in result.stderr, result.stderr.count("\n")) == (0, True, 1)
        assert (await ro("export", tmp_path / "rest.jsonl", "--nats", server.url)).exit_code == 0


async def test_a_log_that_has_lost_a_claim_behind_its_newest_frame_is_not_led(tmp_path: Path) -> None:
    """No decision is lost with it; but whoever gets the command again would begin the run a second time."""
    async with EmbeddedServer(tmp_path) as server, connected(server.url) as connection:
        log = await JetStreamLog.ensure(connection, MAIN)
        async with running(await orchestrator(connection, MAIN, "o1")):
            signal = await log.append(subjects.signal(MAIN, "test"), bare(target="t"))
            await commanded(log, signal)
            run = ExecutionId(f"wfe-{signal}")
            attributes = Attributes(id="claim", source="/test", time=datetime.now(UTC))
            payload = encode(WorkflowStarted(run, executor="e1"), attributes)
            claim = await log.append(subjects.execution(MAIN, run), payload, expect=0)
            async with asyncio.timeout(PATIENCE):
                while (mark := (await read_mark(log.marks))[1]) is None or mark.read < claim:  # noqa: ASYNC110 - nobody sets an event for it
                    await asyncio.sleep(0.01)
            assert mark.sequence < claim
    flip(tmp_path, b"WorkflowStarted.v1")
    (stream_folder(tmp_path, "RO_main") / "msgs" / "index.db").unlink()
    async with (
        EmbeddedServer(tmp_path) as server,
        connected(server.url) as connection,
        standing(connection, MAIN, "o2") as service,
    ):
        await until_refused(service, f"it ends at {claim - 1}, and had come to {claim}")


async def test_a_log_that_is_older_than_it_was_is_not_led(tmp_path: Path) -> None:
    """Its stream was restored from a copy; the mark beside it has been further, be it that others write on."""
    data, before = tmp_path / "data", tmp_path / "before"
    async with EmbeddedServer(data) as server, connected(server.url) as connection:
        await lived(connection, MAIN)
    copy_of(stream_folder(data, "RO_main"), before)
    async with EmbeddedServer(data) as server, connected(server.url) as connection:
        last = await (await lived(connection, MAIN, start=3, name="o2")).last_sequence()
    copy_of(before, stream_folder(data, "RO_main"))
    async with EmbeddedServer(data) as server, connected(server.url) as connection:
        async with standing(connection, MAIN, "o3") as service:
            await until_refused(service, "it is older than it was")
            log = await JetStreamLog.open(connection, MAIN)
            while await log.last_sequence() < last:
                await log.append(subjects.signal(MAIN, "test"), bare(target="t0"))
        async with standing(connection, MAIN, "o4") as service:
            await until_refused(service, "it was older once more")


async def test_whoever_has_read_further_does_not_lead_a_store_that_was_restored_altogether(tmp_path: Path) -> None:
    """Nothing on the broker tells it, but who lived through it does, as long as they live."""
    data, before = tmp_path / "data", tmp_path / "before"
    server = EmbeddedServer(data).start()
    port = server.port
    try:
        async with connected(server.url) as connection:
            await lived(connection, MAIN)
        server.stop()
        copy_of(data / "nats" / "store", before)
        server = EmbeddedServer(data, port=port).start()
        async with connected(server.url) as connection, standing(connection, MAIN, "o2") as service:
            log = await JetStreamLog.open(connection, MAIN)
            signal = await log.append(subjects.signal(MAIN, "test"), bare(target="new"))
            await commanded(log, signal)
            server.stop()
            copy_of(before, data / "nats" / "store")
            server = EmbeddedServer(data, port=port).start()
            async with asyncio.timeout(PATIENCE):
                while service.active.is_set():  # noqa: ASYNC110 - nobody sets an event for it
                    await asyncio.sleep(0.01)
            await until_refused(service, "older than it was")
    finally:
        server.stop()


async def test_a_new_log_in_the_place_of_another_is_led_when_somebody_has_accepted_the_loss(
    connection: Client, cell: CellName, server: EmbeddedServer
) -> None:
    """The cell's log was deleted and made again: what it held may still run, so nobody decides just like that."""
    there = ("--reason", "the disk is gone", "--nats", server.url, "--cell", cell)
    old = await lived(connection, cell)
    refused = await ro("accept", *there)
    assert (refused.exit_code, "is whole" in refused.stderr) == (1, True), refused.stderr
    await api.call(connection, f"STREAM.DELETE.{stream_name(cell)}", {}, api.Done)
    async with standing(connection, cell, "o2") as service:
        await until_refused(service, f"the cell's log was {old.identity}")
    for more, exit_code, said in (((), 1, "may run until"), (("--nothing-runs",), 0, "goes on without")):
        result = await ro("accept", *more, *there)
        assert (result.exit_code, said in result.stdout + result.stderr) == (exit_code, True), result.stderr
    async with running(await orchestrator(connection, cell, "o3")):
        log = await JetStreamLog.open(connection, cell)
        await commanded(log, await log.append(subjects.signal(cell, "test"), bare()))
    audited = await ro("audit", *there[2:])
    assert audited.exit_code == 0, audited.stdout
    again = await ro("accept", "--nothing-runs", *there)
    assert (again.exit_code, "is whole" in again.stderr) == (1, True), again.stderr


async def test_a_loss_is_not_accepted_where_the_log_is_led_already(
    connection: Client, cell: CellName, server: EmbeddedServer
) -> None:
    """In a log with a hole the next decision could give a held target away: nobody may wish that."""
    log = await lived(connection, cell)
    await delete(connection, log, 5)
    result = await ro("accept", "--nothing-runs", "--reason", "x", "--nats", server.url, "--cell", cell)
    assert (result.exit_code, "it has no record 5" in result.stderr) == (1, True), result.stderr


async def test_a_copy_of_a_log_is_not_led(connection: Client, cell: CellName) -> None:
    """The other one may be led, too; and where it is gone, what was behind the copy is gone with it."""
    await lived(connection, cell)
    stream = stream_name(cell)
    found = await api.stream_info(connection, stream)
    assert found is not None
    for here, there in ((f"COPY_{cell}", stream), (stream, f"COPY_{cell}")):
        config = {"name": here, "storage": "file", "sources": [{"name": there}]}
        await api.call(connection, f"STREAM.CREATE.{here}", config, api.StreamInfo)
        async with asyncio.timeout(PATIENCE):
            while (await stream_of(connection, here)).state.messages < found.state.messages:  # noqa: ASYNC110 - nobody sets an event
                await asyncio.sleep(0.01)
        await api.call(connection, f"STREAM.DELETE.{there}", {}, api.Done)
        await topology.update_stream(connection, await stream_of(connection, here), {"sources": None})
    subjects_ = {"subjects": found.config["subjects"], "discard": "new"}
    await topology.update_stream(connection, await stream_of(connection, stream), subjects_)
    marks = {"filter": topology.MARKS.subject(cell, "newest")}
    await api.call(connection, f"STREAM.PURGE.{topology.MARKS.stream}", marks, api.Done)
    async with standing(connection, cell, "o2") as service:
        await until_refused(service, "it is a copy of that one")


async def stream_of(connection: Client, stream: str) -> api.StreamInfo:
    """What a stream is that is there."""
    found = await api.stream_info(connection, stream)
    assert found is not None
    return found
