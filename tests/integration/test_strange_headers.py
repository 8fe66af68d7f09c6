"""Whatever stands in the headers or the subject of a message that anybody may publish: it is read."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from executors import cancel, create, executor, publish, reaches, script
from msgspec.structs import replace
from nats.aio.client import Client
from raw import publish_raw

from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import (
    CellName,
    ExecutionId,
    StoredMessage,
    WorkflowCompleted,
    WorkflowFailed,
)
from remediation_orchestrator.events.stored import export_line, import_line
from remediation_orchestrator.orchestrator.routing.chain import record_digest

PATIENCE = 30.0
BLOCKS = [
    b"NATS/1.0",
    b"NATS/1.0 \xff\xfe\xff\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
    b"NATS/1.0\r\n\xff: \xff\r\n\r\n",
    b"\xff\xfe\r\n\r\n\xff",
]


async def stored(log: JetStreamLog) -> StoredMessage:
    """The one message of a log, however long the server takes to store what it has heard."""
    async with asyncio.timeout(PATIENCE), aclosing(log.read(follow=True)) as messages:
        message = await anext(messages)
    assert await log.last_sequence() == message.sequence
    return message


@pytest.mark.parametrize("block", BLOCKS)
async def test_no_headers_stop_a_reader(
    server: EmbeddedServer, connection: Client, log: JetStreamLog, cell: CellName, block: bytes
) -> None:
    """The server stores them unseen; the client must bear them, or nobody could ever read beyond."""
    operation = b"HPUB ro.%b.signal.x %d %d\r\n%bx\r\n" % (cell.encode(), len(block), len(block) + 1, block)
    await publish_raw(server, operation)
    message = await stored(log)
    assert message.payload == b"x"
    assert (await log.at(message.sequence)) == message


async def test_no_subject_stops_a_reader(server: EmbeddedServer, log: JetStreamLog, cell: CellName) -> None:
    """What is no UTF-8 is replaced."""
    await publish_raw(server, b"PUB ro.%b.signal.\xff 1\r\nx\r\n" % cell.encode())
    message = await stored(log)
    assert message.subject == f"ro.{cell}.signal.\N{REPLACEMENT CHARACTER}"


async def test_no_headers_and_no_subject_stop_an_executor(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path
) -> None:
    """On the subjects of commands, cancels and executions: it runs, answers and cancels what comes behind them."""
    script(tmp_path, "w", "true")
    script(tmp_path, "long", "sleep 60")
    subjects = [b"command.workflow", b"command.analyze", b"command.cancel", b"execution"]
    async with executor(server.url, log.cell, tmp_path, slots=1) as process:
        await publish(log, create(1, "w"))
        assert (await reaches(log, 1, 2))[1] == WorkflowCompleted(ExecutionId("wfe-1"))
        for family in subjects:
            subject = b"ro.%b.%b" % (log.cell.encode(), family)
            for number, block in enumerate(BLOCKS):
                what = (subject, number, len(block), len(block) + 1, block)
                await publish_raw(server, b"HPUB %b.junk-%d %d %d\r\n%bx\r\n" % what)
            await publish_raw(server, b"PUB %b.\xff 1\r\nx\r\n" % subject)
        await publish_raw(server, b"HPUB ro.%b.execution.wfe-2 8 9\r\nNATS/1.0x\r\n" % log.cell.encode())
        await publish(log, create(2, "w"))
        assert (await reaches(log, 2, 2))[1] == WorkflowCompleted(ExecutionId("wfe-2"))
        await publish(log, create(3, "long"))
        await reaches(log, 3, 1)
        await publish(log, cancel(3))
        assert isinstance((await reaches(log, 3, 2))[1], WorkflowFailed)
        assert process.returncode is None


async def test_every_value_of_a_header_that_comes_again_counts(
    server: EmbeddedServer, log: JetStreamLog, cell: CellName
) -> None:
    """The server stores them all, so the digest of a record differs with each of them, in each place."""
    blocks = [b"a: 1\r\na: 2", b"a: 2\r\na: 1", b"a: 2", b"a: 1\r\na: 1\r\na: 2", b"a: 1\r\nb: 2\r\na: 2"]
    for one in blocks:
        block = b"NATS/1.0\r\n" + one + b"\r\n\r\n"
        operation = b"HPUB ro.%b.signal.x %d %d\r\n%bx\r\n" % (cell.encode(), len(block), len(block) + 1, block)
        await publish_raw(server, operation)
    messages: list[StoredMessage] = []
    async with asyncio.timeout(10), aclosing(log.read(follow=True)) as reading:
        async for message in reading:
            messages.append(message)
            if len(messages) == len(blocks):
                break
    assert [await log.at(one.sequence) for one in messages] == messages
    alike = [replace(one, sequence=1, recorded_at=messages[0].recorded_at) for one in messages]
    assert len({record_digest(one) for one in alike}) == len(blocks)
    assert [import_line(export_line(one)) for one in messages] == messages
