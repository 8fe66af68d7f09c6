"""Whatever stands in the headers or the subject of a message that anybody may publish: it is read."""

import asyncio
from contextlib import closing

import msgspec
import pytest
from nats.aio.client import Client

from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import CellName

BLOCKS = [
    b"NATS/1.0",
    b"NATS/1.0 \xff\xfe\xff\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
    b"NATS/1.0\r\n\xff: \xff\r\n\r\n",
    b"\xff\xfe\r\n\r\n\xff",
]


@pytest.mark.parametrize("block", BLOCKS)
async def test_no_headers_stop_a_reader(
    server: EmbeddedServer, connection: Client, log: JetStreamLog, cell: CellName, block: bytes
) -> None:
    """The server stores them unseen; the client must bear them, or nobody could ever read beyond."""
    operation = b"HPUB ro.%b.signal.x %d %d\r\n%bx\r\n" % (cell.encode(), len(block), len(block) + 1, block)
    await publish_raw(server, operation)
    async with asyncio.timeout(10):
        (message,) = [message async for message in log.read()]
    assert message.payload == b"x"
    assert (await log.at(message.sequence)) == message


async def test_no_subject_stops_a_reader(server: EmbeddedServer, log: JetStreamLog, cell: CellName) -> None:
    """What is no UTF-8 is replaced."""
    await publish_raw(server, b"PUB ro.%b.signal.\xff 1\r\nx\r\n" % cell.encode())
    async with asyncio.timeout(10):
        (message,) = [message async for message in log.read()]
    assert message.subject == f"ro.{cell}.signal.\N{REPLACEMENT CHARACTER}"


async def publish_raw(server: EmbeddedServer, operation: bytes) -> None:
    """Say something to the server that no client of ours would say, and wait until it has heard it."""
    from urllib.parse import urlsplit

    at = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    with closing(writer):
        greeting = {"verbose": False, "headers": True, "user": at.username, "pass": at.password}
        writer.write(b"CONNECT " + msgspec.json.encode(greeting) + b"\r\n" + operation + b"PING\r\n")
        async with asyncio.timeout(10):
            while await reader.readline() != b"PONG\r\n":
                pass
