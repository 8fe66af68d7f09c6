"""Wait for what real processes do: a line that they say, or their end."""

import asyncio
import os
from pathlib import Path

PATIENCE = 15.0


class Word:
    """A named pipe for one line of a program. Made before the program, it never holds it up."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    async def said(self) -> str:
        """Wait for the line."""
        line = b""
        async with asyncio.timeout(PATIENCE):
            while not line.endswith(b"\n"):
                await _readable(self._end)
                line += os.read(self._end, 4096)
        os.close(self._end)
        return line.decode().strip()


async def gone(process: int) -> None:
    """Wait until a process has ended; to collect it is its parent's business."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        async with asyncio.timeout(PATIENCE):
            await _readable(handle)
    finally:
        os.close(handle)


def members_of(group: int) -> list[int]:
    """The processes of a group that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, its_group, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_group) == group and state not in "ZX":
            found.append(int(folder.name))
    return found


def is_alive(process: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


async def _readable(handle: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(handle, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(handle)
