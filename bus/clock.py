"""The broker's clock, as far as this process knows it: a monotonic clock, set by what the broker stamped."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta


class BrokerClock:
    """Goes on by this machine's monotonic clock from the last stamp that was observed.

    A stamp is older than its acknowledgement, so the estimate is behind the broker's clock, never ahead of it by
    more than the two clocks drift. Only an observed stamp can set it back, and then to exactly that stamp."""

    def __init__(self, at: datetime, *, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic_ns = monotonic_ns
        self.observe(at)

    def now(self) -> datetime:
        """An estimate, in whole microseconds."""
        return self._at + timedelta(microseconds=(self._monotonic_ns() - self._since) // 1_000)

    def observe(self, recorded_at: datetime) -> None:
        """Set it by the stamp of a record whose append has just been acknowledged."""
        self._at = recorded_at
        self._since = self._monotonic_ns()
