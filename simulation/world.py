"""One simulated day of a cell: processes that come and go, faults while it lasts, and then peace.

After the day all faults stop, everybody is thawed or replaced, and all that is owed has to come to an end."""

import asyncio
import gc
import logging
import random
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from remediation_orchestrator.events import Recorded, StoredMessage
from remediation_orchestrator.executor.catalog import Catalog
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.policy import policy_of
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.snapshots import from_beginning

from . import clock
from .archives import SimulatedArchives
from .broker import PAYLOAD_MAX, SimulatedBroker
from .checkers.log import compare_folds
from .checkers.reading import records, sequence_of
from .clock import MIDNIGHT, passed
from .diary import Diary
from .disturbing import Disturbing
from .executors import LACKING, SERVED, Executor, catalog
from .faults import Faults
from .operators import Operators, policies
from .orchestrators import OrchestratorProcess, fresh_fold
from .segments import SegmentFile, segments
from .sources import Accepted, Planner, SimulatedSource
from .spoiling import StoreSpoiler
from .store import SimulatedStore

HOUR = 3_600.0


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
# On how many of all days so little is remembered that much of the log may be archived.
BRIEF_DAYS = 0.5


@dataclass
class Day:
    """What a simulated day has left for the checkers."""

    seed: int
    size: Size
    faults: Faults
    messages: list[StoredMessage]
    accepted: list[Accepted]
    diary: Diary
    store: SimulatedStore
    segments: dict[str, SegmentFile]
    """What was archived, by the names of the files."""
    view: Projection
    led_after: float | None
    """How long after the faults somebody led; None: nobody did."""
    rested_after: float | None
    """How long after the faults all was at rest; None: it never was."""
    behind: float
    """By how many seconds the broker's clock was behind the newest moment: so long no wait comes to its end."""
    violations: list[str] = field(default_factory=list)
    """What was seen to be wrong while the day lasted."""

    @property
    def seconds(self) -> float:
        """For how long there were faults."""
        return self.size.hours * HOUR

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
    with _silent(), tempfile.TemporaryDirectory(prefix="ro-sim-") as folder:
        gc.freeze()  # Every leader has the collector look at all that there is: let that be what the day makes.
        try:
            return clock.run(World(seed, size, Path(folder)).live())
        finally:
            gc.unfreeze()  # And keeps its tables from the collector for as long as its process lives.


class World:
    """Everything that there is on a simulated day."""

    def __init__(self, seed: int, size: Size, folder: Path) -> None:
        """`folder` is where archives are put."""
        self.seed = seed
        self.size = size
        self.dice = random.Random(f"{seed}:world")
        self.faults = Faults(seed)
        self._folder = folder
        self._is_brief = self.dice.random() < BRIEF_DAYS
        self._policies = policies(brief=self._is_brief)
        self.violations: list[str] = []
        self.orchestrators: list[OrchestratorProcess] = []
        self.executors: list[Executor] = []
        self._started = 0
        self._behind = 0.0
        self._led_after: float | None = None
        self._rested_after: float | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def live(self) -> Day:
        """The day, the healing, and the rest that follows."""
        asyncio.get_running_loop().set_exception_handler(self._unexpected)
        self.broker = SimulatedBroker(self.faults, self._folder)
        self.source = SimulatedSource("source", self.broker)
        seconds = self.size.hours * HOUR
        plan = Planner(self.seed, self.faults, seconds).make(self.size.signals)
        operators = Operators(self.seed, self.faults, self.source, self.broker.diary, self._view, self._policies)
        spoiling = StoreSpoiler(self.seed, self.broker)
        archives = SimulatedArchives(self.seed, self.broker, self.source)
        self._spawn(self.broker.deliver())
        keeping = [
            self._spawn(self._keep_orchestrators(self.dice.choice((1, 1, 2, 3)))),
            self._spawn(self._keep_executors(self.dice.choice((1, 2, 3)))),
        ]
        publishing = asyncio.create_task(self.source.publish(plan))
        disturbing = [
            self._spawn(operators.work(seconds / 12)),
            self._spawn(Disturbing(self.seed, self.broker, self.source).work(seconds)),
            self._spawn(spoiling.work(seconds)),
            self._spawn(archives.work(seconds / (8 if self._is_brief else 2))),
            self._spawn(self._compare(seconds)),
        ]
        await asyncio.sleep(seconds)
        self._heal(disturbing)
        healed = passed()
        self._spawn(self._watch_lead(healed))
        if await self._all_published(publishing) and await self._drain():
            self._rested_after = passed() - healed
        self._compare_now()
        await self._compare_rest()
        for task in keeping:
            task.cancel()
        return self._day()

    def _day(self) -> Day:
        view = fresh_fold(self.broker, len(self.broker.cell.history)).view
        return Day(
            seed=self.seed,
            size=self.size,
            faults=self.faults,
            messages=self.broker.cell.history,
            accepted=self.source.accepted,
            diary=self.broker.diary,
            store=self.broker.cell,
            segments=segments(self._folder),
            view=view,
            led_after=self._led_after if self._led_after is not None else self._rested_after,
            rested_after=self._rested_after,
            behind=self._behind,
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
                process = OrchestratorProcess(
                    name, self.broker, policy_of(self._policies[0]), self.size.crashes, self.violations.append
                )
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

    async def _compare_rest(self) -> None:
        """Fold what archives have left as whoever begins does, and hold it against a fold of all."""
        cell, rest = self.broker.cell, Fold()
        if not cell.purges:
            return
        await from_beginning(rest, cell.log(), strict=True)
        for message in cell.messages[:]:
            if message.sequence > rest.read:
                rest.take(message)
        rest.fold_facts()
        self.violations += compare_folds("behind an archive", rest, fresh_fold(self.broker, rest.read))

    # -- the end of a day ------------------------------------------------------------------------------

    def _heal(self, disturbing: list[asyncio.Task[None]]) -> None:
        """Let all faults stop."""
        self.faults.over = True
        for task in disturbing:
            task.cancel()
        self.broker.cell.mend()
        newest = max((one.service.fold.view.newest for one in self.orchestrators), default=MIDNIGHT)
        self._behind = max(0.0, (newest - self.broker.clock.now()).total_seconds())
        self.broker.payload_max = PAYLOAD_MAX
        self.broker.lease_there = True
        self.broker.cell.limit(None)
        for process in [*self.orchestrators, *self.executors]:
            process.thaw()
        for orchestrator in self.orchestrators:
            orchestrator.mend_clock()
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
            for one in [each.service.fold.view for each in self.orchestrators if each.quiet][:1]:
                await self.source.say_over(one)
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
    return not (view.unjudged or view.tasks or view.owed or view.runs or view.queues or at_work)


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
