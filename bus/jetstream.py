"""The event log on JetStream.

A record is stored by the server's word alone: what leaves that open is an UnknownOutcomeError, never a guess."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime

from nats.aio.client import Client

from remediation_orchestrator.events import CellName, StoredMessage, subjects
from remediation_orchestrator.events.stored import EXPECTED, MESSAGE_ID

from . import api, topology
from .connection import parse_headers
from .feed import BATCH_BYTES, BATCH_MESSAGES, Feed
from .imported import restore_record
from .marks import JetStreamMarks
from .port import (
    HOLES_TOLD_MAX,
    Extent,
    LogError,
    LogUnreachableError,
    Room,
    identity_of,
    matches,
    not_taken,
    stream_name,
)
from .snapshots import JetStreamSnapshots
from .storing import store, store_together

# A reader that must end gives up after this long without getting through.
READ_PATIENCE_SECONDS = 15.0
# A consumer has nothing to send and says that it lives: what it owes may not be readable any more.
STALLED_SECONDS = 2.0
_FRACTION = re.compile(r"\.(\d+)")


class JetStreamLog:
    """One cell's log on a connection, our own or anybody's (FastStream's `broker.connection`)."""

    def __init__(self, connection: Client, cell: CellName, info: api.StreamInfo) -> None:
        self._imported = topology.is_imported(info.config)
        self._connection = connection
        self._cell = cell
        self._stream = stream_name(cell)
        self._created = info.created
        self._replicas: int = info.config.get("num_replicas", 1)
        self.gap: tuple[int, int] | None = None
        """The first sequences that reading it to its end has found to be missing, from one to another."""

    @classmethod
    async def open(cls, connection: Client, cell: CellName) -> "JetStreamLog":
        """Open a log that is there. Raises LogUnreachableError where it is not."""
        info = await api.stream_info(connection, stream_name(cell))
        if info is None:
            raise LogUnreachableError(f"the broker has no log of the cell {cell!r}")
        return cls(connection, cell, info)

    @classmethod
    async def ensure(
        cls, connection: Client, cell: CellName, *, replicas: int = 1, max_bytes: int | None = None
    ) -> "JetStreamLog":
        """Open the cell's log, and make it first if there is none."""
        info = await topology.ensure_stream(connection, cell, replicas=replicas, max_bytes=max_bytes)
        return cls(connection, cell, info)

    @property
    def cell(self) -> CellName:
        """Whose log this is."""
        return self._cell

    @property
    def identity(self) -> str:
        """Eight hex digits that name this stream's life."""
        return identity_of(self._stream, self._created)

    @property
    def is_imported(self) -> bool:
        """Whether it was brought in from a file, and is there to be read."""
        return self._imported

    @property
    def snapshots(self) -> JetStreamSnapshots:
        """The cell's snapshots, beside its log, on as many servers."""
        return self._kept_in(topology.SNAPSHOTS)

    @property
    def archive(self) -> JetStreamSnapshots:
        """What the log goes on from, where its beginning was archived."""
        return self._kept_in(topology.ARCHIVES)

    @property
    def marks(self) -> JetStreamMarks:
        """How far the log had come, kept in a stream beside it."""
        return JetStreamMarks(self._connection, self._cell, replicas=self._replicas)

    async def purge(self, below: int) -> None:
        """Take away every record below a sequence: for what is archived, and for nothing else."""
        await api.call(self._connection, f"STREAM.PURGE.{self._stream}", {"seq": below}, api.Done)

    async def append(
        self, subject: str, payload: bytes, *, expect: int | None = None, message_id: str | None = None
    ) -> int:
        """Store one message and return its sequence, once it is on disk."""
        headers = {}
        if expect is not None:
            headers[EXPECTED] = str(expect)
        if message_id is not None:
            headers[MESSAGE_ID] = message_id
        try:
            return await store(self._connection, subject, payload, headers=headers, expect=expect)
        except api.NobodyThereError as error:
            raise await self._why_nobody(subject) from error

    async def append_together(self, records: Sequence[tuple[str, bytes]]) -> int:
        """Store messages one right after the other, each the first on its subject: all of them or none."""
        firsts = [(subject, payload, {EXPECTED: "0"}) for subject, payload in records]
        try:
            return await store_together(self._connection, firsts)
        except api.NobodyThereError as error:
            raise await self._why_nobody(records[-1][0]) from error

    async def append_in_a_row(self, subject: str, payloads: Sequence[bytes], *, expect: int) -> int:
        """Store messages on one subject in a row, all of them or none, and return the sequence of the first."""
        if len(payloads) == 1:
            return await self.append(subject, payloads[0], expect=expect)
        # Each behind the first follows one of this batch, of which the server knows no sequence yet.
        headers: list[dict[str, str]] = [{EXPECTED: str(expect)}, *({} for _ in payloads[1:])]
        records = [(subject, payload, own) for payload, own in zip(payloads, headers, strict=True)]
        try:
            return await store_together(self._connection, records, expect=expect) - len(payloads) + 1
        except api.NobodyThereError as error:
            raise await self._why_nobody(subject) from error

    async def read(self, start: int = 1, *, follow: bool = False) -> AsyncGenerator[StoredMessage, None]:
        """Yield every message from sequence `start` on, in order, each once."""
        end = None if follow else await self.last_sequence()
        if end is not None and end < start:
            return
        patience = None if follow else READ_PATIENCE_SECONDS
        feed = Feed(self._connection, self._stream, self._created, start=start, seconds=patience)
        loop = asyncio.get_running_loop()
        heard, read = loop.time(), None
        async with contextlib.aclosing(feed.batches()) as batches:
            async for batch in batches:
                if batch:
                    heard = loop.time()
                elif end is not None and loop.time() - heard > STALLED_SECONDS:
                    if await self._is_over(feed.next_sequence, end):
                        return
                    heard = loop.time()
                for message in batch:
                    if end is not None and message.sequence > end:
                        return
                    if read is not None and message.sequence > read + 1:
                        self.gap = self.gap or (read + 1, message.sequence - 1)
                    read = None if end is None else message.sequence
                    yield restore_record(message) if self._imported else message
                if end is not None and (feed.next_sequence > end or feed.drained):
                    return

    async def follow(self, subject: str) -> AsyncIterator[StoredMessage]:
        """Yield what is stored on a subject, which may be a pattern, from now on, through every break."""
        start = await self.last_sequence() + 1
        feed = Feed(self._connection, self._stream, self._created, start=start, subject=subject)
        async for batch in feed.batches():
            for message in batch:
                yield message

    async def last(self, subject: str) -> StoredMessage | None:
        """The newest message on a literal subject, asked of the stream's leader."""
        return self._found(await api.last_message(self._connection, self._stream, subject))

    async def next_on(self, subject: str, after: int) -> StoredMessage | None:
        """The first message on a literal subject behind a sequence, asked of the stream's leader."""
        return self._found(await api.next_message(self._connection, self._stream, subject, after))

    async def behind(self, subject: str, after: int) -> list[StoredMessage]:
        """The first messages on a literal subject behind a sequence: of about a batch of a reader's at most."""
        first = await self.next_on(subject, after)
        if first is None:
            return []
        found: list[StoredMessage] = []
        size = 0
        start, patience = first.sequence, READ_PATIENCE_SECONDS
        feed = Feed(self._connection, self._stream, self._created, start=start, subject=subject, seconds=patience)
        async with contextlib.aclosing(feed.batches()) as batches:
            async for batch in batches:
                found += batch
                size += sum(len(one.payload) for one in batch)
                if feed.drained or len(found) >= BATCH_MESSAGES or size >= BATCH_BYTES:
                    break
        return found or [first]

    async def at(self, sequence: int) -> StoredMessage | None:
        """The message of this sequence, asked of the stream's leader."""
        return self._found(await api.message_at(self._connection, self._stream, sequence))

    async def last_sequence(self) -> int:
        """The sequence of the newest message of the log; 0 where it is empty."""
        return (await self._info()).state.last_seq

    async def first_sequence(self) -> int:
        """The sequence of the oldest message of the log; 1 where it is empty."""
        state = (await self._info()).state
        return state.first_seq if state.messages else 1

    async def extent(self) -> Extent:
        """How far the log reaches, and what is missing between."""
        state = (await self._info()).state
        if not state.messages:  # All that was ever there is gone, or nothing was.
            last = state.last_seq
            return Extent(1, last, last, tuple(range(1, min(last, HOLES_TOLD_MAX) + 1)))
        missing = state.last_seq - state.first_seq + 1 - state.messages
        holes = (await self._info(deleted=True)).state.deleted[:HOLES_TOLD_MAX] if missing else ()
        return Extent(state.first_seq, state.last_seq, missing, tuple(holes))

    async def room(self) -> Room:
        """How full the log is, in one question."""
        info = await self._info()
        limit: int = info.config.get("max_bytes", -1)
        limits = ((info.state.bytes, limit), (info.state.messages, info.config.get("max_msgs", -1)))
        fill = max((used / most for used, most in limits if most > 0), default=0.0)
        takes = set(info.config["subjects"]) >= set(subjects.bound_subjects(self._cell))
        return Room(fill, limit if limit > 0 else None, takes, info.state.last_seq)

    async def take_signals(self, *, enabled: bool) -> None:
        """Open or shut the log for signals."""
        info = await self._info()
        wanted = subjects.bound_subjects(self._cell, signals=enabled)
        if set(info.config["subjects"]) != set(wanted):
            await topology.update_stream(self._connection, info, {"subjects": wanted})

    async def _is_over(self, following: int, end: int) -> bool:
        """Whether nothing up to the end can be read any more, although the server still counts it."""
        found = await api.next_message(self._connection, self._stream, ">", following - 1)
        return found is None or found.seq > end

    def _found(self, found: api.FoundMessage | None) -> StoredMessage | None:
        if found is None:
            return None
        headers = parse_headers(found.hdrs)
        message = StoredMessage(found.seq, moment_of(found.time), found.subject, found.data, headers)
        return restore_record(message) if self._imported else message

    def _kept_in(self, side: topology.SideStream) -> JetStreamSnapshots:
        return JetStreamSnapshots(self._connection, self._cell, side, log=self.identity, replicas=self._replicas)

    async def _info(self, *, deleted: bool = False) -> api.StreamInfo:
        info = await api.stream_info(self._connection, self._stream, deleted=deleted)
        if info is None:
            raise LogUnreachableError(f"the broker has no log of the cell {self._cell!r}")
        if info.created != self._created:
            raise LogError(f"the log of the cell {self._cell!r} was deleted and made again")
        return info

    async def _why_nobody(self, subject: str) -> LogError:
        """Nobody took the record: the log may be shut, gone, or without such a subject."""
        bound = (await self._info()).config["subjects"]
        if not any(matches(pattern, subject) for pattern in bound):
            return not_taken(self._cell, subject)
        return LogUnreachableError(f"{subject}: the broker has no leader for the log at the moment")


def moment_of(text: str) -> datetime:
    """Read RFC 3339 with nanoseconds, truncated to microseconds."""
    cut = _FRACTION.sub(lambda match: "." + match.group(1)[:6].ljust(6, "0"), text)
    return datetime.fromisoformat(cut.replace("Z", "+00:00")).astimezone(UTC)
