"""Archiving as a protocol: each step may be the last, be done twice, or by two at once, and nothing is lost.

1. The segment stands in a file, on disk, and beside it the projections before and behind it.
2. The chain says so: an ArchiveRequested, answered by a LogArchived.
3. The projection is kept beside the log, in the place of the one that was read at the beginning, or not at all.
4. The records are taken away.

Whoever begins again finishes first what has come through its third step: what is kept tells what is still to be
taken away, and these records are written once more before they go. What has not come so far changed nothing."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

from msgspec import Struct

from remediation_orchestrator.bus.durable import fresh_file, put_new
from remediation_orchestrator.bus.file import AFTER_ENDING, BEFORE_ENDING, FileSnapshots, messages, segment_digest
from remediation_orchestrator.bus.packing import write_packed
from remediation_orchestrator.bus.port import EventLog, NotWholeError, StaleWriteError
from remediation_orchestrator.events import ArchiveRequested, LogArchived, Position, Recorded, decode, subjects
from remediation_orchestrator.events.identity import position
from remediation_orchestrator.events.stored import export_line

from .archive import Base, Cut, Segment, where_to_cut
from .snapshots import read_head
from .whole import check_whole

# An active orchestrator answers within milliseconds; one that takes over, within seconds.
ANSWER_SECONDS = 30.0

Ask = Callable[[ArchiveRequested], Awaitable[Position]]
"""Publishes a request, and returns the position of its answer in the chain. Raises NotArchivedError."""


class NotArchivedError(Exception):
    """Nothing was taken off the log. The message says why, in one line."""


class UnansweredError(NotArchivedError):
    """No orchestrator has answered the request."""


class FileTakenError(NotArchivedError):
    """The file is there already, and is not what this archive would write."""


class Archived(Struct, frozen=True):
    """What an archive has done."""

    first: int
    through: int
    frame: int
    segment: str
    """SHA-256, in hex, of the lines in the file."""
    recorded: Position
    """Where the chain says it."""
    finished: bool
    """Whether an earlier archive had begun it."""


class WrittenSegment(Struct, frozen=True):
    """A segment that stands in its file, with the projection behind it beside it."""

    cut: Cut
    segment: str
    base: Base


class Archiver:
    """Moves the oldest part of one log to one file."""

    def __init__(self, log: EventLog, path: Path, ask: Ask) -> None:
        self._log = log
        self._path = path
        self._ask = ask

    async def run(self) -> Archived:
        """Finish what was begun, or archive what may go. Raises NotArchivedError, or LogError."""
        try:
            await check_whole(self._log)
            kept = await origin(self._log)
            begun = None if kept is None else await unfinished(self._log, kept)
            if kept is not None and begun is not None:
                return await self._finish(kept, begun)
            return await self._archive(kept)
        except NotWholeError as error:
            raise NotArchivedError(f"nothing was taken away: {error}") from error

    async def _archive(self, kept: Base | None) -> Archived:
        """All four steps, from the projection that was kept when they began."""
        there = self._path.exists()
        written = await self._look_at_file() if there else await self._write_file(kept)
        cut, base = written.cut, written.base
        recorded = await find_record(self._log, cut.frame, written.segment, base.digest)
        if recorded is None:
            await self._check_unchanged(kept)
            recorded = await self._ask(ArchiveRequested(cut.through, written.segment, base.digest))
        try:
            await self._log.archive.save(base.parts, base.its_head, after=b"" if kept is None else kept.head)
        except StaleWriteError as error:
            raise self._overtaken() from error
        await self._log.purge(cut.through + 1)
        return Archived(cut.first, cut.through, cut.frame, written.segment, recorded, finished=there)

    async def _check_unchanged(self, kept: Base | None) -> None:
        """Raise NotArchivedError where another has archived since: of what is gone already nothing is told."""
        if await self._log.archive.head() != (None if kept is None else kept.head):
            raise self._overtaken()

    def _overtaken(self) -> NotArchivedError:
        what = "another has archived meanwhile: nothing was taken away"
        return NotArchivedError(f"{what}, and {self._path} holds nothing that is not elsewhere")

    async def _finish(self, kept: Base, cut: Cut) -> Archived:
        """The last step of another archive, whose file nobody may have: so its records are written once more."""
        segment = await self._rewrite_file(kept, cut)
        recorded = await find_record(self._log, cut.frame, segment, kept.digest)
        assert recorded is not None, "what was rewritten is what the chain names"
        await self._log.purge(cut.through + 1)
        return Archived(cut.first, cut.through, cut.frame, segment, recorded, finished=True)

    async def _write_file(self, kept: Base | None) -> WrittenSegment:
        """The first step. The file is put in place last: where it is, what belongs beside it is."""
        cut = await where_to_cut(self._log)
        if cut is None:
            raise NotArchivedError("nothing may go yet: all of it is too young, or still at work")
        segment = Segment(self._log, cut)
        with fresh_file(self._path) as part:
            await _write(part, self._path, segment.lines())
            if segment.base is None:
                raise NotArchivedError("another has archived meanwhile: nothing was taken away")
            if kept is not None:
                await FileSnapshots(self._path, BEFORE_ENDING).save(kept.parts, kept.its_head)
            await FileSnapshots(self._path, AFTER_ENDING).save(segment.base.parts, segment.base.its_head)
            self._put(part)
        return WrittenSegment(cut, segment.digest, segment.base)

    async def _look_at_file(self) -> WrittenSegment:
        """The first step was done before: the file is what it would be written as, to the last byte."""
        beside = await FileSnapshots(self._path, AFTER_ENDING).newest()
        first, through, segment = segment_of(self._path)
        if beside is not None:
            cut = Cut(first, through, read_head(beside[0]).sequence)
            again = Segment(self._log, cut)
            async for _ in again.lines():
                pass
            if again.base is not None and (again.digest, again.base.head) == (segment, beside[0]):
                return WrittenSegment(cut, segment, again.base)
        raise FileTakenError(f"{self._path} is there already: an archive never takes the place of another")

    async def _rewrite_file(self, kept: Base, cut: Cut) -> str:
        """Write the segment of an archive that was begun, if it is not what the file has already; its digest."""
        digest = hashlib.sha256()

        async def lines() -> AsyncIterator[bytes]:
            async for message in self._log.read(cut.first):
                if message.sequence > cut.through:
                    return
                line = export_line(message) + b"\n"
                digest.update(line)
                yield line

        with fresh_file(self._path) as part:
            await _write(part, self._path, lines())
            segment = digest.hexdigest()
            if await find_record(self._log, cut.frame, segment, kept.digest) is None:
                raise NotArchivedError(
                    f"what is there from {cut.first} to {cut.through} is not what the chain says was archived"
                )
            if self._path.exists():
                if segment_of(self._path)[2] != segment:
                    raise FileTakenError(f"{self._path} is there already, and is not the segment that was begun")
            else:
                await FileSnapshots(self._path, AFTER_ENDING).save(kept.parts, kept.its_head)
                self._put(part)
        return segment

    def _put(self, part: Path) -> None:
        try:
            put_new(part, self._path)
        except FileExistsError as error:
            raise FileTakenError(f"{self._path} was written by another meanwhile") from error


async def answered(log: EventLog, request: int) -> Position:
    """Where the chain has answered the request at a sequence. Raises UnansweredError where nobody does."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS), aclosing(log.read(request, follow=True)) as found:
            async for message in found:
                for record in decode(message):
                    event = record.event if isinstance(record, Recorded) else None
                    if isinstance(event, LogArchived) and event.position == position(request):
                        return record.position
    except TimeoutError as error:
        raise UnansweredError(
            f"no orchestrator has answered the request at {request}: nothing was purged; try again"
        ) from error
    raise AssertionError("a log that is followed has no end")


async def origin(log: EventLog) -> Base | None:
    """Return what a log goes on from, where its beginning was archived, or is about to be."""
    kept = await log.archive.newest()
    return None if kept is None else Base(kept[0], list(kept[1]))


async def unfinished(log: EventLog, kept: Base) -> Cut | None:
    """Return what was to be taken off a log when its projection was kept, and is still there."""
    head = read_head(kept.head)
    first = await log.first_sequence()
    return Cut(first, head.through, head.sequence) if first <= head.through else None


async def find_record(log: EventLog, start: int, segment: str, projection: str) -> Position | None:
    """Where the chain says, from this sequence on, that this segment and projection were archived."""
    decision = subjects.decision(log.cell)
    async for message in log.read(start):
        for record in decode(message) if message.subject == decision else ():
            event = record.event if isinstance(record, Recorded) else None
            if isinstance(event, LogArchived) and (event.segment, event.projection) == (segment, projection):
                return record.position
    return None


def segment_of(path: Path) -> tuple[int, int, str]:
    """The first and the last sequence of an exported file, and the digest of its lines. Raises LogError."""
    first = next(messages(path)).sequence
    return first, *segment_digest(path)


async def _write(part: Path, path: Path, lines: AsyncIterator[bytes]) -> None:
    """Write lines, packed as a file of this name is."""
    with write_packed(part, path.suffix) as file:
        async for one in lines:
            file.write(one)
