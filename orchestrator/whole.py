"""Whether a log is whole: nothing missing in it, and nothing that it had been once more.

A fold over a hole is wrong, and so is one over a log that is older than it was: it would decide again what was
decided, and give away what is held. So nobody leads such a log; whoever only reads says it, and reads on."""

from contextlib import aclosing

from msgspec import Struct

from remediation_orchestrator.bus.port import (
    Extent,
    LogError,
    LogUnreachableError,
    NotWholeError,
    ReadableLog,
)
from remediation_orchestrator.events import Decoded, LossAccepted, Recorded, StoredMessage, decode
from remediation_orchestrator.events.codec import head_of

from .marks import Mark, read_mark
from .routing.chain import record_digest
from .routing.snapshot import Manifest, SnapshotError
from .snapshots import MISSING, read_head


class Kept(Struct, frozen=True):
    """What is kept beside a log, and tells of it."""

    mark: Mark | None
    snapshot: Manifest | None


async def check_whole(log: ReadableLog, seen: Mark | None = None) -> None:
    """Raise NotWholeError where something is missing, as far as that shows without reading the log, or LogError.

    `seen` is how far whoever asks has read this log before."""
    why = await why_not_whole(log, seen)
    if why is not None:
        raise NotWholeError(f"the log of {log.cell} is not whole: {why}")


async def why_not_whole(log: ReadableLog, seen: Mark | None = None) -> str | None:
    """Why nobody may lead this log; None where nothing shows that anything is missing. Raises LogError."""
    kept = await _kept(log)  # First: the log can only have come further since.
    extent = await log.extent()
    why = _why_missing(extent) or await _why_begun_late(log, extent) or await _why_cut_short(log, extent)
    if why is None and kept.mark is not None:
        why = await why_not_marked(log, extent, kept.mark)
    if why is None and seen is not None:
        why = await why_not_marked(log, extent, seen)
    if why is None and kept.snapshot is not None:
        why = await _why_behind(log, extent, kept.snapshot)
    return why


def name_missing(first: int, last: int) -> str:
    """Name what is missing from one sequence to another."""
    return f"it has no record {first}" if first == last else f"it has no records {first} to {last}"


async def why_not_marked(log: ReadableLog, extent: Extent, mark: Mark) -> str | None:
    """Why a log is not the one that a mark was written of, or not as far; None where it is."""
    if mark.log != log.identity:
        return None if await _is_accepted(log, mark) else _another(log, mark)
    come = max(mark.sequence, mark.read)
    if come > extent.last:
        return f"it ends at {extent.last}, and had come to {come}: it is older than it was"
    # What is before its first record was archived since.
    if mark.sequence >= extent.first and _previous_of(await log.at(mark.sequence)) != mark.previous:
        return f"it has another record at {mark.sequence} than it had: it was older once more"
    if mark.digest and mark.read >= extent.first and await _digest_at(log, mark.read) != mark.digest:
        return f"it has another record at {mark.read} than it had: it was older once more"
    return None


async def _digest_at(log: ReadableLog, sequence: int) -> str | None:
    message = await log.at(sequence)
    return None if message is None else record_digest(message)


async def _kept(log: ReadableLog) -> Kept:
    _, mark = await read_mark(log.marks)
    try:
        written = await log.snapshots.head()
        return Kept(mark, None if written is None else read_head(written))
    except LogUnreachableError:
        raise
    except (SnapshotError, LogError):  # A cache that cannot be read is no cache.
        return Kept(mark, None)


def _why_missing(extent: Extent) -> str | None:
    if not extent.missing:
        return None
    if extent.missing == 1:
        return name_missing(extent.holes[0], extent.holes[0])
    more = extent.missing - len(extent.holes)
    named = ", ".join(map(str, extent.holes))
    return f"it has no records {named}{f' and {more} more' if more else ''}"


async def _why_begun_late(log: ReadableLog, extent: Extent) -> str | None:
    """What is missing at its beginning may have been archived."""
    if extent.first == 1:
        return None
    written = await log.archive.head()
    if written is None:
        return f"it begins at {extent.first}, and {MISSING}"
    try:
        through = read_head(written).through
    except SnapshotError as error:
        return f"what is kept of its beginning is of no use: {error}"
    if through < extent.first - 1:
        return f"{name_missing(through + 1, extent.first - 1)}: what was archived ends at {through}"
    return None


async def _why_cut_short(log: ReadableLog, extent: Extent) -> str | None:
    """What the server still counts may not be readable any more."""
    if extent.last and await log.at(extent.last) is None:
        return f"its newest record, {extent.last}, cannot be read"
    return None


async def _why_behind(log: ReadableLog, extent: Extent, head: Manifest) -> str | None:
    if head.sequence < extent.first or await log.at(head.sequence) is not None:
        return None
    return f"it has no record {head.sequence}, behind which a snapshot was taken: it is older than it was"


async def _is_accepted(log: ReadableLog, mark: Mark) -> bool:
    """Whether somebody has taken it upon them that this log goes on in the place of another.

    Nobody has led it, so it is short, or signals wait in it: all of it is read, since anybody may have said so."""
    async with aclosing(log.read()) as messages:
        async for message in messages:
            if ".operator.accept." in message.subject and any(_accepts(one, mark) for one in decode(message)):
                return True
    return False


def _accepts(record: Decoded, mark: Mark) -> bool:
    said = record.event if isinstance(record, Recorded) else None
    return isinstance(said, LossAccepted) and (said.log, said.sequence) == (mark.log, mark.sequence)


def _another(log: ReadableLog, mark: Mark) -> str:
    return (
        f"it is {log.identity}, and the cell's log was {mark.log}, which had come to {mark.sequence}: "
        "`ro accept` lets it go on without that one"
    )


def _previous_of(message: StoredMessage | None) -> str | None:
    head = None if message is None else head_of(message)
    return None if head is None else head.previous
