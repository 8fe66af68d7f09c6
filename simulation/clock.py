"""Virtual time: an event loop whose clock moves only when nothing else is left to do.

Nothing here may read the wall clock or wait for it: a day passes as fast as its work is done, and twice alike."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from remediation_orchestrator.bus.clock import BrokerClock

T = TypeVar("T")

MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
# Far below a microsecond, in which all our times are counted; far above what a float loses in a week of seconds.
RESOLUTION = 1e-9
CLOCKS_DIFFER = timedelta(seconds=5)
# What nobody waits for: a timer for each small thing would cost more than all else.
MOMENT = 0.002


class Machine:
    """What a process runs on: while it computes, its clock goes on and nothing else of it does."""

    def __init__(self) -> None:
        self.busy_until = 0.0

    @property
    def busy(self) -> bool:
        """Whether something is being computed that takes long enough to be waited for."""
        return self.busy_until > 0.0 and self.busy_until > passed() + MOMENT

    def compute(self, seconds: float) -> None:
        """Work so long, from now on or from where the work before ends."""
        self.busy_until = max(self.busy_until, passed()) + seconds

    async def idle(self) -> None:
        """Return as soon as nothing is being computed."""
        while self.busy:
            loop = asyncio.get_running_loop()
            woken = loop.create_future()
            loop.call_at(self.busy_until, _set, woken)
            await woken


def _set(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


MACHINE: ContextVar[Machine | None] = ContextVar("machine", default=None)
"""On which machine the running code runs; None is the world itself."""


def passed() -> float:
    """What time it is in the world, whatever anybody computes."""
    return asyncio.get_running_loop().passed  # type: ignore[attr-defined, no-any-return]


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

    @property
    def passed(self) -> float:
        """Seconds since the loop was made."""
        return self._selector.time

    def time(self) -> float:
        """Seconds since the loop was made; for who has computed meanwhile it is later already."""
        machine, now = MACHINE.get(), self._selector.time
        return now if machine is None or machine.busy_until < now else machine.busy_until

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
    """What a right clock shows: virtual time as a date, in whole microseconds."""
    return date(passed())


def date(seconds: float) -> datetime:
    """A moment of the day, in whole microseconds."""
    return MIDNIGHT + timedelta(microseconds=int(seconds * 1_000_000))


class WallClock:
    """A machine's clock of the day: right, until somebody sets it."""

    def __init__(self) -> None:
        self.off = 0.0

    def now(self) -> datetime:
        """What it shows."""
        return date(passed() + self.off)


class SkewedClock:
    """One machine's clocks: they run a little fast or slow, and the monotonic one may stop in a sleep."""

    def __init__(self, rate: float = 1.0, off: float = 0.0) -> None:
        """`off` is by how many seconds its clock of the day is wrong."""
        self.rate = rate
        self.off = off
        self.stopped = 0.0
        """For how long the monotonic one has stood still."""

    def read(self, moment: float | None = None) -> float:
        """What the monotonic one shows now, or showed at a moment of virtual time since it stood still last."""
        return self.since_boot(moment) - self.stopped

    def since_boot(self, moment: float | None = None) -> float:
        """What the one shows that goes on in a sleep, too."""
        return (asyncio.get_running_loop().time() if moment is None else moment) * self.rate


class ProcessClock:
    """The broker's clock as one process knows it, carried on by a clock that is not quite right."""

    def __init__(self, skewed: SkewedClock, looked_at: Callable[[], None] = lambda: None) -> None:
        """`looked_at` is told each time that the process wants to know what time it is."""
        self._skewed = skewed
        self._looked_at = looked_at
        self._began = date(passed() + skewed.off), skewed.since_boot()
        self._clock = BrokerClock(self._began[0], monotonic=skewed.read, since_boot=skewed.since_boot)
        self._told = [(0, self._began[0], passed())]
        """By which frame's stamp it ought to be set, of which moment: the newest that was taken, and later."""

    def now(self) -> datetime:
        """An estimate, in whole microseconds."""
        self._looked_at()
        return self._clock.now()

    def reckoning(self) -> datetime:
        """The process's own idea of the time, which is nobody's stamp."""
        return self._clock.reckoning()

    def own(self, moment: float | None = None) -> datetime:
        """What that ought to be: its machine's clock at its start, and what has passed there since.

        At a moment of virtual time, or now, when it has computed what it computes."""
        at, since = self._began
        return at + timedelta(seconds=self._skewed.since_boot(moment) - since)

    def observe(self, recorded_at: datetime, acknowledged: float) -> None:
        """Set it; `acknowledged` is virtual time, as the loop tells it."""
        self._clock.observe(recorded_at, self._skewed.read(acknowledged))

    def is_told(self, sequence: int, recorded_at: datetime, acknowledged: float) -> None:
        """Its process has been handed a frame that it is to be set by, whether it sets it or not."""
        self._told.append((sequence, recorded_at, acknowledged))

    def has_taken(self, sequence: int) -> None:
        """Of what its process was handed it has taken all up to here, as it says itself in a frame."""
        taken = [index for index, (frame, _, _) in enumerate(self._told) if frame <= sequence]
        self._told = self._told[max(taken, default=0) :]

    def right(self, moment: float | None = None) -> tuple[datetime, ...]:
        """What it ought to show, by the newest frame that was taken; behind it what it may, by those handed since.

        At a moment of virtual time, or now, when it has computed what it computes. Its own allows no later one."""
        latest, now = self.own(moment) + CLOCKS_DIFFER, self._skewed.since_boot(moment)
        return tuple(
            min(latest, at + timedelta(seconds=now - self._skewed.since_boot(then))) for _, at, then in self._told
        )
