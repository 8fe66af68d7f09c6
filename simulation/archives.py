"""Archives on a simulated day: the real protocol, one at a time or two at once, and some that die on their way."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path

from remediation_orchestrator.bus.behind import append_behind
from remediation_orchestrator.bus.memory import FaultPoint, MemorySnapshots
from remediation_orchestrator.bus.port import LogError
from remediation_orchestrator.events import ArchiveRequested, Position, encode, subjects
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.orchestrator.archiving import Archiver, NotArchivedError, answered

from .broker import SimulatedBroker
from .clock import broker_now
from .faults import Fault
from .line import CELL, Line, Odds, SimulatedProcess
from .sources import SimulatedSource

Step = Callable[[], Awaitable[None]]
# Of an archive that comes to its end some die, at each of its six steps beside reading as many.
DIES = 0.1
SLOW = 0.1


class SimulatedArchives:
    """Whoever archives a cell's log, and the files that come of it."""

    def __init__(self, seed: int, broker: SimulatedBroker, source: SimulatedSource) -> None:
        self._dice = random.Random(f"{seed}:archives")
        self._broker = broker
        self._source = source
        self._begun = 0
        self._every = 0.0
        self._left: Path | None = None
        """The file of one that died."""
        self._going_on: set[asyncio.Task[None]] = set()
        """Those that have not come to their end: one may stand still while others begin, and end."""

    async def work(self, every: float) -> None:
        """Archive now and then, for ever."""
        faults, self._every = self._broker.faults, every
        while True:
            await asyncio.sleep(self._dice.expovariate(1 / every))
            if faults.strikes(Fault.ARCHIVED, 0.9):
                for _ in range(2 if faults.strikes(Fault.ARCHIVED_TWICE, 0.3) else 1):
                    task = asyncio.create_task(self._begin())
                    self._going_on.add(task)
                    task.add_done_callback(self._going_on.discard)

    async def _begin(self) -> None:
        """Archive once, to its end or to its death."""
        faults = self._broker.faults
        self._begun += 1
        path = self._broker.folder / f"{self._begun}.jsonl"
        if self._left is not None and faults.strikes(Fault.ARCHIVE_AGAIN, 0.5):
            path, self._left = self._left, None
        process = SimulatedProcess(f"a{self._begun}")
        archive = _Archive(process, self._broker, self._source, path, self._every)
        task = process.begin(archive.run())
        archive.task = task
        with suppress(asyncio.CancelledError):
            await task
        if process.dead:
            self._left = path


class _Archive:
    """One `ro archive`."""

    def __init__(
        self, process: SimulatedProcess, broker: SimulatedBroker, source: SimulatedSource, path: Path, slow: float
    ) -> None:
        """`slow`: for about so many seconds it stands still where it does."""
        self._process = process
        self._slow = slow
        self._faults = broker.faults
        self._source = source
        self._line = _ArchiveLine(broker, process, self._step)
        self._archiver = Archiver(self._line, path, self._ask)
        self.task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Archive, or say why not."""
        with suppress(NotArchivedError, LogError):
            await self._archiver.run()

    async def _step(self) -> None:
        """Between any two steps it may stand still, for as long as others need for all of theirs, or die."""
        if self._faults.strikes(Fault.ARCHIVE_SLOW, SLOW):
            await asyncio.sleep(self._faults.chance(Fault.ARCHIVE_SLOW).uniform(0.0, 2 * self._slow))
        if self.task is not None and self._faults.strikes(Fault.ARCHIVE_DIED, DIES):
            self._process.dead = True
            self.task.cancel()
            await asyncio.sleep(0)

    async def _ask(self, wanted: ArchiveRequested) -> Position:
        asked = ArchiveRequested(wanted.through, wanted.segment, wanted.projection, "op", "full")
        payload = encode(asked, Attributes(id=self._process.name, source="/operator", time=broker_now()))
        subject = subjects.operator(CELL, asked)
        place = await append_behind(self._line, subject, payload, message_id=self._process.name)
        self._source.accept(place, payload)
        return await answered(self._line, place)


class _ArchiveLine(Line):
    """An archive's line to the log, and to what it keeps beside it."""

    def __init__(self, broker: SimulatedBroker, process: SimulatedProcess, step: Step) -> None:
        super().__init__(broker, process, Odds(0.004))
        self._step_of_archive = step
        self._stream = _Shelf(broker.cell.archive, step)

    @property
    def archive(self) -> MemorySnapshots:
        """What the log goes on from."""
        return self._stream

    async def append(
        self, subject: str, payload: bytes, *, expect: int | None = None, message_id: str | None = None
    ) -> int:
        """Store the request."""
        await self._step_of_archive()
        sequence = await super().append(subject, payload, expect=expect, message_id=message_id)
        await self._step_of_archive()
        return sequence

    async def purge(self, below: int) -> None:
        """Take away what was archived."""
        await self._step_of_archive()
        await super().purge(below)
        await self._step_of_archive()

    async def step(self, moment: FaultPoint, subject: str) -> None:
        """What is read is read at once: a day's log a few times over would be much of its time."""
        if moment is not FaultPoint.DELIVER:
            await super().step(moment, subject)


class _Shelf(MemorySnapshots):
    """The projection that is kept, with a step before and behind its keeping."""

    def __init__(self, real: MemorySnapshots, step: Step) -> None:
        super().__init__()
        self._real = real
        self._step = step

    async def newest(self) -> tuple[bytes, Iterable[bytes]] | None:
        """The newest whole snapshot."""
        return await self._real.newest()

    async def head(self) -> bytes | None:
        """Its head alone."""
        return await self._real.head()

    async def save(
        self, parts: Iterable[bytes], head: Callable[[str], bytes], *, after: bytes | None = None
    ) -> None:
        """Keep a snapshot in place of the one before it."""
        await self._step()
        await self._real.save(parts, head, after=after)
        await self._step()
