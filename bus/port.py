"""The event log, and what stands beside it, as everything above sees it. Two implementations of the log are held
to one contract suite.

A log promises: what `append` returned is on disk; messages are read in the order of their sequences,
each once; an expectation is judged by whoever stores, never by the reader's idea of the log."""

import hashlib
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from remediation_orchestrator.events import CellName, StoredMessage, subjects

# JetStream counts in whole seconds, and drops nothing before it is a second old.
TTL = timedelta(seconds=1)

# Publishers retry for five minutes at most; the server keeps this window in memory, so no longer than twice that.
DUPLICATE_WINDOW = timedelta(minutes=10)

# Half of what the broker takes at most.
TOGETHER_MAX = 500


class LogError(Exception):
    """The log could not do it. The message is one line for a person."""


class StaleWriteError(LogError):
    """Somebody else's record stands on the subject already: the expectation does not hold.

    `last` is the sequence of the newest record there, where the server said it."""

    def __init__(self, subject: str, expected: int, last: int | None) -> None:
        super().__init__(f"{subject}: expected {expected} as the last record, found {last or 'another'}")
        self.last = last


class UnknownOutcomeError(LogError):
    """No answer came: the record may be stored or not. Ask `last`, or append with the same expectation again."""


class LogFullError(LogError):
    """The log takes no more of this: it is at its limit."""


class TooLargeError(LogError):
    """The broker takes no message of this size: asking again is of no use."""


class LogUnreachableError(LogError):
    """No broker answers, or the cell's log is not there."""


class ImportedLogError(LogError):
    """The cell holds an imported log: it may be read, and nobody decides in it."""


class NotWholeError(LogError):
    """Something of the log is missing, or it is another than it was: it may be read, and nobody may lead it."""


class ArchivedError(LogError):
    """What was to be read next was archived meanwhile: begin anew, behind it."""


class OccupiedError(LogError):
    """The cell has a log already: nothing is brought in on top of it."""


# A person needs a place to begin to look, not all of them.
HOLES_TOLD_MAX = 8


class Extent(Struct, frozen=True):
    """How far a log reaches, and what is missing between."""

    first: int
    """Sequence of the oldest message; 1 where there is none."""
    last: int
    """Sequence of the newest message that was ever stored, be it there or not; 0 where none was."""
    missing: int = 0
    """How many sequences from the first to the last have no message."""
    holes: tuple[int, ...] = ()
    """Some of them: the first of those, HOLES_TOLD_MAX at most."""


# From this share of its limit on a log takes no signals, so that what runs can still end in it.
FULL = 0.9


class Room(Struct, frozen=True):
    """How full a log is, as its broker says it of one moment."""

    fill: float
    """The share of its limit that is used, from 0.0; 0.0 where it has none."""
    limit: int | None
    """How many bytes it holds at most; None where nobody has said."""
    takes_signals: bool
    """Whether it is open for signals."""
    last: int
    """The sequence of its newest message; 0 where it is empty."""


class SnapshotStore(Protocol):
    """Where a cell keeps a projection that was written down, the newest alone."""

    async def newest(self) -> tuple[bytes, Iterable[bytes]] | None:
        """The newest whole snapshot, its head and its parts in their order; None where there is none."""

    async def head(self) -> bytes | None:
        """The head of the newest snapshot alone; None where there is none."""

    async def save(
        self, parts: Iterable[bytes], head: Callable[[str], bytes], *, after: bytes | None = None
    ) -> None:
        """Keep a snapshot in place of those before it. `head` is told the SHA-256, in hex, over all parts.

        Until its last byte is stored, the one before it stays the newest. With `after` it takes the place of the
        one with this head (empty: of none), and raises StaleWriteError where another is the newest by then."""


class MarkStore(Protocol):
    """Where a cell keeps, outside its log, how far that log had come."""

    async def read(self) -> tuple[int, bytes]:
        """The newest mark and its revision; 0 and nothing where there is none."""

    async def write(self, mark: bytes, revision: int) -> int:
        """Put a mark in the place of this revision, and return its own. Raises StaleWriteError, or LogError."""


class ReadableLog(Protocol):
    """One cell's log, for whoever only reads: a live one or an exported file."""

    @property
    def snapshots(self) -> SnapshotStore:
        """Where the snapshots of this log are kept."""

    @property
    def archive(self) -> SnapshotStore:
        """Where the projection is kept that a log goes on from whose beginning was archived."""

    @property
    def marks(self) -> MarkStore:
        """Where it is kept, outside of this log, how far it had come."""

    @property
    def cell(self) -> CellName:
        """Whose log this is."""

    @property
    def identity(self) -> str:
        """Eight hex digits that name this stream's life: another stream of the same name has others."""

    def read(self, start: int = 1, *, follow: bool = False) -> AsyncGenerator[StoredMessage, None]:
        """Yield every message from sequence `start` on, in order, each once.

        Without `follow` it ends at the message that was the last when it began. With it, it goes on for ever,
        through every restart of the server, and never leaves one out."""

    async def last(self, subject: str) -> StoredMessage | None:
        """The newest message on a literal subject, asked of the one who stores; None where there is none."""

    async def next_on(self, subject: str, after: int) -> StoredMessage | None:
        """The first message on a literal subject behind sequence `after`, asked of the one who stores; None
        where there is none."""

    async def at(self, sequence: int) -> StoredMessage | None:
        """The message of this sequence; None where there is none."""

    async def last_sequence(self) -> int:
        """The sequence of the newest message of the log; 0 where it is empty."""

    async def first_sequence(self) -> int:
        """The sequence of the oldest message of the log; 1 where it is empty."""

    async def extent(self) -> Extent:
        """How far the log reaches, and what is missing between, as far as that is known without reading it."""


class EventLog(ReadableLog, Protocol):
    """One cell's log."""

    async def behind(self, subject: str, after: int) -> list[StoredMessage]:
        """The first messages on a literal subject behind a sequence, in their order, asked of the one who stores:
        as many as are read in one go, and none only where there is none."""

    async def append(
        self, subject: str, payload: bytes, *, expect: int | None = None, message_id: str | None = None
    ) -> int:
        """Store one message and return its sequence, once it is on disk.

        `expect` is the sequence that must be the last on `subject`; 0 demands that it is the first there.
        `message_id` lets the server drop a repetition (within its window) and answer with the first.
        Raises StaleWriteError, UnknownOutcomeError, LogFullError or LogUnreachableError."""

    async def append_together(self, records: Sequence[tuple[str, bytes]]) -> int:
        """Store up to TOGETHER_MAX messages one right after the other, under one sync: all of them or none.

        Each has a subject of its own and must be the first there. Returns the sequence of the last.
        Raises as `append` does. A log that cannot do it is a LogError: append them one by one instead."""

    async def append_in_a_row(self, subject: str, payloads: Sequence[bytes], *, expect: int) -> int:
        """Store up to TOGETHER_MAX messages on one subject, one right after the other, under one sync, or none.

        `expect` is what must be the last on the subject before the first of them, whose sequence is returned.
        Raises as `append` does."""

    async def room(self) -> Room:
        """How full the log is."""

    async def take_signals(self, *, enabled: bool) -> None:
        """Open or shut the log for signals, so that at its limit publishers are refused and runs can end."""

    async def purge(self, below: int) -> None:
        """Take away every record below a sequence: for what is archived, and for nothing else."""


class LeaseState(StrEnum):
    """How it stands with a lease."""

    FREE = "free"
    """It was given back, or nobody ever had it: whoever wants it takes it."""
    HELD = "held"
    LAPSED = "lapsed"
    """Its holder has not renewed it, or what stands in its place is nobody's: it may be at work still."""


class Holding(Struct, frozen=True):
    """Who holds a lease, and since when it stands so by the broker's clock, where that is known."""

    standing: LeaseState
    holder: str | None = None
    since: datetime | None = None
    revision: int = 0
    """Another with every change, also where a holder renews."""


class Lease(Protocol):
    """Who is active, for liveness alone: the fence of the log is what makes it safe."""

    async def look(self) -> Holding:
        """How it stands with it now. Raises LogError, also where it had to be made again."""

    async def acquire(self, holder: str, *, over: int | None = None) -> bool:
        """Become the holder if nobody is, lapsed or not; True where `holder` has it now.

        With `over` also where another holds it, as long as that is still this revision: of two one wins."""

    async def renew(self, holder: str) -> bool:
        """Hold it for its time-to-live again; False where it was lost."""

    async def release(self, holder: str) -> None:
        """Give it back, so that another can take over at once. Does nothing for whoever does not hold it."""

    async def holder(self) -> str | None:
        """Who holds it now."""

    async def changed(self) -> None:
        """Return when the holder may have changed since the last call here; early is allowed, late is not."""


class DeliveryError(Exception):
    """The broker did not answer about a delivery. The message is one line."""


class Delivery(Protocol):
    """One delivery of a command by the broker."""

    @property
    def command(self) -> StoredMessage:
        """The command as it is stored. Its subject names its execution; its payload may be anything."""

    @property
    def number(self) -> int:
        """The count of deliveries of this message so far, this one too."""

    async def confirm(self) -> None:
        """Tell the broker that it is being worked on, and wait for its answer. Raises DeliveryError."""

    async def acknowledge(self) -> None:
        """Tell the broker that it is answered, and wait for its answer. Raises DeliveryError."""

    async def pass_on(self, seconds: float) -> None:
        """Have it delivered again, to whoever asks, after so long. Raises DeliveryError."""


class Clock(Protocol):
    """The broker's clock, as far as this process knows it."""

    def now(self) -> datetime:
        """An estimate, in UTC and whole microseconds, never later than the broker's own by more than drift."""

    def reckoning(self) -> datetime:
        """This process's own idea of the time, in UTC and whole microseconds: never set by anybody's stamp."""

    def observe(self, recorded_at: datetime, acknowledged: float) -> None:
        """Set it by a record's stamp and the moment of its acknowledgement, in the event loop's seconds."""


def stream_name(cell: CellName) -> str:
    """The name of a cell's stream."""
    return f"RO_{cell}"


def identity_of(name: str, created: str) -> str:
    """Name a stream's life in eight hex digits; a stream made again under the same name has others."""
    return hashlib.sha256(f"{name}\n{created}".encode()).hexdigest()[:8]


def not_taken(cell: CellName, subject: str) -> LogError:
    """Return what to say to whoever wrote on a subject to which the log is not bound."""
    if any(matches(pattern, subject) for pattern in subjects.bound_subjects(cell)):
        return LogFullError(f"{subject}: the log takes no signals at the moment, it is nearly full")
    return LogUnreachableError(f"{subject}: the log of the cell {cell!r} takes no such subject")


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject fits a pattern in which `*` stands for one word."""
    wanted, words = pattern.split("."), subject.split(".")
    return len(wanted) == len(words) and all(want in ("*", word) for want, word in zip(wanted, words, strict=True))
