"""Read a whole log into a fold: every fact at its tail included, with a word on a terminal while it takes long."""

from datetime import UTC, datetime

from msgspec import Struct

from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import ReadableLog
from remediation_orchestrator.orchestrator.routing.fold import Fold, Observer
from remediation_orchestrator.orchestrator.snapshots import from_beginning

from .connection import LogSource
from .output import BadInputError, reading
from .running import run


class Read(Struct, frozen=True):
    """A log that has been read, and the moment by which ages are told."""

    fold: Fold
    now: datetime
    shut_at: float | None
    """The share of its limit that is used, where a live log takes no signals because of it."""


def read(source: LogSource, observer: Observer | None = None) -> Read:
    """Read the log that was asked for. An exported one is told as of its last record."""
    return run(_read(source, observer))


async def _read(source: LogSource, observer: Observer | None) -> Read:
    async with source.log() as log:
        return await read_log(log, observer, live=source.file is None)


async def read_log(log: ReadableLog, observer: Observer | None = None, *, live: bool = True) -> Read:
    """Read an open log to its end."""
    return await read_into(Fold(observer), log, live=live)


async def read_into(fold: Fold, log: ReadableLog, *, live: bool = True) -> Read:
    """Read an open log to its end into a fold whose observer asks it questions on the way."""
    newest = datetime.fromtimestamp(0, UTC)
    with reading(f"reading the log of {log.cell}"):
        await from_beginning(fold, log)
        async for message in log.read(fold.read + 1):
            fold.take(message)
            newest = max(newest, message.recorded_at)
    fold.fold_facts()
    room = await log.room() if isinstance(log, JetStreamLog) else None
    shut_at = None if room is None or room.takes_signals else room.fill
    return Read(fold, max(newest, datetime.now(UTC)) if live else newest, shut_at)


async def check_whole(log: ReadableLog, who: str) -> None:
    """Raise BadInputError where the beginning of a log is archived: what it says was judged by that, too."""
    first = await log.first_sequence()
    if first > 1 and await log.archive.newest() is not None:
        what = f"what was before {first} is archived: its file, and the rest's, can be read together by --log each"
        raise BadInputError(f"{who} from its beginning, and {what}")
