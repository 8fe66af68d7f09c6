"""How far a log had come, kept outside of it: on the broker in a stream of its own, and in memory.

Nothing here knows what a mark says. Of two who write one the later has read the earlier's, or is refused."""

from nats.aio.client import Client

from remediation_orchestrator.events import CellName
from remediation_orchestrator.events.stored import EXPECTED

from . import api, topology
from .kept import HEADERS, newest_kept
from .storing import store

# To take the older marks away costs as much as to write one, so it is done now and then.
OLD_MAX = 256


class JetStreamMarks:
    """The mark of a cell on the broker."""

    def __init__(self, connection: Client, cell: CellName, *, replicas: int = 1) -> None:
        self._connection = connection
        self._subject = topology.MARKS.subject(cell, "newest")
        self._replicas = replicas
        self._purged = 0
        """Older marks than this one were taken away."""

    async def read(self) -> tuple[int, bytes]:
        """The newest mark and its revision; 0 and nothing where there is none. Raises LogError."""
        if await api.stream_info(self._connection, topology.MARKS.stream) is None:
            return 0, b""
        found = await newest_kept(self._connection, topology.MARKS.stream, self._subject)
        return found.last, found.payload or b""

    async def write(self, mark: bytes, revision: int) -> int:
        """Put a mark in the place of this revision, and return its own. Raises StaleWriteError, or LogError."""
        if not revision:
            await topology.ensure_side_stream(self._connection, topology.MARKS, replicas=self._replicas)
        headers = {EXPECTED: str(revision), **HEADERS}
        sequence = await store(self._connection, self._subject, mark, headers=headers, expect=revision)
        if sequence - self._purged >= OLD_MAX:
            self._purged = sequence
            body = {"filter": self._subject, "seq": sequence}
            await api.call(self._connection, f"STREAM.PURGE.{topology.MARKS.stream}", body, api.Done)
        return sequence
