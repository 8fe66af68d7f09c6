"""How long a delivered command is surely ours: half of `ack_wait`, from its delivery or its last confirmation.

After all of `ack_wait` the broker gives the command to somebody else, who in the end reports our run lost. The
broker answers a confirmation also when it has done so, so an answer alone proves nothing. What proves it is that
each confirmation was answered before the one before it had run out, back to a delivery that the broker cannot have
made before we asked for one. So a lease that has lapsed never comes back, whatever is confirmed later, and one
that was handled too late never begins: the run under it is killed well before it is reported."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from remediation_orchestrator.bus.port import Delivery, DeliveryError, LogError

log = logging.getLogger(__name__)

# A turn costs its executor and the broker about a millisecond each, so a thousand such commands take a core.
PASS_ON_SECONDS = 1.0
PASS_ON_SECONDS_MAX = 10.0


@dataclass(frozen=True)
class ConfirmSchedule:
    """When a claim is confirmed, and when it counts as lost. All in seconds, all shares of `ack_wait`."""

    ack_wait: float

    @property
    def confirm_every(self) -> float:
        """Twice in every lease, so that one lost confirmation changes nothing."""
        return self.ack_wait / 4

    @property
    def confirm_again(self) -> float:
        """So soon after a confirmation that was not answered."""
        return self.ack_wait / 30

    @property
    def answer_wait(self) -> float:
        """How long an answer is waited for: one that is lost leaves time to ask again within the lease."""
        return self.ack_wait / 10

    @property
    def lease(self) -> float:
        """How long a claim is surely ours after it was confirmed."""
        return self.ack_wait / 2

    @property
    def kill_grace(self) -> float:
        """How long a script may take to end when asked to; it is dead before another executor is asked."""
        return min(5.0, self.ack_wait / 6)

    @property
    def pull(self) -> float:
        """How long one asks for a delivery before asking anew: a lease counts from there."""
        return min(5.0, self.ack_wait / 10)

    def pass_on_after(self, number: int) -> float:
        """How soon a command that we cannot run is another's turn: at first soon, for others have it; then seldom,
        for perhaps nobody does. Within the five minutes that it has to begin, that are some fifty turns."""
        return min(PASS_ON_SECONDS * (1 + (number - 1) / 4), PASS_ON_SECONDS_MAX, self.ack_wait)


class ClaimLease:
    """Whether a delivered command is still surely ours. `since`: the broker had not delivered it yet. It is of the
    clock `monotonic`, as are all instants here. `prove`, where it is set, looks at each confirmation whether the
    run is still to go on, and raises LogError where that cannot be seen."""

    def __init__(self, pace: ConfirmSchedule, monotonic: Callable[[], float], since: float) -> None:
        self.pace = pace
        self._monotonic = monotonic
        self.confirmed_at = since
        self._lost = False
        self.changed = asyncio.Event()
        self.prove: Callable[[], Awaitable[None]] | None = None

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
async def confirming(
    delivery: Delivery, pace: ConfirmSchedule, monotonic: Callable[[], float], since: float
) -> AsyncIterator[ClaimLease]:
    """Confirm a delivery for as long as this is entered. `since`: it had not been made yet."""
    lease = ClaimLease(pace, monotonic, since)
    task = asyncio.create_task(_confirm(delivery, lease, monotonic))
    try:
        yield lease
    finally:
        task.cancel()


async def _confirm(delivery: Delivery, lease: ClaimLease, monotonic: Callable[[], float]) -> None:
    while not lease.lost:
        asked_at = monotonic()
        try:
            await delivery.confirm()
            if lease.prove is not None:
                async with asyncio.timeout(lease.pace.answer_wait):
                    await lease.prove()
        except (DeliveryError, LogError, TimeoutError) as error:
            log.warning("unconfirmed", extra={"command": delivery.command.subject, "error": str(error)})
            await asyncio.sleep(lease.pace.confirm_again)
        else:
            lease.confirm(asked_at)
            await asyncio.sleep(lease.pace.confirm_every)
