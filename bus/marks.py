"""How far a log had come, kept outside of it on the broker; and the newest that one of us has kept on any subject.

Nothing here knows what a mark says. Of two who write one the later has read the earlier's, or is refused. Whoever
may publish anything can have the server's answer to it stored on any subject. Such junk has no headers of ours: it
is passed over, and whoever keeps something next writes behind it."""

import contextlib
from collections.abc import Mapping

from msgspec import Struct
from nats.aio.client import Client

from remediation_orchestrator.events import CellName
from remediation_orchestrator.events.codec import COPIED
from remediation_orchestrator.events.stored import EXPECTED

from . import api, topology
from .connection import parse_headers
from .feed import Feed
from .storing import store

KEPT = "Ro-Kept"
HEADERS = {KEPT: "1"}
"""What is kept is stored with these."""
READ_PATIENCE_SECONDS = 5.0


class SubjectState(Struct, frozen=True):
    """What stands on a subject."""

    last: int
    """The sequence of the newest record there, whatever it is; 0 where there is none."""
    payload: bytes | None
    """Of the newest that was kept; None where nothing was."""


async def newest_kept(connection: Client, stream: str, subject: str) -> SubjectState:
    """Look for what was kept last on a subject. Raises LogError."""
    found = await api.last_message(connection, stream, subject)
    if found is None:
        return SubjectState(0, None)
    if _is_kept(parse_headers(found.hdrs)):
        return SubjectState(found.seq, found.data)
    return SubjectState(found.seq, await _behind_junk(connection, stream, subject))


async def _behind_junk(connection: Client, stream: str, subject: str) -> bytes | None:
    info = await api.stream_info(connection, stream)
    if info is None:
        return None
    feed = Feed(connection, stream, info.created, subject=subject, seconds=READ_PATIENCE_SECONDS)
    newest = None
    async with contextlib.aclosing(feed.batches()) as batches:
        async for batch in batches:
            for message in batch:
                newest = message.payload if _is_kept(message.headers) else newest
            if feed.drained:
                return newest
    return newest


def _is_kept(headers: Mapping[str, str] | None) -> bool:
    return headers is not None and KEPT in headers and COPIED.isdisjoint(headers)  # That is a copy of one.


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
