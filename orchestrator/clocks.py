"""How this process's own clock and the broker's stamps compare: told where they differ, and never acted upon here.

A stamp may be old because its answer was late, so one that lies back is believed when the next one does, too; one
that lies ahead is believed at once."""

import asyncio
import logging
import math
from datetime import datetime, timedelta

from remediation_orchestrator.bus.port import Clock, Holding, LeaseState
from remediation_orchestrator.events.stored import CLOCKS_DIFFER_MAX

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
