"""What a benchmark needs around it: a server that syncs every message, and processes of their own for the others.

Whatever is started here ends with the block that started it, and with this process too: a child ends when
its standard input closes."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from remediation_orchestrator.bus.embedded import EmbeddedServer

READY = b"ready\n"
READY_SECONDS = 60.0
# The last round of a stopping orchestrator may be a thousand messages.
END_SECONDS = 30.0
ROOT = Path(__file__).parents[1]


@asynccontextmanager
async def server() -> AsyncIterator[EmbeddedServer]:
    """The embedded server on an empty folder."""
    with tempfile.TemporaryDirectory(prefix="ro-bench-") as folder:
        async with EmbeddedServer(Path(folder)) as running:
            yield running


@asynccontextmanager
async def child(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A module of ours in a process of its own, which has said that it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_SECONDS):
            said = await process.stdout.readline()
        if said != READY:
            raise RuntimeError(f"{module} did not become ready")
        yield process
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let it end by itself. One that does not is killed, and that is an error: services have to stop cleanly."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise


async def said_to_go_on() -> None:
    """In a child: say that we are ready, and wait for a line; the end of the input counts as one."""
    print(READY.decode(), end="", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
