"""Between all clients of a cell and its broker: passes their bytes on, and tells the broker's stamps as if its
clock had stepped. A process of its own, so that whoever counts never holds up what passes.

Reads a word a line on its standard input (a `ClockStep`, or nothing at all to cut every connection), answers each
with a line that says which stamps were singled out so far, and ends with its input."""

import asyncio
import contextlib
import subprocess
import sys
import threading
from typing import IO

import msgspec

from remediation_orchestrator.bus.embedded import HOST, dies_with_parent

from .steps import ClockStep, Steps, Wire

# What a socket holds; a large message passes in several pieces.
PIECE_BYTES = 256 * 1024
_step = msgspec.json.Decoder(ClockStep)


class Proxy:
    """The process, as whoever started it sees it."""

    def __init__(self, upstream: int, stream: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(upstream), stream],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=dies_with_parent() if sys.platform == "linux" else None,
        )
        self._saying = threading.Lock()
        self.steps: list[ClockStep] = []
        """Every step so far."""
        self.singled: dict[int, int] = {}
        """The stamps that were told otherwise, each alone."""
        self.port = int(self._out.readline())

    @property
    def _out(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def step(self, step: ClockStep) -> None:
        """Step, behind whatever stamp was told already. Returns when it is known there."""
        self.steps.append(step)
        self._say(msgspec.json.encode(step))

    def cut(self) -> None:
        """Cut every connection."""
        self._say(b"")

    def ask(self) -> dict[int, int]:
        """The stamps that were singled out, as of now."""
        self._say(b"?")
        return self.singled

    def stop(self) -> None:
        """End it."""
        self._process.communicate()

    def _say(self, word: bytes) -> None:
        assert self._process.stdin is not None
        with self._saying:  # Of two threads that wait for a line one could drop what came for the other.
            self._process.stdin.write(word + b"\n")
            self._process.stdin.flush()
            self.singled = msgspec.json.decode(self._out.readline(), type=dict[int, int])


class _Passage:
    """What passes, in the process itself."""

    def __init__(self, upstream: int, stream: str) -> None:
        self._upstream = upstream
        self._stream = stream
        self.steps = Steps()
        self._passing: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    def cut(self) -> None:
        for writer in list(self._passing):
            writer.transport.abort()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A client has come: pass on until either side leaves. Where no broker is, it is sent away at once."""
        try:
            broker, to_broker = await asyncio.open_connection(HOST, self._upstream, limit=PIECE_BYTES)
        except OSError:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._passing[writer] = task
        wire = Wire(self.steps, self._stream)
        try:
            ways = [_pass(reader, to_broker, None), _pass(broker, writer, wire)]
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for one in tasks:
                one.cancel()
            for end in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(end, Exception):
                    raise end  # A fault of the proxy itself is said, and ends this connection.
        except asyncio.CancelledError:
            return  # This process ends.
        finally:
            self._passing.pop(writer)
            for each in (writer, to_broker):
                each.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: Wire | None) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(PIECE_BYTES):
            writer.write(data if wire is None else wire.feed(data))
            await writer.drain()


async def _serve(upstream: int, stream: str) -> None:
    passage = _Passage(upstream, stream)
    loop = asyncio.get_running_loop()
    words = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    server = await asyncio.start_server(passage.take, HOST, 0, limit=PIECE_BYTES)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        while word := await words.readline():
            if word == b"\n":
                passage.cut()
            elif word != b"?\n":
                passage.steps.add(_step.decode(word))
            print(msgspec.json.encode(passage.steps.singled).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
