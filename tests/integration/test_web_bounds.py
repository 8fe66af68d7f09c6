"""Connections have a bound that follows from the machine's, and whoever says nothing keeps nobody out."""

import asyncio
import errno
import logging
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from doors import PATIENCE, Sender, head, read_reply
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from remediation_orchestrator.web import accepting
from remediation_orchestrator.web.app import application
from remediation_orchestrator.web.server import listen, serve

SLOW = head("GET", "/slow", {})


class Bounded:
    """A server of two pages, of which one is answered when it is let go."""

    def __init__(self, port: int, go: asyncio.Event, asked: asyncio.Queue[None]) -> None:
        self.port = port
        self.sender = Sender(port)
        self.go = go
        self.asked = asked

    async def connect(self, sent: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection, and say this much."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(sent)
        return reader, writer


@asynccontextmanager
async def bounded(maximum: int) -> AsyncIterator[Bounded]:
    """A server with room for so many."""
    go, asked, stopping = asyncio.Event(), asyncio.Queue[None](), asyncio.Event()

    async def slow(_: Request) -> Response:
        asked.put_nowait(None)
        await go.wait()
        return Response("slow")

    async def quick(_: Request) -> Response:
        return Response("quick")

    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    app = application([Route("/slow", slow), Route("/quick", quick)])
    task = asyncio.create_task(serve(app, listening, stopping, maximum=maximum))
    try:
        yield Bounded(port, go, asked)
    finally:
        go.set()
        stopping.set()
        async with asyncio.timeout(PATIENCE):
            await task


def said(caplog: pytest.LogCaptureFixture, event: str) -> int:
    """How many lines say this."""
    return sum(record.getMessage() == event for record in caplog.records)


async def test_whoever_says_nothing_makes_room_for_who_speaks(caplog: pytest.LogCaptureFixture) -> None:
    """Fifty that are idle where eight fit, and each request is answered at once; the log has one line of it."""
    async with bounded(8) as server:
        idle = [await server.connect() for _ in range(50)]
        for _ in range(10):
            assert (await server.sender.get("/quick")).body == b"quick"
        async with asyncio.timeout(PATIENCE):
            assert await idle[0][0].read() == b""  # The one that was silent the longest was closed.
        for _, writer in idle:
            writer.close()
    assert said(caplog, "connections at their bound") == 1
    assert len(caplog.records) == 1


async def test_where_all_have_a_request_in_hand_the_next_is_told_so() -> None:
    """And none of those in hand is given up."""
    async with bounded(3) as server:
        busy = [await server.connect(SLOW) for _ in range(3)]
        for _ in busy:
            await server.asked.get()
        reply = await server.sender.get("/quick")
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        server.go.set()
        for reader, writer in busy:
            assert (await read_reply(reader)).body == b"slow"
            writer.close()


async def test_a_connection_whose_request_is_answered_is_silent_again() -> None:
    """It was kept for a next one, and makes room."""
    async with bounded(2) as server:
        kept = [await server.connect(head("GET", "/quick", {})) for _ in range(2)]
        for reader, _ in kept:
            await read_reply(reader)
        assert (await server.sender.get("/quick")).status == 200
        for _, writer in kept:
            writer.close()


async def test_where_the_machine_has_no_files_accepting_rests(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks no more often than it rests, says so once, and goes on when there are files again."""
    monkeypatch.setattr(accepting, "REST_SECONDS", 0.01)
    refused = 0
    accept = socket.socket.accept

    def out_of_files(listening: socket.socket) -> object:
        nonlocal refused
        if refused < 20:
            refused += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", out_of_files)
    began = asyncio.get_running_loop().time()
    async with bounded(8) as server:
        assert (await server.sender.get("/quick")).status == 200
    assert refused == 20
    assert asyncio.get_running_loop().time() - began >= 20 * 0.01
    assert said(caplog, "no more files to accept connections with") == 1


@pytest.mark.parametrize(("files", "most"), [(1_000_000, 4_096), (100, 1)])
def test_as_many_connections_fit_as_the_limit_of_files_has_room_for(
    files: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a reserve for all else, and never none at all."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert accepting.connections_that_fit() == most
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 1_024))
    assert 500 < accepting.connections_that_fit() < 1_024 - accepting.FILES_RESERVED


FLOOD = """
import asyncio, logging, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
logging.basicConfig(level=logging.WARNING)
from starlette.responses import Response
from starlette.routing import Route
from remediation_orchestrator.web.app import application
from remediation_orchestrator.web.server import listen, serve
async def quick(_): return Response("quick")
async def main():
    listening = listen("127.0.0.1", 0)
    print(listening.getsockname()[1], flush=True)
    await serve(application([Route("/quick", quick)]), listening, asyncio.Event())
asyncio.run(main())
"""


async def test_more_idle_connections_than_files_fill_neither_the_log_nor_the_table() -> None:
    """As it was found: each was logged thousands of times, and nobody was answered."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FLOOD, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(400)]
        for _ in range(5):
            assert (await Sender(port).get("/quick")).status == 200
        for _, writer in idle:
            writer.close()
    finally:
        process.terminate()
        async with asyncio.timeout(PATIENCE):
            _, errors = await process.communicate()
    lines = errors.decode().splitlines()
    assert sum("connections at their bound" in line for line in lines) == 1
    assert len(lines) < 5


async def test_what_is_no_http_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Anybody may send it thousands of times."""
    caplog.set_level(logging.WARNING)
    async with bounded(8) as server:
        for _ in range(20):
            assert (await server.sender.send(b"\0\0\r\n\r\n")).status == 400
    assert caplog.records == []


async def test_who_is_refused_behind_a_request_in_hand_leaves_no_line(caplog: pytest.LogCaptureFixture) -> None:
    """The answer to the first has nowhere to go any more, which is no fault of ours."""
    async with bounded(8) as server:
        reader, writer = await server.connect(SLOW)
        async with asyncio.timeout(PATIENCE):
            await server.asked.get()
            writer.write(head("GET", "/" + "a" * 40_000, {}))
            assert (await read_reply(reader)).status == 431
            server.go.set()
            assert (await server.sender.get("/quick")).body == b"quick"
        writer.close()
    assert caplog.text == ""
