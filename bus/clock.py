"""The broker's clock, as far as this process knows it: a clock that is never stepped, set by what the broker
stamped.

Beside it the process's own reckoning, which no broker sets: its machine's clock read once, at the start, and
carried on by a clock that is never stepped. It says what a stamp may not be later than.

How the two compare is told where they differ, and never acted upon here. A stamp may be old because its answer was
late, so one that lies back is believed when the next one does, too; one that lies ahead is believed at once."""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from remediation_orchestrator.events.stored import CLOCKS_DIFFER_MAX

from .port import Clock, Holding, LeaseState


class BrokerClock:
    """Goes on by this machine's clock since its boot, in a sleep, too, from the last stamp that was observed.

    A stamp is older than its acknowledgement, so the estimate is behind the broker's clock, never ahead of it by
    more than the two clocks drift. Only an observed stamp can set it back, and then to exactly that stamp."""

    def __init__(
        self,
        at: datetime,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        since_boot: Callable[[], float] | None = None,
    ) -> None:
        """`at` is what the machine's own clock shows."""
        self._monotonic = monotonic
        self._since_boot = since_boot or (_since_boot if monotonic is time.monotonic else monotonic)
        self._began_at, self._began = at, self._since_boot()
        self.observe(at, monotonic())

    def now(self) -> datetime:
        """An estimate, in whole microseconds."""
        return self._at + timedelta(seconds=self._since_boot() - self._since)

    def reckoning(self) -> datetime:
        """This process's own idea of the time, in whole microseconds: no stamp has part in it."""
        return self._began_at + timedelta(seconds=self._since_boot() - self._began)

    def observe(self, recorded_at: datetime, acknowledged: float) -> None:
        """Set it by a record's stamp and the moment (monotonic seconds) of its acknowledgement."""
        self._at = recorded_at
        self._since = self._since_boot() - (self._monotonic() - acknowledged)


def _since_boot() -> float:
    """Seconds that go on while the machine sleeps, where it has such a clock; else while it is awake."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


log = logging.getLogger(__name__)

# Every frame has a stamp, and a clock that is wrong stays so until somebody comes.
TELL_SECONDS = 60.0


class ComparedClock:
    """A clock that is set by stamps, and says where they are far from this process's own reckoning."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._revision: int | None = None
        """Of the lease, as it was seen last."""
        self._lay_back = False
        self._tell_at = -math.inf
        """When it may be logged again, in the event loop's seconds."""
        self.remark: str | None = None
        """What is to be said of the clocks; None where they agree."""

    def now(self) -> datetime:
        """As the broker's clock."""
        return self._clock.now()

    def reckoning(self) -> datetime:
        """As this process's own."""
        return self._clock.reckoning()

    def observe(self, recorded_at: datetime, acknowledged: float) -> None:
        """Set it, and compare."""
        self._clock.observe(recorded_at, acknowledged)
        self._compare(recorded_at, acknowledged)

    def looked(self, holding: Holding, at: float) -> None:
        """Compare with a renewal of another's lease, which was written since the last look at it."""
        before, self._revision = self._revision, holding.revision
        renewed = before not in (None, holding.revision) and holding.standing is LeaseState.HELD
        if renewed and holding.since is not None:
            self._compare(holding.since, at)

    def _compare(self, stamp: datetime, at: float) -> None:
        """Compare a stamp with one's own reckoning of a moment, which it is not later than."""
        now = asyncio.get_running_loop().time()
        own = self._clock.reckoning() - timedelta(seconds=now - at)
        lay_back, self._lay_back = self._lay_back, own - stamp > CLOCKS_DIFFER_MAX
        if abs(stamp - own) <= CLOCKS_DIFFER_MAX:
            self.remark = None
        elif stamp > own or lay_back:
            self._tell(stamp, own, now)

    def _tell(self, stamp: datetime, own: datetime, now: float) -> None:
        seconds = abs((stamp - own).total_seconds())
        which = "ahead of" if stamp > own else "behind"
        self.remark = f"the broker's clock is {seconds:,.0f} s {which} this machine's: one of them is wrong"
        if now >= self._tell_at:
            self._tell_at = now + TELL_SECONDS
            readings = {"broker": stamp.isoformat(), "own": own.isoformat()}
            log.warning("clocks differ", extra=readings)
