"""One orchestrator's watch over its log: that it is whole before it is led, and stays so while it is."""

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import suppress

from remediation_orchestrator.bus.port import ArchivedError, Clock, EventLog, LogError, NotWholeError

from .marks import Mark, Marker, mark_of, read_mark
from .routing.fold import Fold
from .whole import check_whole, name_missing, why_not_marked

log = logging.getLogger(__name__)

# How long a log that was not whole is left alone before it is looked at again, the first time and at most: only a
# person can mend it, who may take hours, and each look may be a reading from the beginning.
LOOK_AGAIN_SECONDS, LOOK_AGAIN_SECONDS_MAX = 5.0, 300.0
# Where the log cannot be asked at all: a broker comes back by itself, and five seconds are soon enough.
ASK_AGAIN_SECONDS, ASK_AGAIN_SECONDS_MAX = 0.25, 5.0
# A mark is behind the log by so much at most, where frames follow one another; each costs the broker a sync.
MARK_SECONDS = 0.1
# One that could not be written is tried again so soon: as soon as a broker is back.
MARK_AGAIN_SECONDS = 0.25


class Watch:
    """What one orchestrator knows of its log being whole."""

    def __init__(self, log: EventLog, clock: Clock, every: float) -> None:
        """`every` is how often it is looked at while it is led, in seconds."""
        self._log = log
        self._clock = clock
        self._every = every
        self._pause = 0.0
        self._seen: Mark | None = None
        """How far this process has seen the log come: what may be told by nothing else any more."""
        self._first: int | None = None
        """Where it began when it was looked at last."""
        self._looked_at = -math.inf
        """When it was seen last that nothing of it is gone, in the event loop's seconds."""
        self.why: str | None = None
        """Why nobody may lead it, or why it cannot be asked."""
        self._unasked = False

    async def check(self, fold: Fold | None = None) -> None:
        """Raise NotWholeError where something is missing, or LogError. `fold` has read it all, and is as it is."""
        seen = self._seen
        if fold is not None:
            seen = self._mark(fold) or seen
            why = fold.broken
            if fold.log not in ("", self._log.identity):
                why = f"it is {self._log.identity}, and was led as {fold.log}: it is a copy of that one"
            if why is not None:
                raise NotWholeError(f"the log of {self._log.cell} is not whole: {why}")
        await check_whole(self._log, seen)
        self._seen = seen
        if fold is not None:
            self.why = None

    def begun(self) -> None:
        """The log can be asked, and read."""
        if self._unasked:
            self.why, self._unasked = None, False

    async def check_gap(self, first: int, last: int) -> None:
        """Raise NotWholeError where records are missing, or ArchivedError where they were archived meanwhile."""
        begins = await self._log.first_sequence()
        where = f"the log of {self._log.cell}"
        if first < begins:
            await check_whole(self._log)
            raise ArchivedError(
                f"{where}: it was archived up to {begins} while it was read, and {first} is missing"
            )
        raise NotWholeError(f"{where} is not whole: {name_missing(first, last)}")

    def remember(self, fold: Fold) -> None:
        """Know how far the log had come."""
        self._seen = self._mark(fold) or self._seen

    async def guard(self, fold: Fold, resign: Callable[[str], None]) -> None:
        """Have the leader resign when something of its log goes."""
        while True:
            try:
                await self._look(fold)
            except NotWholeError as error:
                resign(str(error))
            except LogError as error:
                log.debug("the log cannot be looked at", extra={"why": str(error)})
            await asyncio.sleep(self._every)

    async def _look(self, fold: Fold) -> None:
        """Raise NotWholeError where something of a log that is led is gone, or LogError."""
        self._looked_at, looked_at = -math.inf, asyncio.get_running_loop().time()
        read = self._mark(fold)
        _, kept = await read_mark(self._log.marks)  # First: the log can only have come further since.
        extent = await self._log.extent()
        marks = [one for one in (read, kept) if one is not None]
        changed = extent.missing or extent.first != self._first
        # What is kept may be another's, who led while this one slept, and came further in a store that is gone.
        if changed or any([await why_not_marked(self._log, extent, one) for one in marks]):
            await check_whole(self._log, read)
        self._first, self._looked_at = extent.first, looked_at

    async def _is_as_read(self, fold: Fold) -> bool:
        """Whether it was seen just now that nothing is gone: another store's mark would shut the good one out."""
        if asyncio.get_running_loop().time() > self._looked_at + 2 * self._every:
            try:
                await self._look(fold)
            except LogError as error:
                log.warning("no mark was written", extra={"why": str(error)})
                return False
        return True

    async def mark(self, fold: Fold, moved: asyncio.Event) -> None:
        """Mark how far the log has come while it is led: once it has moved, and no more often than it may."""
        marker = Marker(self._log.marks)
        while True:
            await moved.wait()
            moved.clear()
            kept = await self._is_as_read(fold) and await marker.write(self._mark(fold))
            await asyncio.sleep(MARK_SECONDS if kept else MARK_AGAIN_SECONDS)
            if not kept:
                moved.set()

    async def leave(self, fold: Fold) -> None:
        """Mark how far the log has come, when one leads it no more."""
        if await self._is_as_read(fold):
            await Marker(self._log.marks).write(self._mark(fold))

    async def rest(self, error: LogError, stopping: asyncio.Event) -> None:
        """Say why nobody may lead this log, and wait before it is looked at again: it may have been restored."""
        self._unasked = not isinstance(error, NotWholeError)
        first, most = LOOK_AGAIN_SECONDS, LOOK_AGAIN_SECONDS_MAX
        if self._unasked:
            first, most = ASK_AGAIN_SECONDS, ASK_AGAIN_SECONDS_MAX
        if self.why != str(error):
            self.why, self._pause = str(error), first
            log.error("not becoming active", extra={"why": self.why})
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await stopping.wait()
        self._pause = min(2 * self._pause, most)

    def _mark(self, fold: Fold) -> Mark | None:
        return mark_of(fold, self._log.identity, self._clock.now())
