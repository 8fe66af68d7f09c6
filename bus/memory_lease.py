"""The lease of a cell in memory, and what every handle on a broker in memory is: where faults strike."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from enum import StrEnum

from .port import Holding, LeaseState


class FaultPoint(StrEnum):
    """When a fault may strike a handle."""

    STORE = "store"
    """Before an append is stored: an error leaves nothing behind."""
    ANSWER = "answer"
    """After it was stored and before its answer: an error leaves the record there."""
    ASK = "ask"
    """Before a question is answered: `last` and all others, and every call of a lease."""
    DELIVER = "deliver"
    """Before a message is handed to a reader."""


Faults = Callable[[FaultPoint, str], Awaitable[None]]
"""Awaited at every moment with the subject: may wait as long as it likes, and may raise any LogError."""


class Handle:
    """One process's end of the line to the broker."""

    def __init__(self, faults: Faults | None) -> None:
        self._faults = faults

    async def strike(self, moment: FaultPoint, subject: str) -> None:
        """Let a fault strike, if one wants to."""
        if self._faults is not None:
            await self._faults(moment, subject)


class KeptLease:
    """What the broker keeps of a cell's lease."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        """By `now` it ends."""
        self._now = now
        self._holder: tuple[str, datetime] | None = None
        self._given_back: datetime | None = None
        self._revision = 0
        self._news = asyncio.Event()

    def holder(self) -> str | None:
        """Who holds the lease now."""
        return self.holding().holder

    def holding(self) -> Holding:
        """How it stands with the lease now."""
        if self._holder is None:
            return Holding(LeaseState.FREE, None, self._given_back, self._revision)
        holder, until = self._holder
        if until <= self._now():
            return Holding(LeaseState.LAPSED, None, until, self._revision)
        return Holding(LeaseState.HELD, holder, revision=self._revision)

    def hold(self, holder: str, ttl: timedelta | None) -> None:
        """Give the lease to a holder, or to nobody."""
        self._holder = None if ttl is None else (holder, self._now() + ttl)
        self._given_back = self._now() if ttl is None else None
        self._revision += 1
        self._news = announce(self._news)

    def lose(self) -> None:
        """Have no lease at all any more, as where its bucket was deleted and is made anew."""
        self._holder = self._given_back = None
        self._revision = 0
        self._news = announce(self._news)

    async def news(self) -> None:
        """Return when the lease was written, or when it lapses."""
        remaining = None if self._holder is None else (self._holder[1] - self._now()).total_seconds()
        if remaining is not None and remaining <= 0:
            remaining = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(remaining):
                await self._news.wait()


class MemoryLease(Handle):
    """One process's handle on a cell's lease."""

    def __init__(self, kept: KeptLease, ttl: timedelta, faults: Faults | None = None) -> None:
        super().__init__(faults)
        self._kept = kept
        self._ttl = ttl
        self._seen: str | None = None
        self._watching = False

    async def look(self) -> Holding:
        """How it stands with it now."""
        await self.strike(FaultPoint.ASK, "")
        return self._kept.holding()

    async def acquire(self, holder: str, *, over: int | None = None) -> bool:
        """Become the holder if nobody is, lapsed or not, or at this revision; True where `holder` has it now."""
        await self.strike(FaultPoint.ASK, holder)
        found = self._kept.holding()
        if found.holder not in (None, holder) and found.revision != over:
            return False
        self._kept.hold(holder, self._ttl)
        return True

    async def renew(self, holder: str) -> bool:
        """Hold it for its time-to-live again; False where it was lost."""
        await self.strike(FaultPoint.ASK, holder)
        if self._kept.holding().holder != holder:
            return False
        self._kept.hold(holder, self._ttl)
        return True

    async def release(self, holder: str) -> None:
        """Give it back, so that another can take over at once."""
        await self.strike(FaultPoint.ASK, holder)
        if self._kept.holding().holder == holder:
            self._kept.hold(holder, None)

    async def holder(self) -> str | None:
        """Who holds it now."""
        await self.strike(FaultPoint.ASK, "")
        return self._kept.holding().holder

    async def changed(self) -> None:
        """Return when the holder may have changed since the last call here; the first call returns at once."""
        await self.strike(FaultPoint.ASK, "")
        while self._watching and self._kept.holding().holder == self._seen:
            await self._kept.news()
            await self.strike(FaultPoint.ASK, "")
        self._watching = True
        self._seen = self._kept.holding().holder

    async def close(self) -> None:
        """Stop watching for changes."""
        self._watching = False


def announce(news: asyncio.Event) -> asyncio.Event:
    """Wake whoever waits, and return what the next ones wait on."""
    news.set()
    return asyncio.Event()
