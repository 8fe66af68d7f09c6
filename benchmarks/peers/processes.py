"""Processes that end with this one, and that can be killed as a power cut would: without a word."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.stage import ROOT
from remediation_orchestrator.bus.embedded import dies_with_parent

Process = asyncio.subprocess.Process


@asynccontextmanager
async def process(command: Sequence[str], said: Path | None = None) -> AsyncIterator[Process]:
    """Run a command as the leader of a group of its own; at the end of the block what is left of it is killed."""
    with (said or Path(os.devnull)).open("wb") as errors:
        running = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            preexec_fn=dies_with_parent(signal.SIGKILL),
        )
    try:
        yield running
    finally:
        await kill(running)


async def kill(running: Process) -> None:
    """SIGKILL, to it and to whatever it started."""
    if running.returncode is None:
        os.killpg(running.pid, signal.SIGKILL)
    await running.wait()


async def stop(running: Process) -> None:
    """Close its standard input, and wait until it has ended by itself."""
    assert running.stdin is not None
    running.stdin.close()
    await running.wait()


def peak_mib(pid: int) -> float:
    """The most memory that a process has had so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1_024 for line in status.splitlines() if line.startswith("VmHWM"))
