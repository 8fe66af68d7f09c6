"""Wait for what real processes do: a line in a file, or their end."""

import asyncio
import time
from pathlib import Path

PATIENCE = 15.0


async def written(path: Path) -> str:
    """Wait until a program has written a line there, and return it."""
    return await asyncio.to_thread(_written, path)


async def gone(process: int) -> None:
    """Wait until a process has ended; a zombie is somebody else's to collect."""
    await asyncio.to_thread(_gone, process)


def is_alive(process: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def _written(path: Path) -> str:
    end = time.monotonic() + PATIENCE
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < end, f"nothing was written to {path}"
        time.sleep(0.01)
    return path.read_text().strip()


def _gone(process: int) -> None:
    end = time.monotonic() + PATIENCE
    while is_alive(process):
        assert time.monotonic() < end, f"process {process} is still there"
        time.sleep(0.01)
