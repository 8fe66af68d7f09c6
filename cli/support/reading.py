"""Read a whole log into a fold: every fact at its tail included, with a word on a terminal while it takes long,
and one where what is there has not been decided."""

from datetime import UTC, datetime, timedelta

from msgspec import Struct

from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import ReadableLog
from remediation_orchestrator.events import OperatorFact, Recorded, StoredMessage, decode
from remediation_orchestrator.orchestrator.queries.turns import place_of
from remediation_orchestrator.orchestrator.routing.fold import Fold, Observer
from remediation_orchestrator.orchestrator.snapshots import from_beginning

from .connection import LogSource
from .output import BadInputError, reading, remark
from .running import run

# What has just come is decided in a moment, and is not worth a word.
AT_ONCE = timedelta(seconds=2)
NAMED_MAX = 3


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
    now = max(newest, datetime.now(UTC)) if live else newest
    waiting = list(fold.facts)
    fold.fold_facts()
    if waiting and (not live or now - waiting[0].recorded_at > AT_ONCE):
        _tell_undecided(fold, waiting)
    room = await log.room() if isinstance(log, JetStreamLog) else None
    shut_at = None if room is None or room.takes_signals else room.fill
    return Read(fold, now, shut_at)


def _tell_undecided(fold: Fold, waiting: list[StoredMessage]) -> None:
    """Say what somebody wants that no orchestrator has answered: what is shown is as if it were decided."""
    asked = {*fold.view.unjudged, *map(place_of, fold.view.tasks.values())}
    facts = [record for message in waiting for record in decode(message)]
    undecided = [
        f"{type(one.event).__name__ if isinstance(one, Recorded) else 'a bad record'} at {one.position}"
        for one in facts
        if one.position in asked or (isinstance(one, Recorded) and isinstance(one.event, OperatorFact))
    ]
    if undecided:
        more = [f"{len(undecided) - NAMED_MAX:,} more"] if len(undecided) > NAMED_MAX else []
        named = ", ".join([*undecided[:NAMED_MAX], *more])
        remark(f"nobody has decided yet: {named}. What is shown is as if that were in force.")


async def check_whole(log: ReadableLog, who: str) -> None:
    """Raise BadInputError where the beginning of a log is archived: what it says was judged by that, too."""
    first = await log.first_sequence()
    if first > 1 and await log.archive.newest() is not None:
        what = f"what was before {first} is archived: its file, and the rest's, can be read together by --log each"
        raise BadInputError(f"{who} from its beginning, and {what}")
