"""How far a log had come, kept outside of it: on the broker in a stream of its own, and in memory.

Nothing here knows what a mark says. Of two who write one the later has read the earlier's, or is refused."""

from nats.aio.client import Client

from remediation_orchestrator.events import CellName

from . import api, topology
from .port import StaleWriteError
from .storing import EXPECTED, store


class JetStreamMarks:
    """The mark of a cell on the broker."""

    def __init__(self, connection: Client, cell: CellName, *, replicas: int = 1) -> None:
        self._connection = connection
        self._subject = topology.MARKS.subject(cell, "newest")
        self._replicas = replicas

    async def read(self) -> tuple[int, bytes]:
        """The newest mark and its revision; 0 and nothing where there is none. Raises LogError."""
        if await api.stream_info(self._connection, topology.MARKS.stream) is None:
            return 0, b""
        found = await api.last_message(self._connection, topology.MARKS.stream, self._subject)
        return (0, b"") if found is None else (found.seq, found.data)

    async def write(self, mark: bytes, revision: int) -> int:
        """Put a mark in the place of this revision, and return its own. Raises StaleWriteError, or LogError."""
        if not revision:
            await topology.ensure_shelf(self._connection, topology.MARKS, replicas=self._replicas)
        headers = {EXPECTED: str(revision)}
        return await store(self._connection, self._subject, mark, headers=headers, expect=revision)


class MemoryMarks:
    """The mark of a cell in memory."""

    def __init__(self) -> None:
        self._mark = (0, b"")

    async def read(self) -> tuple[int, bytes]:
        """The newest mark and its revision."""
        return self._mark

    async def write(self, mark: bytes, revision: int) -> int:
        """Put a mark in the place of this revision."""
        if revision != self._mark[0]:
            raise StaleWriteError("the mark", revision, self._mark[0])
        self._mark = (revision + 1, mark)
        return revision + 1
