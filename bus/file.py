"""An exported log, and what stands beside it in files, without any broker.

The log is only read, and what could not have been one is never accepted."""

import hashlib
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from pathlib import Path

from remediation_orchestrator.events import CellName, StoredMessage
from remediation_orchestrator.events.stored import import_line
from remediation_orchestrator.events.subjects import parse

from .durable import fresh_file, put_in_place
from .memory import MemoryMarks
from .packing import UnreadableLogError, read_lines, write_packed
from .port import HOLES_TOLD_MAX, Extent, LogError

SNAPSHOT_ENDING, BEFORE_ENDING, AFTER_ENDING = ".snapshot.zst", ".before.zst", ".after.zst"
"""What may stand beside an exported log: a cache, what it goes on from, and where it leads."""


def messages(path: Path) -> Iterator[StoredMessage]:
    """Read an exported log, message by message. Raises UnreadableLogError."""
    cell: CellName | None = None
    sequence = 0
    for number, line in _lines(path):
        try:
            message = import_line(line)
            found = parse(message.subject).cell
        except ValueError as error:
            raise _unreadable(path, number, str(error)) from error
        if cell is not None and found != cell:
            raise _unreadable(path, number, f"a record of the cell {found!r} in the log of {cell!r}")
        if message.sequence <= sequence:
            raise _unreadable(path, number, f"sequence {message.sequence} after {sequence}")
        cell, sequence = found, message.sequence
        yield message
    if cell is None:
        raise UnreadableLogError(f"{path}: an empty file is no log")


def segment_digest(path: Path) -> tuple[int, str]:
    """The last sequence of an exported log, and the SHA-256, in hex, over its lines. Raises UnreadableLogError."""
    digest, last = hashlib.sha256(), b""
    for _, line in _lines(path):
        digest.update(line)
        last = line
    return import_line(last).sequence, digest.hexdigest()


class FileSnapshots:
    """A snapshot beside an exported log: its head a line, and each of its parts."""

    def __init__(self, log: Path, ending: str = SNAPSHOT_ENDING) -> None:
        self.path = log.with_name(log.name + ending)

    async def newest(self) -> tuple[bytes, Iterable[bytes]] | None:
        """The snapshot; None where there is none. Raises LogError where it cannot be read."""
        lines = self._lines()
        try:
            head = next(lines)
        except FileNotFoundError:
            return None
        except StopIteration:
            raise UnreadableLogError(f"{self.path}: an empty file is no snapshot") from None
        except OSError as error:
            raise UnreadableLogError(f"{self.path}: {error.strerror or error}") from error
        return head, lines

    def _lines(self) -> Iterator[bytes]:
        """Read on only as far as somebody takes: whoever looks at the head needs no memory for what follows."""
        for line in read_lines(self.path):
            yield line.removesuffix(b"\n")

    async def head(self) -> bytes | None:
        """Its head alone."""
        found = await self.newest()
        return None if found is None else found[0]

    async def save(
        self, parts: Iterable[bytes], head: Callable[[str], bytes], *, after: bytes | None = None
    ) -> None:
        """Write a snapshot, whole and on disk or not at all. Nobody else writes here: `after` is not asked."""
        digest, kept = hashlib.sha256(), []
        for part in parts:
            digest.update(part)
            kept.append(part)
        with fresh_file(self.path) as fresh:
            with write_packed(fresh, self.path.suffix) as file:
                for line in (head(digest.hexdigest()), *kept):
                    file.write(line + b"\n")
            put_in_place(fresh, self.path)

    def remove(self) -> None:
        """Take it away, if it is there."""
        self.path.unlink(missing_ok=True)


class FileLog:
    """An exported log as a log to read; of several files each goes on where the one before it ends."""

    def __init__(self, path: Path, *following: Path) -> None:
        self._path = path
        self._paths = (path, *following)
        first = next(messages(path))
        self._first = first.sequence
        self.gap: tuple[int, int] | None = None
        """The first sequences that reading it has found to be missing, from one to another."""
        self._cell = parse(first.subject).cell
        stamp = f"{first.sequence}\n{first.recorded_at.isoformat()}\n{first.subject}\n".encode()
        self._identity = hashlib.sha256(stamp + first.payload).hexdigest()[:8]

    @property
    def cell(self) -> CellName:
        """Whose log this is."""
        return self._cell

    @property
    def identity(self) -> str:
        """Eight hex digits from its first record: a file does not carry those of the stream."""
        return self._identity

    @property
    def snapshots(self) -> FileSnapshots:
        """The snapshot beside it."""
        return FileSnapshots(self._path)

    @property
    def marks(self) -> MemoryMarks:
        """None: a file is as far as it is."""
        return MemoryMarks()

    @property
    def archive(self) -> FileSnapshots:
        """What it goes on from, where it lacks its beginning."""
        return FileSnapshots(self._path, BEFORE_ENDING)

    async def read(self, start: int = 1, *, follow: bool = False) -> AsyncGenerator[StoredMessage, None]:
        """Yield every message from sequence `start` on. A file does not grow, so it cannot be followed."""
        if follow:
            raise LogError(f"{self._path}: an exported log cannot be followed")
        for message in self._messages():
            if message.sequence >= start:
                yield message

    async def last(self, subject: str) -> StoredMessage | None:
        """The newest message on a literal subject."""
        found = None
        for message in self._messages():
            if message.subject == subject:
                found = message
        return found

    async def next_on(self, subject: str, after: int) -> StoredMessage | None:
        """The first message on a literal subject behind a sequence."""
        messages = (one for one in self._messages() if one.sequence > after and one.subject == subject)
        return next(messages, None)

    async def at(self, sequence: int) -> StoredMessage | None:
        """The message of this sequence."""
        return next((message for message in self._messages() if message.sequence == sequence), None)

    async def last_sequence(self) -> int:
        """The sequence of the newest message."""
        return max(message.sequence for message in self._messages())

    async def first_sequence(self) -> int:
        """The sequence of the oldest message."""
        return self._first

    async def extent(self) -> Extent:
        """How far it reaches, and what is missing between. Reads all of it."""
        last, missing, holes = self._first - 1, 0, list[int]()
        for message in self._messages():
            gap = range(last + 1, message.sequence)
            missing, last = missing + len(gap), message.sequence
            holes += gap[: HOLES_TOLD_MAX - len(holes)]
        return Extent(self._first, last, missing, tuple(holes))

    def _messages(self) -> Iterator[StoredMessage]:
        message: StoredMessage | None = None
        for path in self._paths:
            last, first = message, True
            for message in messages(path):
                if first and last is not None:
                    self._check_following(path, last.sequence, message)
                elif last is not None and message.sequence > last.sequence + 1:
                    self.gap = self.gap or (last.sequence + 1, message.sequence - 1)
                first, last = False, message
                yield message

    def _check_following(self, path: Path, last: int, message: StoredMessage) -> None:
        """Raise UnreadableLogError where a segment does not go on where the one before it ends."""
        if parse(message.subject).cell != self._cell:
            raise UnreadableLogError(f"{path}: a log of another cell than {self._cell!r}")
        if message.sequence != last + 1:
            raise UnreadableLogError(
                f"{path}: begins at {message.sequence}, and the file before it ends at {last}"
            )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that say anything, numbered as an editor numbers them."""
    try:
        for number, line in enumerate(read_lines(path), start=1):
            if not line.isspace():
                yield number, line
    except OSError as error:
        raise UnreadableLogError(f"{path}: {error.strerror or error}") from error


def _unreadable(path: Path, number: int, what: str) -> UnreadableLogError:
    return UnreadableLogError(f"{path}, line {number}: {what}")
