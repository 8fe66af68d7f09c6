"""One simulated day of a cell: processes that come and go, faults while it lasts, and then peace.

After the day all faults stop, everybody is thawed or replaced, and all that is owed has to come to an end."""

import asyncio
import logging
import random
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property

from remediation_orchestrator.bus.port import LogFullError
from remediation_orchestrator.events import Recorded, StoredMessage
from remediation_orchestrator.executor.catalog import Catalog
from remediation_orchestrator.orchestrator.routing.projection import Projection

from . import clock
from .broker import Broker
from .checkers.log import compare_folds
from .checkers.reading import records, sequence_of
from .clock import passed
from .diary import Diary
from .executors import LACKING, SERVED, Executor, catalog
from .faults import Fault, Faults
from .operators import Operators
from .orchestrators import OrchestratorProcess, fresh_fold
from .sources import Accepted, Planner, Source

HOUR = 3_600.0
YEARS_SECONDS = 5 * 365 * 24 * HOUR


@dataclass(frozen=True)
class Size:
    """How much happens in a day, and how often all that was live is held against a fresh fold."""

    signals: int
    """Planned; what runs and analyses add to them makes the rest of the day's facts."""
    facts: int
    """What a day has at the least."""
    hours: float
    crashes: float
    comparisons: int


FULL = Size(signals=1_500, facts=2_000, hours=24.0, crashes=0.0006, comparisons=3)
SHORT = Size(signals=110, facts=110, hours=3.0, crashes=0.004, comparisons=4)
"""A day for the test suite: the same faults, more of them an hour."""
# The last of a day's remediations end within some rounds of the longest wait, an hour after three failures.
DRAIN_HOURS = 24.0


@dataclass
class Day:
    """What a simulated day has left for the checkers."""

    seed: int
    size: Size
    faults: Faults
    messages: list[StoredMessage]
    accepted: list[Accepted]
    diary: Diary
    view: Projection
    led_after: float | None
    """How long after the faults somebody led; None: nobody did."""
    rested_after: float | None
    """How long after the faults all was at rest; None: it never was."""
    violations: list[str] = field(default_factory=list)
    """What was seen to be wrong while the day lasted."""

    @property
    def drained(self) -> bool:
        """Whether all came to rest."""
        return self.rested_after is not None

    @cached_property
    def records(self) -> list[Recorded]:
        """Every event of the log that can be read, in the log's order."""
        return list(records(self.messages))

    @cached_property
    def _others(self) -> set[int]:
        return {one.sequence for one in self.accepted}

    def at(self, record: Recorded) -> StoredMessage:
        """The message in which a record stands."""
        return self.messages[sequence_of(record) - 1]

    def is_stray(self, message: StoredMessage) -> bool:
        """Whether somebody published it who had nothing to say there."""
        return message.sequence in self._others


def simulate(seed: int, size: Size = FULL) -> Day:
    """Live through the day of a seed."""
    with _silent():
        return clock.run(World(seed, size).live())


class World:
    """Everything that there is on a simulated day."""

    def __init__(self, seed: int, size: Size) -> None:
        self.seed = seed
        self.size = size
        self.dice = random.Random(f"{seed}:world")
        self.faults = Faults(seed)
        self.violations: list[str] = []
        self.orchestrators: list[OrchestratorProcess] = []
        self.executors: list[Executor] = []
        self._started = 0
        self._led_after: float | None = None
        self._rested_after: float | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def live(self) -> Day:
        """The day, the healing, and the rest that follows."""
        asyncio.get_running_loop().set_exception_handler(self._unexpected)
        self.broker = Broker(self.faults)
        self.source = Source("source", self.broker)
        seconds = self.size.hours * HOUR
        plan = Planner(self.seed, self.faults, seconds).make(self.size.signals)
        operators = Operators(self.seed, self.faults, self.source, self.broker.diary, self._view)
        self._spawn(self.broker.deliver())
        keeping = [
            self._spawn(self._keep_orchestrators(self.dice.choice((1, 1, 2, 3)))),
            self._spawn(self._keep_executors(self.dice.choice((1, 2, 3)))),
        ]
        publishing = asyncio.create_task(self.source.publish(plan))
        disturbing = [
            self._spawn(operators.work(seconds / 12)),
            self._spawn(self._disturb(seconds)),
            self._spawn(self._compare(seconds)),
        ]
        await asyncio.sleep(seconds)
        self._heal(disturbing)
        healed = passed()
        self._spawn(self._watch_lead(healed))
        if await self._all_published(publishing) and await self._drain():
            self._rested_after = passed() - healed
        self._compare_now()
        for task in keeping:
            task.cancel()
        return self._day()

    def _day(self) -> Day:
        view = fresh_fold(self.broker, len(self.broker.cell.messages)).view
        return Day(
            seed=self.seed,
            size=self.size,
            faults=self.faults,
            messages=self.broker.cell.messages,
            accepted=self.source.accepted,
            diary=self.broker.diary,
            view=view,
            led_after=self._led_after,
            rested_after=self._rested_after,
            violations=self.violations,
        )

    async def _watch_lead(self, healed: float) -> None:
        """See how soon somebody leads, now that nothing stands in the way."""
        while not any(one.leads for one in self.orchestrators):  # noqa: ASYNC110 - virtual time, and no event for it
            await asyncio.sleep(1.0)
        self._led_after = passed() - healed

    # -- processes -------------------------------------------------------------------------------------

    async def _keep_orchestrators(self, count: int) -> None:
        """Start another for each that is dead, after a while."""
        while True:
            alive = [one for one in self.orchestrators if not one.dead]
            for _ in range(count - len(alive)):
                self._started += 1
                name = f"o{self._started}"
                process = OrchestratorProcess(name, self.broker, self.size.crashes, self.violations.append)
                self.orchestrators.append(process)
            await asyncio.sleep(self.dice.uniform(10.0, 60.0))

    async def _keep_executors(self, count: int) -> None:
        while True:
            alive = [one for one in self.executors if not one.dead]
            for _ in range(count - len(alive)):
                self._started += 1
                skewed = clock.SkewedClock(self.dice.uniform(0.9995, 1.0005))
                name = f"e{self.seed}-{self._started}"
                executor = Executor(name, self.broker, self._catalog(count), skewed)
                for task in executor.tasks:
                    task.add_done_callback(self._task_ended)
                self.executors.append(executor)
            await asyncio.sleep(self.dice.uniform(10.0, 90.0))

    def _catalog(self, executors: int) -> Catalog:
        """An executor's own: where there are several, each may lack what another has."""
        if self.faults.over:
            return catalog()
        return catalog(*LACKING, *self.dice.sample(SERVED, k=self.dice.choice((0, 1)) if executors > 1 else 0))

    def _view(self) -> Projection:
        """What an operator sees: the state of whoever is active, else of anybody."""
        alive = [one for one in self.orchestrators if not one.dead]
        active = [one for one in alive if one.service.active.is_set() and not one.frozen]
        return (active or alive or self.orchestrators)[0].service.fold.view

    # -- the broker ------------------------------------------------------------------------------------

    async def _disturb(self, seconds: float) -> None:
        """Take the broker away, and fill its disk."""
        while True:
            await asyncio.sleep(self.dice.expovariate(6 / seconds))
            if self.faults.strikes(Fault.BROKER_DOWN, 0.5):
                self.broker.up.clear()
                away = self.dice.choice((3.0, 40.0, 200.0))
                self.broker.diary.trouble("", "broker away", away)
                await asyncio.sleep(away)
                self.broker.up.set()
            await self._set_clock()
            await self._spoil()
            if self.faults.strikes(Fault.LOG_NEARLY_FULL, 0.3):
                await self._limit(self.dice.uniform(1.03, 1.1))
            if self.faults.strikes(Fault.LOG_FULL, 0.2):
                await self._limit(1.0)

    async def _spoil(self) -> None:
        """Store copies of records, and take the lease's bucket away."""
        faults, cell = self.faults, self.broker.cell
        if cell.messages and faults.strikes(Fault.RECORD_COPIED, 0.4):
            for copied in faults.chance(Fault.RECORD_COPIED).choices(cell.messages, k=3):
                with suppress(LogFullError):
                    self.source.accepted.append(Accepted(cell.copy(copied, "RO_main"), copied.payload))
        if faults.strikes(Fault.LEASE_GONE, 0.3):
            self.broker.lease_there = False
            await asyncio.sleep(faults.chance(Fault.LEASE_GONE).choice((3.0, 60.0, 400.0)))
            cell.lose_lease()
            self.broker.lease_there = True

    async def _set_clock(self) -> None:
        """Somebody sets the broker's clock, by seconds or hours; or it shows another year for a moment."""
        faults = self.faults
        if faults.strikes(Fault.BROKER_CLOCK_BACK, 0.3):
            self._step(-faults.chance(Fault.BROKER_CLOCK_BACK).choice((2.0, 30.0, 900.0, 7_200.0)))
        if faults.strikes(Fault.BROKER_CLOCK_AHEAD, 0.3):
            self._step(faults.chance(Fault.BROKER_CLOCK_AHEAD).choice((2.0, 30.0, 900.0, 7_200.0)))
        if faults.strikes(Fault.STAMP_OF_ANOTHER_YEAR, 0.2):
            self._step(YEARS_SECONDS)
            try:
                await self.broker.cell.beyond(len(self.broker.cell.messages))
            finally:
                self._step(-YEARS_SECONDS)

    def _step(self, seconds: float) -> None:
        self.broker.clock.off += seconds
        self.broker.diary.steps.append((passed(), seconds))

    async def _limit(self, times: float) -> None:
        """Let the log be at its limit until somebody gives it room."""
        self.broker.cell.limit(int(self.broker.cell.size * times) + 1)
        await asyncio.sleep(self.dice.uniform(30.0, 600.0))
        self.broker.cell.limit(self.broker.cell.size * 100 + 1_000_000)

    # -- comparing -------------------------------------------------------------------------------------

    async def _compare(self, seconds: float) -> None:
        """Now and then, at the next quiet moment, hold what is live against a fresh fold."""
        for _ in range(self.size.comparisons):
            await asyncio.sleep(seconds / (self.size.comparisons + 1))
            for _ in range(100):
                if any(one.quiet for one in self.orchestrators):
                    self._compare_now()
                    break
                await asyncio.sleep(1.0)

    def _compare_now(self) -> None:
        for one in self.orchestrators:
            if one.quiet:
                live = one.service.fold
                fresh = fresh_fold(self.broker, live.chain.as_of)
                self.violations += compare_folds(f"{one.name} at {live.read}", live, fresh)

    # -- the end of a day ------------------------------------------------------------------------------

    def _heal(self, disturbing: list[asyncio.Task[None]]) -> None:
        """Let all faults stop."""
        self.faults.over = True
        for task in disturbing:
            task.cancel()
        self.broker.up.set()
        self.broker.lease_there = True
        self.broker.cell.limit(None)
        for process in [*self.orchestrators, *self.executors]:
            process.thaw()
        for executor in self.executors:  # What nobody has goes round for ever: somebody puts it there.
            executor.served = catalog()

    async def _all_published(self, publishing: asyncio.Task[None]) -> bool:
        """Whether the log takes all that is still to be published, now that nothing stands in its way."""
        done, _ = await asyncio.wait({publishing}, timeout=HOUR)
        if not done:
            self.violations.append("the log takes no signals any more")
            publishing.cancel()
        return bool(done)

    async def _drain(self) -> bool:
        """Wait until nothing is owed and nobody is at work any more; False where that never comes."""
        deadline = asyncio.get_running_loop().time() + DRAIN_HOURS * HOUR
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(60.0)
            if any(one.quiet and is_at_rest(one.service.fold.view) for one in self.orchestrators):
                return True
        return False

    # -- what must not happen --------------------------------------------------------------------------

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        task.add_done_callback(self._task_ended)
        self._tasks.append(task)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.violations.append(f"a task died: {task.exception()!r}")

    def _unexpected(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        if context.get("exception") is not None:
            self.violations.append(f"nobody took this exception: {context['exception']!r}")


def is_at_rest(view: Projection) -> bool:
    """Whether nothing waits: no signal, no task, nothing owed, no target held, no remediation at work."""
    at_work = any(not one.phase.ended for one in view.remediations.values())
    return not (view.unjudged or view.agenda or view.owed or view.runs or view.queues or at_work)


@contextmanager
def _silent() -> Iterator[None]:
    """Services log what they meet; here they meet it by the thousand."""
    log = logging.getLogger("remediation_orchestrator")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)
