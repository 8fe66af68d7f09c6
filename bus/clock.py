"""The broker's clock, as far as this process knows it: a clock that is never stepped, set by what the broker
stamped.

Beside it the process's own reckoning, which no broker sets: its machine's clock read once, at the start, and
carried on by a clock that is never stepped. It says what a stamp may not be later than."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta


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
