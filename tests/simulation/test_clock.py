"""Virtual time: it passes only when nothing else is left to do, and never waits."""

import asyncio
import time
from datetime import timedelta

import pytest

from remediation_orchestrator.simulation.clock import MIDNIGHT, DeadlockError, SkewedClock, broker_now, run


def test_a_week_passes_at_once_and_exactly() -> None:
    """Sleeping costs no time of ours."""

    async def week() -> None:
        await asyncio.sleep(7 * 86_400)
        assert broker_now() == MIDNIGHT + timedelta(days=7)

    before = time.monotonic()
    run(week())
    assert time.monotonic() - before < 5


def test_timers_fire_in_the_order_of_their_times() -> None:
    """Whatever the order in which they were set."""
    seen: list[float] = []

    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append(seconds)

    async def several() -> None:
        await asyncio.gather(*(wait(seconds) for seconds in (3.0, 1.0, 2.0, 0.0)))

    run(several())
    assert seen == [0.0, 1.0, 2.0, 3.0]


def test_who_waits_for_nothing_is_a_deadlock() -> None:
    """It is said at once, instead of waited for."""

    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        run(forever())


def test_a_task_that_was_left_behind_is_ended() -> None:
    """Even one that cleans up at something that never answers."""
    ended: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("stubborn")

    async def leave() -> None:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(1)
        assert not task.done()

    run(leave())
    assert ended == ["stubborn"]


def test_a_skewed_clock_goes_its_own_way() -> None:
    """Its rate is a little off, and the monotonic one may stand still in a sleep."""

    async def drift() -> None:
        skewed = SkewedClock(1.01)
        await asyncio.sleep(100)
        assert skewed.read() == pytest.approx(101.0)
        skewed.stopped += 20.0
        assert skewed.read() == pytest.approx(81.0)
        assert skewed.since_boot() == pytest.approx(101.0)

    run(drift())
