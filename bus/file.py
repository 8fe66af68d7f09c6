"""An exported log, read without any broker. It reads only, and never accepts what could not have been a log."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from remediation_orchestrator.events import CellName, StoredMessage
from remediation_orchestrator.events.stored import import_line
from remediation_orchestrator.events.subjects import parse

from .packing import UNPACKING_ERRORS, read_packed
from .port import LogError
from .snapshots import FileSnapshots


class UnreadableLogError(LogError):
    """The file is no exported log. The message says where and why, in one line."""


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


class FileLog:
    """An exported log as a log to read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        first = next(messages(path))
        self._first = first.sequence
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

    async def read(self, start: int = 1, *, follow: bool = False) -> AsyncIterator[StoredMessage]:
        """Yield every message from sequence `start` on. A file does not grow, so it cannot be followed."""
        if follow:
            raise LogError(f"{self._path}: an exported log cannot be followed")
        for message in messages(self._path):
            if message.sequence >= start:
                yield message

    async def last(self, subject: str) -> StoredMessage | None:
        """The newest message on a literal subject."""
        found = None
        for message in messages(self._path):
            if message.subject == subject:
                found = message
        return found

    async def at(self, sequence: int) -> StoredMessage | None:
        """The message of this sequence."""
        return next((message for message in messages(self._path) if message.sequence == sequence), None)

    async def last_sequence(self) -> int:
        """The sequence of the newest message."""
        return max(message.sequence for message in messages(self._path))

    async def first_sequence(self) -> int:
        """The sequence of the oldest message."""
        return self._first


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that say anything, numbered as an editor numbers them."""
    number = 0
    try:
        with read_packed(path) as file:
            for number, line in enumerate(file, start=1):
                if not line.isspace():
                    yield number, line
    except (OSError, *UNPACKING_ERRORS) as error:
        raise UnreadableLogError(f"{path}: {_reason(error)}{f' after line {number}' if number else ''}") from error


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _unreadable(path: Path, number: int, what: str) -> UnreadableLogError:
    return UnreadableLogError(f"{path}, line {number}: {what}")
