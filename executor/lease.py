"""How long a delivered command is surely ours: half of `ack_wait`, from its delivery or its last confirmation.

After all of `ack_wait` the broker gives the command to somebody else, who reports our run lost. So a lease that
has lapsed never comes back, whatever is confirmed later: the run under it is killed well before that report."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

log = logging.getLogger(__name__)


class DeliveryError(Exception):
    """The broker did not answer about a delivery. The message is one line."""


class Delivery(Protocol):
    """One delivery of a command by the broker."""

    @property
    def subject(self) -> str:
        """The command's subject, which names its execution."""

    @property
    def payload(self) -> bytes:
        """The command as it is stored; it may be anything."""

    @property
    def sequence(self) -> int:
        """The sequence of the command's message in the log."""

    @property
    def number(self) -> int:
        """The how-manieth delivery of this message it is, from 1."""

    async def confirm(self) -> None:
        """Tell the broker that it is being worked on, and wait for its answer. Raises DeliveryError."""

    async def acknowledge(self) -> None:
        """Tell the broker that it is answered, and wait for its answer. Raises DeliveryError."""


@dataclass(frozen=True)
class Pace:
    """When a claim is confirmed, and when it counts as lost. All in seconds, all shares of `ack_wait`."""

    ack_wait: float

    @property
    def confirm_every(self) -> float:
        """Three times in every `ack_wait`, so that one lost confirmation changes nothing."""
        return self.ack_wait / 3

    @property
    def confirm_again(self) -> float:
        """So soon after a confirmation that was not answered."""
        return self.ack_wait / 30

    @property
    def lease(self) -> float:
        """How long a claim is surely ours after it was confirmed."""
        return self.ack_wait / 2

    @property
    def kill_grace(self) -> float:
        """How long a script may take to end when asked to; it is dead before another executor is asked."""
        return min(5.0, self.ack_wait / 6)


class Lease:
    """Whether a delivered command is still surely ours. `since` and `monotonic` are of one clock."""

    def __init__(self, pace: Pace, monotonic: Callable[[], float]) -> None:
        self.pace = pace
        self._monotonic = monotonic
        self.confirmed_at = monotonic()
        self._lost = False
        self.changed = asyncio.Event()

    @property
    def lost(self) -> bool:
        """Whether it has lapsed, even if only for a moment."""
        self._lost = self._lost or self._monotonic() > self.confirmed_at + self.pace.lease
        return self._lost

    def confirm(self, asked_at: float) -> None:
        """Hold it on from the instant at which the broker was asked, if it has not lapsed."""
        if not self.lost:
            self.confirmed_at = asked_at
            self.changed.set()


@asynccontextmanager
async def confirming(delivery: Delivery, pace: Pace, monotonic: Callable[[], float]) -> AsyncIterator[Lease]:
    """Confirm a delivery for as long as this is entered."""
    lease = Lease(pace, monotonic)
    task = asyncio.create_task(_confirm(delivery, lease, monotonic))
    try:
        yield lease
    finally:
        task.cancel()


async def _confirm(delivery: Delivery, lease: Lease, monotonic: Callable[[], float]) -> None:
    while True:
        asked_at = monotonic()
        try:
            await delivery.confirm()
        except DeliveryError as error:
            log.warning("unconfirmed", extra={"command": delivery.subject, "error": str(error)})
            await asyncio.sleep(lease.pace.confirm_again)
        else:
            lease.confirm(asked_at)
            await asyncio.sleep(lease.pace.confirm_every)
