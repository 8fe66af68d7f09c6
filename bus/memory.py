"""The event log in memory, for simulation: no thread, no wall clock, and faults where they are asked for.

Held to the contract of the one on JetStream. Time is what the cell was given; readers wait on asyncio alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from remediation_orchestrator.events import CellName, StoredMessage, subjects

from .jetstream import matches, not_taken
from .lease import TTL
from .port import TOGETHER_MAX, Holding, LogError, LogFullError, StaleWriteError, Standing
from .snapshots import MemorySnapshots
from .storing import EXPECTED, MESSAGE_ID
from .topology import DUPLICATE_WINDOW, identity_of, stream_name

# What the file store of the server needs for a record beside its subject and payload.
RECORD_OVERHEAD_BYTES = 30


class Moment(StrEnum):
    """When a fault may strike a handle."""

    STORE = "store"
    """Before an append is stored: an error leaves nothing behind."""
    ANSWER = "answer"
    """After it was stored and before its answer: an error leaves the record there."""
    ASK = "ask"
    """Before a question is answered: `last` and all others, and every call of a lease."""
    DELIVER = "deliver"
    """Before a message is handed to a reader."""


Faults = Callable[[Moment, str], Awaitable[None]]
"""Awaited at every moment with the subject: may wait as long as it likes, and may raise any LogError."""


class _Handle:
    """One process's end of the line to the broker."""

    def __init__(self, faults: Faults | None) -> None:
        self._faults = faults
        self._severed = False

    def sever(self) -> None:
        """Let this handle never store nor answer again, as for a crashed process. Waiting calls wait for ever."""
        self._severed = True

    async def strike(self, moment: Moment, subject: str) -> None:
        if self._faults is not None and not self._severed:
            await self._faults(moment, subject)
        if self._severed:
            await asyncio.Event().wait()


class MemoryCell:
    """What the broker keeps of one cell. Every handle taken from it is a process of its own."""

    def __init__(self, cell: CellName, now: Callable[[], datetime], *, max_bytes: int | None = None) -> None:
        self.cell = cell
        self.now = now
        self.identity = identity_of(stream_name(cell), now().isoformat())
        self.messages: list[StoredMessage] = []
        self._max_bytes = max_bytes
        self._bytes = 0
        self._newest: dict[str, StoredMessage] = {}
        self._by_id: dict[str, tuple[int, datetime]] = {}
        self._signals = True
        self._news = asyncio.Event()
        self._holder: tuple[str, datetime] | None = None
        self._given_back: datetime | None = None
        self._lease_news = asyncio.Event()
        self.snapshots = MemorySnapshots()

    def log(self, faults: Faults | None = None) -> "MemoryLog":
        """A handle on the log."""
        return MemoryLog(self, faults)

    def lease(self, ttl: timedelta = TTL, faults: Faults | None = None) -> "MemoryLease":
        """A handle on the lease."""
        return MemoryLease(self, ttl, faults)

    def store(self, subject: str, payload: bytes, expect: int | None, message_id: str | None) -> int:
        """Store one message at once. Raises as `append` does, in the order in which the server judges."""
        self._check(subject, expect)
        repeated = self._repeated(message_id)
        if repeated is not None:
            return repeated
        self._check_room([(subject, payload)])
        self._bytes += _size(subject, payload)
        headers = {} if expect is None else {EXPECTED: str(expect)}
        if message_id is not None:
            headers[MESSAGE_ID] = message_id
            self._by_id[message_id] = (len(self.messages) + 1, self.now())
        message = StoredMessage(len(self.messages) + 1, self.now(), subject, payload, headers or None)
        self.messages.append(message)
        self._newest[subject] = message
        self._news = _announce(self._news)
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

    def newest(self, subject: str) -> StoredMessage | None:
        """The newest message on a subject."""
        return self._newest.get(subject)

    def fill(self) -> float:
        """The share of the limit that is used."""
        return self._bytes / self._max_bytes if self._max_bytes else 0.0

    def limit(self, max_bytes: int | None) -> None:
        """Give the log another limit, as whoever runs the broker may."""
        self._max_bytes = max_bytes

    @property
    def max_bytes(self) -> int | None:
        """The log's limit."""
        return self._max_bytes

    @property
    def size(self) -> int:
        """How many bytes the log has."""
        return self._bytes

    def takes_signals(self) -> bool:
        """Whether the log is open for signals."""
        return self._signals

    def take_signals(self, *, enabled: bool) -> None:
        """Open or shut the log for signals."""
        self._signals = enabled

    async def beyond(self, sequence: int) -> None:
        """Return when there is a message after `sequence`."""
        while len(self.messages) <= sequence:
            await self._news.wait()

    def holder(self) -> str | None:
        """Who holds the lease now."""
        return self.holding().holder

    def holding(self) -> Holding:
        """How it stands with the lease now."""
        if self._holder is None:
            return Holding(Standing.FREE, since=self._given_back)
        holder, until = self._holder
        return Holding(Standing.LAPSED, since=until) if until <= self.now() else Holding(Standing.HELD, holder)

    def hold(self, holder: str, ttl: timedelta | None) -> None:
        """Give the lease to a holder, or to nobody."""
        self._holder = None if ttl is None else (holder, self.now() + ttl)
        self._given_back = self.now() if ttl is None else None
        self._lease_news = _announce(self._lease_news)

    async def lease_news(self) -> None:
        """Return when the lease was written, or when it lapses."""
        remaining = None if self._holder is None else (self._holder[1] - self.now()).total_seconds()
        if remaining is not None and remaining <= 0:
            remaining = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(remaining):
                await self._lease_news.wait()

    def _check(self, subject: str, expect: int | None) -> None:
        if not self._takes(subject):
            raise not_taken(self.cell, subject)
        newest = self._newest.get(subject)
        last = newest.sequence if newest else 0
        if expect is not None and expect != last:
            raise StaleWriteError(subject, expect, last)

    def _check_room(self, records: Sequence[tuple[str, bytes]]) -> None:
        size = sum(_size(subject, payload) for subject, payload in records)
        if self._max_bytes is not None and self._bytes + size > self._max_bytes:
            raise LogFullError(f"{records[-1][0]}: maximum bytes exceeded")

    def _takes(self, subject: str) -> bool:
        bound = subjects.bound_subjects(self.cell, signals=self._signals)
        return any(matches(pattern, subject) for pattern in bound)

    def _repeated(self, message_id: str | None) -> int | None:
        stored = self._by_id.get(message_id) if message_id is not None else None
        if stored is None or stored[1] + DUPLICATE_WINDOW <= self.now():
            return None
        return stored[0]


class MemoryLog(_Handle):
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
        """Nothing is archived here."""
        return MemorySnapshots()

    async def append(
        self, subject: str, payload: bytes, *, expect: int | None = None, message_id: str | None = None
    ) -> int:
        """Store one message and return its sequence."""
        await self.strike(Moment.STORE, subject)
        sequence = self._store.store(subject, payload, expect, message_id)
        await self.strike(Moment.ANSWER, subject)
        return sequence

    async def append_together(self, records: Sequence[tuple[str, bytes]]) -> int:
        """Store messages that are each the first on their subject, all of them or none."""
        await self.strike(Moment.STORE, records[-1][0])
        sequence = self._store.store_together(records)
        await self.strike(Moment.ANSWER, records[-1][0])
        return sequence

    async def read(self, start: int = 1, *, follow: bool = False) -> AsyncIterator[StoredMessage]:
        """Yield every message from sequence `start` on, in order, each once."""
        end = None if follow else await self.last_sequence()
        following = max(1, start)
        while end is None or following <= end:
            await self._store.beyond(following - 1)
            message = self._store.messages[following - 1]
            await self.strike(Moment.DELIVER, message.subject)
            yield message
            following += 1

    async def last(self, subject: str) -> StoredMessage | None:
        """The newest message on a literal subject."""
        await self.strike(Moment.ASK, subject)
        return self._store.newest(subject)

    async def next_on(self, subject: str, after: int) -> StoredMessage | None:
        """The first message on a literal subject behind a sequence."""
        await self.strike(Moment.ASK, subject)
        newest = self._store.newest(subject)  # Asked often, and nearly always nothing is there.
        behind = self._store.messages[after:] if newest and newest.sequence > after else []
        return next((one for one in behind if one.subject == subject), None)

    async def at(self, sequence: int) -> StoredMessage | None:
        """The message of this sequence."""
        await self.strike(Moment.ASK, "")
        return self._store.messages[sequence - 1] if 0 < sequence <= len(self._store.messages) else None

    async def last_sequence(self) -> int:
        """The sequence of the newest message of the log; 0 where it is empty."""
        await self.strike(Moment.ASK, "")
        return len(self._store.messages)

    async def first_sequence(self) -> int:
        """The sequence of the oldest message of the log."""
        await self.strike(Moment.ASK, "")
        return 1

    async def fill(self) -> float:
        """The share of the log's limit that is used; 0.0 where it has none."""
        await self.strike(Moment.ASK, "")
        return self._store.fill()

    async def limit(self) -> int | None:
        """How many bytes the log holds at most; None where nobody has said."""
        await self.strike(Moment.ASK, "")
        return self._store.max_bytes

    async def takes_signals(self) -> bool:
        """Whether the log is open for signals."""
        await self.strike(Moment.ASK, "")
        return self._store.takes_signals()

    async def take_signals(self, *, enabled: bool) -> None:
        """Open or shut the log for signals."""
        await self.strike(Moment.ASK, "")
        self._store.take_signals(enabled=enabled)


class MemoryLease(_Handle):
    """One process's handle on a cell's lease."""

    def __init__(self, cell: MemoryCell, ttl: timedelta, faults: Faults | None = None) -> None:
        super().__init__(faults)
        self._store = cell
        self._ttl = ttl
        self._seen: str | None = None
        self._watching = False

    async def look(self) -> Holding:
        """How it stands with it now."""
        await self.strike(Moment.ASK, "")
        return self._store.holding()

    async def acquire(self, holder: str) -> bool:
        """Become the holder if nobody is, lapsed or not; True where `holder` has it now."""
        await self.strike(Moment.ASK, holder)
        if self._store.holding().holder not in (None, holder):
            return False
        self._store.hold(holder, self._ttl)
        return True

    async def renew(self, holder: str) -> bool:
        """Hold it for its time-to-live again; False where it was lost."""
        await self.strike(Moment.ASK, holder)
        if self._store.holding().holder != holder:
            return False
        self._store.hold(holder, self._ttl)
        return True

    async def release(self, holder: str) -> None:
        """Give it back, so that another can take over at once."""
        await self.strike(Moment.ASK, holder)
        if self._store.holding().holder == holder:
            self._store.hold(holder, None)

    async def holder(self) -> str | None:
        """Who holds it now."""
        await self.strike(Moment.ASK, "")
        return self._store.holding().holder

    async def changed(self) -> None:
        """Return when the holder may have changed since the last call here; the first call returns at once."""
        await self.strike(Moment.ASK, "")
        while self._watching and self._store.holding().holder == self._seen:
            await self._store.lease_news()
            await self.strike(Moment.ASK, "")
        self._watching = True
        self._seen = self._store.holding().holder

    async def close(self) -> None:
        """Stop watching for changes."""
        self._watching = False


def _size(subject: str, payload: bytes) -> int:
    return len(subject) + len(payload) + RECORD_OVERHEAD_BYTES


def _announce(news: asyncio.Event) -> asyncio.Event:
    """Wake whoever waits, and return what the next ones wait on."""
    news.set()
    return asyncio.Event()
