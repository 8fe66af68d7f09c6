"""The door of `ro up`: a process of its own, so that no body ever keeps an executor from its work, or a claim from
being renewed. It ends with its parent, whatever ends that; and when it ends by itself, that is seen and said."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from remediation_orchestrator.bus.port import LogError
from remediation_orchestrator.events import CellName
from remediation_orchestrator.web.server import address_of

log = logging.getLogger(__name__)

# Longer than the door takes to answer what it has in hand.
STOP_SECONDS = 15.0
# Between two doors; whoever sends meanwhile waits at the address, which stays taken.
AGAIN_SECONDS = 1.0
# To ask once more where the address is taken and nobody answers at it yet.
ASK_SECONDS = 5.0
# A door is asked so often whether it answers; one that has not so many times in a row is hung: a busy one does.
WATCH_SECONDS = 5.0
SILENT_MAX = 3
_CHILD = "from remediation_orchestrator.cli.main import main; main()"


class DoorEndedError(LogError):
    """The door has ended before it ever answered: another would not fare better."""


async def keep_door(
    url: str,
    cell: CellName,
    options: Sequence[str],
    listening: socket.socket,
    stopping: asyncio.Event,
    opened: asyncio.Event,
) -> None:
    """Have a door with these options there until `stopping`; `opened` is set for as long as it answers. One that
    ends by itself is followed by another. Raises DoorEndedError."""
    while not stopping.is_set():
        door = await _open(url, cell, options, listening)
        ended, hung = asyncio.create_task(door.wait()), False
        try:
            if await _answers(listening, ended, stopping):
                opened.set()
                hung = await _watch(door, listening, ended, stopping)
            elif not stopping.is_set():
                raise DoorEndedError(f"the HTTP door ended before it was open: {_how(door.returncode)}")
        finally:
            opened.clear()
            await _close(door, ended)
        if not stopping.is_set():
            if not hung:
                how = _how(door.returncode)
                log.error("the HTTP door has ended by itself", extra={"how": how, "pid": door.pid})
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), AGAIN_SECONDS)


@asynccontextmanager
async def until_abandoned(stopping: asyncio.Event) -> AsyncIterator[None]:
    """In the door itself: set `stopping` when its standard input ends, since whoever held it is there no more."""
    loop = asyncio.get_running_loop()

    def look() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            loop.remove_reader(sys.stdin)
            stopping.set()

    loop.add_reader(sys.stdin, look)
    try:
        yield
    finally:
        loop.remove_reader(sys.stdin)


async def _open(
    url: str, cell: CellName, options: Sequence[str], listening: socket.socket
) -> asyncio.subprocess.Process:
    """Start one. It listens where we do, and lives as long as its standard input: so it never outlives us."""
    number = listening.fileno()
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", _CHILD, "gateway", "--cell", cell, "--listening", str(number), *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, "NATS_URL": url},  # Others may read a command line.
        pass_fds=(number,),
        start_new_session=True,  # A Ctrl-C in the terminal is for the parent, which ends it when it is its turn.
    )


async def _close(door: asyncio.subprocess.Process, ended: "asyncio.Task[int]") -> None:
    assert door.stdin is not None
    door.stdin.close()
    try:
        await asyncio.wait_for(asyncio.shield(ended), STOP_SECONDS)
    except TimeoutError:
        door.kill()
        await ended


async def _answers(listening: socket.socket, ended: "asyncio.Task[int]", stopping: asyncio.Event) -> bool:
    """Wait until it answers; False where it has ended instead, or is to end."""
    asking = asyncio.create_task(_ask(listening))
    try:
        await _first(asking, ended, stopping)
        return asking.done() and not ended.done() and not stopping.is_set()
    finally:
        asking.cancel()
        await asyncio.wait({asking})


async def _watch(
    door: asyncio.subprocess.Process,
    listening: socket.socket,
    ended: "asyncio.Task[int]",
    stopping: asyncio.Event,
) -> bool:
    """Return when it has ended, or is to. One that is there and does not answer is ended here: then True."""
    silent = asyncio.create_task(_until_silent(listening))
    try:
        await _first(silent, ended, stopping)
        hung = silent.done() and not ended.done() and not stopping.is_set()
        if hung:
            log.error("the HTTP door does not answer", extra={"asked": SILENT_MAX, "pid": door.pid})
            door.kill()
        return hung
    finally:
        silent.cancel()
        await asyncio.wait({silent})


async def _until_silent(listening: socket.socket) -> None:
    """Ask now and then, until there was no answer so many times in a row."""
    silent = 0
    while silent < SILENT_MAX:
        await asyncio.sleep(WATCH_SECONDS)
        silent = 0 if await _answer(listening) else silent + 1


async def _ask(listening: socket.socket) -> None:
    """Ask until all is well. The address takes connections before anybody is there to serve them."""
    while True:
        if (await _answer(listening)).startswith(b"HTTP/1.1 200"):
            return
        await asyncio.sleep(AGAIN_SECONDS)  # Somebody is there, and not yet as it should be.


async def _answer(listening: socket.socket) -> bytes:
    """What is answered to one question; nothing where nobody does, in time."""
    address = urlsplit(address_of(listening))
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(ASK_SECONDS):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            try:
                writer.write(b"GET /livez HTTP/1.1\r\nhost: ro\r\nconnection: close\r\n\r\n")
                return await reader.read()
            finally:
                writer.close()
    return b""


async def _first(*facts: "asyncio.Event | asyncio.Task[int] | asyncio.Task[None]") -> None:
    """Wait until one of these is so."""
    waiting = {asyncio.create_task(fact.wait()) for fact in facts if isinstance(fact, asyncio.Event)}
    tasks = {fact for fact in facts if isinstance(fact, asyncio.Task)}
    await asyncio.wait({*waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
