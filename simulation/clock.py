"""Virtual time: an event loop whose clock moves only when nothing else is left to do.

Nothing here may read the wall clock or wait for it: a day passes as fast as its work is done, and twice alike."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from remediation_orchestrator.bus.clock import BrokerClock

T = TypeVar("T")

MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
# Far below a microsecond, in which all our times are counted; far above what a float loses in a week of seconds.
RESOLUTION = 1e-9


class DeadlockError(Exception):
    """Everybody waits and nobody for time to pass: the story would stand still for ever."""


class _Selector:
    """Waits for no file at all: to wait is to be at the next timer."""

    def __init__(self) -> None:
        self.time = 0.0

    def select(self, timeout: float | None) -> list[object]:
        """Let virtual time pass. Raises DeadlockError where no timer would ever end the wait."""
        if timeout is None:
            raise DeadlockError("every task waits, and none of them for time to pass")
        self.time += timeout
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without files, threads or a clock of the machine's."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Selector()
        self._clock_resolution = RESOLUTION

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._selector.time

    def _process_events(self, events: list[object]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody outside this thread wakes it."""


def run(main: Coroutine[Any, Any, T], loop: VirtualLoop | None = None) -> T:
    """Run a coroutine to its end on a virtual loop of its own, then end every task that it left behind."""
    loop = loop or VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        _end_all(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _end_all(loop: VirtualLoop) -> None:
    """Cancel until nothing is left: a task may be cleaning up at something that never answers."""
    loop.set_exception_handler(lambda _loop, _context: None)
    while left := sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name()):
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*(_a_moment() for _ in left)))
    loop.run_until_complete(loop.shutdown_asyncgens())


async def _a_moment() -> None:
    await asyncio.sleep(0)


def broker_now() -> datetime:
    """What the broker's clock shows: virtual time as a date, in whole microseconds."""
    return MIDNIGHT + timedelta(microseconds=int(asyncio.get_running_loop().time() * 1_000_000))


class SkewedClock:
    """One machine's monotonic clock: it runs a little fast or slow, and may leap."""

    def __init__(self, rate: float = 1.0) -> None:
        self.rate = rate
        self._leapt = 0.0

    def read(self, moment: float | None = None) -> float:
        """What it shows now, or showed at a moment of virtual time since its last leap."""
        at = asyncio.get_running_loop().time() if moment is None else moment
        return at * self.rate + self._leapt

    def leap(self, seconds: float) -> None:
        """Jump, forward or back."""
        self._leapt += seconds


class ProcessClock:
    """The broker's clock as one process knows it, carried on by a clock that is not quite right."""

    def __init__(self, skewed: SkewedClock, reckoning: Callable[[], datetime] = broker_now) -> None:
        """`reckoning` is its machine's own clock, which others set right; it is nobody's stamp."""
        self._skewed = skewed
        self.reckoning = reckoning
        self._clock = BrokerClock(broker_now(), monotonic=skewed.read)

    def now(self) -> datetime:
        """An estimate, in whole microseconds."""
        return self._clock.now()

    def observe(self, recorded_at: datetime, acknowledged: float) -> None:
        """Set it; `acknowledged` is virtual time, as the loop tells it."""
        self._clock.observe(recorded_at, self._skewed.read(acknowledged))
