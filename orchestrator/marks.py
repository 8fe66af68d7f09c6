"""The mark: how far a log had come, kept outside of it, so that a log which was older once more is found.

Whoever leads writes it as soon as a record is stored or read, but not for each of many that follow one another:
what was stored since then is told by nothing. Neither is a log that is restored together with its mark."""

import logging
from datetime import datetime

import msgspec
from msgspec import Struct

from remediation_orchestrator.bus.port import LogError, MarkStore, StaleWriteError
from remediation_orchestrator.events.durations import later

from .routing.chain import record_digest
from .routing.fold import Fold
from .routing.state import RELEASE_GRACE

log = logging.getLogger(__name__)


class Mark(Struct, frozen=True):
    """Where a log stood."""

    log: str
    """Its identity."""
    sequence: int
    """Of its newest frame."""
    previous: str
    """What that frame says of all that came before it."""
    read: int
    """Of the newest record that whoever marks it had read: a claim, and a signal, may be behind every frame."""
    digest: str
    """Of that record; empty where none is known."""
    over: datetime
    """When every run that it may have decided by then has come to its deadline, and its grace."""


_mark = msgspec.json.Decoder(Mark)


async def read_mark(store: MarkStore) -> tuple[int, Mark | None]:
    """The revision of what is kept, and the mark that it is, if it is one. Raises LogError."""
    revision, written = await store.read()
    if not revision:
        return 0, None
    try:
        return revision, _mark.decode(written)
    except msgspec.DecodeError as error:  # Anybody's bytes stop nobody.
        log.warning("a mark is ignored", extra={"why": str(error)})
        return revision, None


def mark_of(fold: Fold, identity: str, now: datetime) -> Mark | None:
    """Where a fold stands; None before the first frame."""
    if not fold.chain.stated:
        return None
    # A verdict's moment is never before what was folded, where a broker's clock is behind that.
    over = max(now, fold.view.newest) + fold.view.policy.timeouts.executing + RELEASE_GRACE
    # What was decided under another policy may run for longer; there may be very many of them, ten times a second.
    latest = max((run.deadline for run in fold.view.runs.values()), default=None)
    over = over if latest is None else max(over, later(latest, RELEASE_GRACE))
    digest = "" if fold.last is None else record_digest(fold.last)
    return Mark(identity, fold.chain.newest, fold.chain.stated, fold.read, digest, over)


class Marker:
    """Writes the mark of whoever leads. It only goes forward, also where two do for a moment."""

    def __init__(self, store: MarkStore) -> None:
        self._store = store
        self._written: tuple[int, Mark | None] | None = None

    async def write(self, mark: Mark | None) -> bool:
        """Write it if it is ahead of what is kept; False where that could not be, and is to be tried again."""
        try:
            if self._written is None:
                self._written = await read_mark(self._store)
            revision, kept = self._written
            if mark is None or (kept is not None and kept.log == mark.log and _is_as_far(kept, mark)):
                return True
            if kept is not None:  # A policy may have become shorter: what was decided under the old one runs on.
                mark = msgspec.structs.replace(mark, over=max(mark.over, kept.over))
            self._written = (await self._store.write(msgspec.json.encode(mark), revision), mark)
        except StaleWriteError:
            self._written = None
        except LogError as error:
            self._written = None
            log.warning("no mark was written", extra={"why": str(error)})
        return self._written is not None


def _is_as_far(kept: Mark, mark: Mark) -> bool:
    return (kept.sequence, kept.read) >= (mark.sequence, mark.read)
