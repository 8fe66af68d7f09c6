"""The event log in memory, for simulation: no thread, no wall clock, and faults where they are asked for.

Held to the contract of the one on JetStream. Time is what the cell was given; readers wait on asyncio alone."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from datetime import datetime, timedelta

from remediation_orchestrator.events import CellName, StoredMessage, subjects
from remediation_orchestrator.events.stored import EXPECTED, MESSAGE_ID

from .memory_lease import FaultPoint as FaultPoint
from .memory_lease import Faults as Faults
from .memory_lease import Handle, KeptLease, MemoryLease, announce
from .port import (
    TOGETHER_MAX,
    TTL,
    Extent,
    LogError,
    LogFullError,
    NotWholeError,
    Room,
    StaleWriteError,
    identity_of,
    matches,
    not_taken,
    stream_name,
)
from .records import Records, record_size


class MemoryCell:
    """What the broker keeps of one cell. Every handle taken from it is a process of its own."""

    def __init__(self, cell: CellName, now: Callable[[], datetime], *, max_bytes: int | None = None) -> None:
        """By `now` messages are stamped, and the lease ends."""
        self.cell = cell
        self.now = now
        self.identity = identity_of(stream_name(cell), now().isoformat())
        self.records = Records()
        self.taken = 0
        """How often some were taken away, or brought back."""
        self._max_bytes = max_bytes
        self._signals = True
        self._news = asyncio.Event()
        self.leased = KeptLease(now)
        self.snapshots, self.archive, self.marks = MemorySnapshots(), MemorySnapshots(), MemoryMarks()

    @property
    def messages(self) -> list[StoredMessage]:
        """What the log holds, in order."""
        return self.records.messages

    def log(self, faults: Faults | None = None) -> "MemoryLog":
        """A handle on the log."""
        return MemoryLog(self, faults)

    def lease(self, ttl: timedelta = TTL, faults: Faults | None = None) -> MemoryLease:
        """A handle on the lease."""
        return MemoryLease(self.leased, ttl, faults)

    def store(self, subject: str, payload: bytes, expect: int | None, message_id: str | None) -> int:
        """Store one message at once. Raises as `append` does, in the order in which the server judges."""
        self._check(subject, expect)
        repeated = self.records.find_repeated(message_id, self.now())
        if repeated is not None:
            return repeated
        self._check_room([(subject, payload)])
        headers = {} if expect is None else {EXPECTED: str(expect)}
        if message_id is not None:
            headers[MESSAGE_ID] = message_id
        message = self.records.add(self.now(), subject, payload, headers or None)
        self._news = announce(self._news)
        return message.sequence

    def store_together(self, records: Sequence[tuple[str, bytes]]) -> int:
        """Store messages that are each the first on their subject, all of them or none. Raises as `store` does."""
        assert 0 < len(records) <= TOGETHER_MAX
        for subject, _ in records:
            self._check(subject, 0)
        if len({subject for subject, _ in records}) < len(records):
            raise LogError("two of the records are on one subject")
        self._check_room(records)
        return [self.store(subject, payload, 0, None) for subject, payload in records][-1]

    def store_in_a_row(self, subject: str, payloads: Sequence[bytes], expect: int) -> int:
        """Store messages on one subject, all of them or none, and return the first's sequence."""
        assert 0 < len(payloads) <= TOGETHER_MAX
        self._check(subject, expect)
        self._check_room([(subject, payload) for payload in payloads])
        first = self.store(subject, payloads[0], expect, None)
        for payload in payloads[1:]:
            self.store(subject, payload, None, None)
        return first

    def copy(self, message: StoredMessage, stream: str) -> int:
        """Store a copy of a message under its subject, as a stream that sources another does."""
        headers = {"Nats-Stream": stream, "Nats-Sequence": str(message.sequence)}
        self._check_room([(message.subject, message.payload)])
        stored = self.records.add(self.now(), message.subject, message.payload, headers)
        self._news = announce(self._news)
        return stored.sequence

    def newest(self, subject: str) -> StoredMessage | None:
        """The newest message on a subject."""
        return self.records.newest(subject)

    def keep(self, messages: Iterable[StoredMessage], *, last: int | None = None) -> None:
        """Have only these messages left, as after a purge or a loss; with `last` the log itself ends there."""
        self.taken += 1
        self.records.keep(messages, self.records.last if last is None else last)
        self._news = announce(self._news)

    def room(self) -> Room:
        """How full the log is."""
        fill = self.records.bytes / self._max_bytes if self._max_bytes else 0.0
        return Room(fill, self._max_bytes, self._signals, self.records.last)

    def limit(self, max_bytes: int | None) -> None:
        """Give the log another limit, as whoever runs the broker may."""
        self._max_bytes = max_bytes

    @property
    def size(self) -> int:
        """How many bytes the log has."""
        return self.records.bytes

    def take_signals(self, *, enabled: bool) -> None:
        """Open or shut the log for signals."""
        self._signals = enabled

    def check_there(self, delivered: StoredMessage) -> None:
        """Raise NotWholeError where another stands in the place of what was delivered, or the log ends before."""
        sequence, there = delivered.sequence, self.records.at(delivered.sequence)
        if self.records.last < sequence or there not in (None, delivered):
            raise NotWholeError(f"the log has lost records: {sequence} was read already, and is not there")

    async def beyond(self, sequence: int) -> None:
        """Return when there is a message after `sequence`, or when some were taken away or brought back."""
        taken = self.taken
        while taken == self.taken and next(self.records.behind(sequence), None) is None:
            await self._news.wait()

    def _check(self, subject: str, expect: int | None) -> None:
        if not self._takes(subject):
            raise not_taken(self.cell, subject)
        newest = self.records.newest(subject)
        last = newest.sequence if newest else 0
        if expect is not None and expect != last:
            raise StaleWriteError(subject, expect, last)

    def _check_room(self, records: Sequence[tuple[str, bytes]]) -> None:
        size = sum(record_size(subject, payload) for subject, payload in records)
        if self._max_bytes is not None and self.records.bytes + size > self._max_bytes:
            raise LogFullError(f"{records[-1][0]}: maximum bytes exceeded")

    def _takes(self, subject: str) -> bool:
        return any(matches(one, subject) for one in subjects.bound_subjects(self.cell, signals=self._signals))


class MemorySnapshots:
    """The snapshots of a cell in memory."""

    def __init__(self) -> None:
        self._newest: tuple[bytes, list[bytes]] | None = None

    @property
    def kept(self) -> bytes | None:
        """The head of the newest snapshot, as whoever runs the broker sees it."""
        return None if self._newest is None else self._newest[0]

    async def newest(self) -> tuple[bytes, Iterable[bytes]] | None:
        """The newest whole snapshot."""
        return self._newest

    async def head(self) -> bytes | None:
        """Its head alone."""
        return None if self._newest is None else self._newest[0]

    async def save(
        self, parts: Iterable[bytes], head: Callable[[str], bytes], *, after: bytes | None = None
    ) -> None:
        """Keep a snapshot in place of the one before it."""
        digest, kept = hashlib.sha256(), []
        for part in parts:
            digest.update(part)
            kept.append(part)
            await asyncio.sleep(0)
        if after not in (None, b"" if self._newest is None else self._newest[0]):
            raise StaleWriteError("the newest snapshot", 0, None)
        self._newest = head(digest.hexdigest()), kept


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


class MemoryLog(Handle):
    """One process's handle on a cell's log."""

    def __init__(self, cell: MemoryCell, faults: Faults | None = None) -> None:
        super().__init__(faults)
        self._store = cell

    @property
    def cell(self) -> CellName:
        """Whose log this is."""
        return self._store.cell

    @property
    def identity(self) -> str:
        """Eight hex digits that name this log's life."""
        return self._store.identity

    @property
    def snapshots(self) -> MemorySnapshots:
        """The cell's snapshots."""
        return self._store.snapshots

    @property
    def archive(self) -> MemorySnapshots:
        """What the log goes on from, where its beginning was archived."""
        return self._store.archive

    @property
    def marks(self) -> MemoryMarks:
        """How far the log had come."""
        return self._store.marks

    async def append(
        self, subject: str, payload: bytes, *, expect: int | None = None, message_id: str | None = None
    ) -> int:
        """Store one message and return its sequence."""
        await self.strike(FaultPoint.STORE, subject)
        sequence = self._store.store(subject, payload, expect, message_id)
        await self.strike(FaultPoint.ANSWER, subject)
        return sequence

    async def append_together(self, records: Sequence[tuple[str, bytes]]) -> int:
        """Store messages that are each the first on their subject, all of them or none."""
        await self.strike(FaultPoint.STORE, records[-1][0])
        sequence = self._store.store_together(records)
        await self.strike(FaultPoint.ANSWER, records[-1][0])
        return sequence

    async def append_in_a_row(self, subject: str, payloads: Sequence[bytes], *, expect: int) -> int:
        """Store messages on one subject, all of them or none, and return the first's sequence."""
        await self.strike(FaultPoint.STORE, subject)
        first = self._store.store_in_a_row(subject, payloads, expect)
        await self.strike(FaultPoint.ANSWER, subject)
        return first

    async def read(self, start: int = 1, *, follow: bool = False) -> AsyncGenerator[StoredMessage, None]:
        """Yield every message from sequence `start` on, in order, each once."""
        end = None if follow else await self.last_sequence()
        read, taken = max(1, start) - 1, self._store.taken
        delivered: StoredMessage | None = None
        while end is None or read < end:
            if delivered is not None and taken != self._store.taken:  # As a reader does that has to begin again.
                taken = self._store.taken
                self._store.check_there(delivered)
            message = next(self._store.records.behind(read), None)
            if message is None and end is None:
                await self._store.beyond(read)
                continue
            if message is None or (end is not None and message.sequence > end):
                return
            await self.strike(FaultPoint.DELIVER, message.subject)
            yield message
            read, delivered = message.sequence, message

    async def last(self, subject: str) -> StoredMessage | None:
        """The newest message on a literal subject."""
        await self.strike(FaultPoint.ASK, subject)
        return self._store.newest(subject)

    async def next_on(self, subject: str, after: int) -> StoredMessage | None:
        """The first message on a literal subject behind a sequence."""
        await self.strike(FaultPoint.ASK, subject)
        return self._store.records.next_on(subject, after)

    async def behind(self, subject: str, after: int) -> list[StoredMessage]:
        """The first message on a literal subject behind a sequence."""
        return [one for one in [await self.next_on(subject, after)] if one is not None]

    async def at(self, sequence: int) -> StoredMessage | None:
        """The message of this sequence."""
        await self.strike(FaultPoint.ASK, "")
        return self._store.records.at(sequence)

    async def last_sequence(self) -> int:
        """The sequence of the newest message of the log; 0 where it is empty."""
        await self.strike(FaultPoint.ASK, "")
        return self._store.records.last

    async def first_sequence(self) -> int:
        """The sequence of the oldest message of the log."""
        return (await self.extent()).first

    async def extent(self) -> Extent:
        """How far the log reaches, and what is missing between."""
        await self.strike(FaultPoint.ASK, "")
        return self._store.records.extent()

    async def purge(self, below: int) -> None:
        """Take away every record below a sequence."""
        await self.strike(FaultPoint.ASK, "")
        self._store.keep([one for one in self._store.messages if one.sequence >= below])

    async def room(self) -> Room:
        """How full the log is."""
        await self.strike(FaultPoint.ASK, "")
        return self._store.room()

    async def take_signals(self, *, enabled: bool) -> None:
        """Open or shut the log for signals."""
        await self.strike(FaultPoint.ASK, "")
        self._store.take_signals(enabled=enabled)
