"""The broker's clock, as far as this process knows it: a monotonic clock, set by what the broker stamped."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta


class BrokerClock:
    """Goes on by this machine's monotonic clock from the last stamp that was observed.

    A stamp is older than its acknowledgement, so the estimate is behind the broker's clock, never ahead of it by
    more than the two clocks drift. Only an observed stamp can set it back, and then to exactly that stamp."""

    def __init__(self, at: datetime, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.observe(at, monotonic())

    def now(self) -> datetime:
        """An estimate, in whole microseconds."""
        return self._at + timedelta(seconds=self._monotonic() - self._since)

    def observe(self, recorded_at: datetime, acknowledged: float) -> None:
        """Set it by a record's stamp and the moment (monotonic seconds) of its acknowledgement."""
        self._at = recorded_at
        self._since = acknowledged
