"""A wire that loses a message: whoever reads through it misses it, although nothing follows."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from cell import bare
from nats.aio.client import Client

from remediation_orchestrator.bus import feed
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import HOST, EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import CellName, subjects

PATIENCE = 20
# Twice a heartbeat, which is the least that the server takes: when it ends, it says what it still owes.
REQUEST_SECONDS = 2
LOST = b"lost on its way"


async def _pass_lossy(server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
    """Pass on what a server says, but for the first delivery of one message."""
    lost = False
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            said = await server.readuntil(b"\r\n")
            if said.startswith((b"MSG ", b"HMSG ")):
                said += await server.readexactly(int(said.split()[-1]) + 2)
            if not lost and b"$JS.ACK." in said and LOST in said:
                lost = True
                continue
            client.write(said)
            await client.drain()


async def _pass(client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while said := await client.read(65_536):
            server.write(said)
            await server.drain()


@pytest.fixture
async def lossy(server: EmbeddedServer) -> AsyncIterator[Client]:
    """A connection that loses one message."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(HOST, server.port)
        ways = [
            asyncio.create_task(_pass(reader, to_server)),
            asyncio.create_task(_pass_lossy(from_server, writer)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for each in (writer, to_server):
            each.transport.abort()

    async with await asyncio.start_server(take, HOST, 0) as between:
        port = between.sockets[0].getsockname()[1]
        async with connected(server.url.replace(f":{server.port}", f":{port}")) as client:
            yield client


async def test_a_message_that_was_lost_last_is_read_all_the_same(
    connection: Client, lossy: Client, cell: CellName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the end of the request, which says how many messages the broker owes."""
    monkeypatch.setattr(feed, "REQUEST_SECONDS", REQUEST_SECONDS)
    direct, log = await JetStreamLog.ensure(connection, cell), await JetStreamLog.ensure(lossy, cell)
    async with asyncio.timeout(PATIENCE), aclosing(log.read(follow=True)) as reading:
        await direct.append(subjects.signal(cell, "test"), bare("first"))
        assert (await anext(reading)).sequence == 1
        await direct.append(subjects.signal(cell, "test"), LOST)
        assert (await anext(reading)).payload == LOST
