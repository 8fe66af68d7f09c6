"""How long a delivered command is surely ours, and what proves it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from faulty import Delivered

from remediation_orchestrator.bus.port import Delivery, DeliveryError, LogUnreachableError
from remediation_orchestrator.executor.lease import ClaimLease, ConfirmSchedule, confirming

PACE = ConfirmSchedule(ack_wait=0.3)


async def until(fact: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(5):
        while True:
            if fact():
                return
            await asyncio.sleep(0.001)


def clock() -> float:
    """The loop's own."""
    return asyncio.get_running_loop().time()


async def test_a_delivery_counts_from_before_it_was_made() -> None:
    """Not from when somebody looks at it, however late."""
    async with confirming(Delivered(b""), ConfirmSchedule(30), lambda: 100.0, 84.0) as lease:
        assert lease.lost


async def test_a_lapsed_claim_is_confirmed_no_more() -> None:
    """The broker would answer, and put off whoever has the command by now."""
    delivery = Delivered(b"")
    async with confirming(delivery, ConfirmSchedule(30), lambda: 100.0, 84.0):
        for _ in range(10):
            await asyncio.sleep(0)
    assert delivery.confirmed == 0


async def test_a_claim_that_is_confirmed_in_time_goes_on() -> None:
    """Beyond its lease, and beyond `ack_wait`."""
    begun = clock()
    async with confirming(Delivered(b""), PACE, clock, begun) as lease:
        await until(lambda: lease.lost or clock() > begun + 2 * PACE.ack_wait)
        assert not lease.lost


class Unanswered(Delivered):
    """A delivery of which the broker says nothing."""

    async def confirm(self) -> None:
        """Nothing comes."""
        raise DeliveryError("no answer")


async def cannot_be_seen() -> None:
    """The subject cannot be read."""
    raise LogUnreachableError("away")


async def never() -> None:
    """No answer at all."""
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("delivery", "prove"),
    [(Unanswered(b""), None), (Delivered(b""), cannot_be_seen), (Delivered(b""), never)],
    ids=["no answer", "the subject cannot be read", "the subject is not answered"],
)
async def test_what_is_not_proved_is_not_confirmed(
    delivery: Delivery, prove: Callable[[], Awaitable[None]] | None
) -> None:
    """An answer of the broker alone proves nothing; nor does silence."""
    begun = clock()
    async with confirming(delivery, PACE, clock, begun) as lease:
        lease.prove = prove
        await until(lambda: lease.lost)
        assert lease.confirmed_at == begun


async def test_an_answer_that_comes_too_late_confirms_nothing() -> None:
    """The claim had lapsed while it was on its way."""
    now = 100.0
    lease = ClaimLease(ConfirmSchedule(30), lambda: now, now)
    asked_at, now = now + 14, now + 16
    lease.confirm(asked_at)
    assert (lease.lost, lease.confirmed_at) == (True, 100.0)


def test_one_answer_may_be_lost_within_a_lease() -> None:
    """Asked, waited for in vain, and asked again."""
    for ack_wait in (1.0, 30.0, 300.0):
        pace = ConfirmSchedule(ack_wait)
        lost = pace.confirm_every + pace.answer_wait
        assert lost + pace.confirm_again + pace.answer_wait <= pace.lease
        assert pace.lease + pace.kill_grace < pace.ack_wait
        assert pace.pull < pace.lease
