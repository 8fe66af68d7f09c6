"""Chaos on real processes: rounds of strikes against a throw-away cell, and what came of it.

Each round strikes while signals come in, heals everything, waits until the cell has finished, and then counts.
The strikes come from a seed; what they hit depends on the machine. What is reported was measured, never assumed:
a promise that could not be checked counts as broken."""

import asyncio
import subprocess
from collections import Counter
from collections.abc import AsyncGenerator, Collection
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogError
from remediation_orchestrator.events.identity import DEFAULT_CELL

from .account import Account, ChaosTally
from .archives import Archives
from .bursts import Bursts
from .cell import ChaosCell, Service, chaos_cell
from .driver import Driver
from .faults import SOMETIMES, FaultFamily, Planned, Strike, plan
from .runs import Runs
from .spoiling import Spoiling

# A killed executor's run is reported by another after `ack_wait`; a pull that went down with the broker is asked
# again after five seconds; processes start slowly on a busy machine.
SETTLE_SECONDS = 60.0
LOOK_SECONDS = 0.1
# From a restart to the tail of a long log.
CATCH_UP_SECONDS = 20.0
# Whoever looks is late where the machine lets it run seldom; so are those that it waits for.
HELD_UP_SECONDS = 1.0


class ChaosRound(Struct, frozen=True):
    """What a round has added, how often it struck, and which promises it broke, in words."""

    number: int
    seconds: float
    tally: ChaosTally
    struck: dict[Strike, int]
    wrong: list[str]
    undone: list[str] = []
    """Strikes that could not be done, and why: they are not counted as struck."""
    untold: list[float] = []
    """Of each store that lacked only what its mark did not tell of: how old that was at most, in seconds."""


class _Patience:
    """For how long something is waited for, counted in looks: what holds up whoever looks holds up everybody."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._looked_at = asyncio.get_running_loop().time()

    def is_over(self) -> bool:
        """Whether everybody has had that time."""
        now = asyncio.get_running_loop().time()
        self._left -= min(now - self._looked_at, HELD_UP_SECONDS)
        self._looked_at = now
        return self._left < 0


class Chaos:
    """A run of several rounds on one cell, whose log grows on."""

    def __init__(
        self,
        cell: ChaosCell,
        log: JetStreamLog,
        bursts: Bursts,
        seed: int,
        seconds: float,
        families: Collection[FaultFamily],
    ) -> None:
        self._cell = cell
        self._log = log
        self._bursts = bursts
        self._archives = Archives(cell.home, cell.url)
        self._seed = seed
        self._seconds = seconds
        self._families = families
        self._driver = Driver(log, seed)
        self._account = Account(cell.diary)
        self._so_far = ChaosTally()
        self._asked: Counter[str] = Counter()
        """Promises not kept that no record tells, by the name of their figure."""
        self._good = asyncio.Lock()
        """Held while the broker has a store that is not the cell's: nobody counts what is there."""
        self._spoiling = Spoiling(cell, log, self._driver, self._account)
        self._runs = Runs(cell.diary, cell.url, lambda: [one.pid for one in cell.executors])
        self._left: list[str] = []
        """Processes that were there when they may not be any more."""
        self.undone: list[str] = []
        """Strikes of this round that could not be done, and why."""

    async def live(self, number: int) -> ChaosRound:
        """One round, from its first signal to the counting."""
        began = asyncio.get_running_loop().time()
        struck: Counter[Strike] = Counter()
        self.undone = []
        seen, before = len(self._account.findings), len(self._left)
        tending = asyncio.create_task(self._tend())
        planned = plan(self._seed, number, self._seconds, self._families)
        if any(one.strike is Strike.LOG_OLDER for one in planned):
            await self._spoiling.remember()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._driver.publish(self._seconds))
            for one in planned:
                group.create_task(self.suffer(one, struck))
        wrong = await self._settle()
        tending.cancel()
        with suppress(asyncio.CancelledError):
            await tending
        if struck.keys() & SOMETIMES[FaultFamily.ARCHIVES]:
            wrong += await self._begin_again()
        wrong += await self._compare()
        self._left += await self._runs.left()
        self._asked["left"] = len(self._left)
        wrong += self._left[before:]
        wrong += self._spoiling.tell(self._asked, struck)
        untold = self._spoiling.untold
        asked = {**self._asked, "archived": self._archives.purged, "untold": len(untold)}
        total = self._account.tally(self._driver.accepted, asked)
        round_tally, self._so_far = total.minus(self._so_far), total
        wrong += self._account.findings[seen:]
        if not round_tally.is_clean:
            wrong += self._account.contradictions()
        seconds = asyncio.get_running_loop().time() - began
        untold = untold[len(untold) - round_tally.untold :]
        return ChaosRound(number, round(seconds, 3), round_tally, dict(struck), wrong, self.undone, untold)

    def export(self, file: Path) -> None:
        """Keep the log."""
        self._account.export(file)

    async def suffer(self, planned: Planned, struck: Counter[Strike]) -> None:
        """Strike, if it can be done: what has ended, or cannot be reached, is no fault of the cell."""
        await asyncio.sleep(planned.at)
        try:
            struck[planned.strike] += await self._strike(planned)
        except (LogError, OSError, subprocess.SubprocessError) as error:
            self.undone.append(f"{planned.strike}: {error}")

    async def _strike(self, planned: Planned) -> bool:
        match planned.strike:
            case Strike.SIGNAL_BURST:
                return await self._driver.burst(planned.size)
            case Strike.NOTHING_BURST | Strike.GARBAGE_BURST | Strike.JUNK_BURST:
                return await self._bursts.throw(planned)
            case Strike.LOG_OLDER | Strike.LOG_HOLED | Strike.LOG_FLIPPED:
                async with self._good:
                    return await self._spoiling.strike(planned)
            case Strike.ARCHIVE | Strike.TWO_ARCHIVES | Strike.ARCHIVE_KILLED:
                return await self._archives.strike(planned)
            case Strike.RUN_CANCELLED:
                return await self._cancel(planned.which)
            case Strike.MACHINE_ASLEEP:
                return await self._cell.sleep(planned, self._runs)
            case one if one in SOMETIMES[FaultFamily.RUNS]:
                return await self._runs.strike(planned)
            case _:
                return await self._cell.suffer(planned)

    async def _cancel(self, which: int) -> bool:
        """End one of the remediations of which something runs."""
        running = self._account.running()
        if running:
            await self._driver.cancel(running[which % len(running)])
        return bool(running)

    async def _tend(self) -> None:
        """Be the operator, for as long as it lasts: clear the target of each lost run as soon as it is known."""
        while True:
            with suppress(LogError):
                self._cell.revive_broker()
            async with self._good:
                await self._account.read_on(self._log)
                self._left += self._runs.look(self._account.ended)
                for target in self._account.to_clear():
                    await self._driver.clear(target)
            await asyncio.sleep(LOOK_SECONDS)

    async def _settle(self) -> list[str]:
        """Wait until everything accepted is decided and everything begun has ended."""
        patience = _Patience(SETTLE_SECONDS)
        while True:
            left = self._account.unfinished(self._driver.accepted)
            if not left:
                return []
            if patience.is_over():
                self._asked["stuck"] += 1
                return [f"not finished {SETTLE_SECONDS:g} s after the last strike: {', '.join(left)}"]
            self._cell.revive()
            await asyncio.sleep(LOOK_SECONDS)

    async def _begin_again(self) -> list[str]:
        """After archives an orchestrator must be able to begin, and segments and rest be the whole log."""
        self._cell.begin_again()
        await self._account.read_on(self._log)
        wrong = await self._archives.check(self._account.messages)
        self._asked["archives"] += len(wrong)
        return wrong

    async def _compare(self) -> list[str]:
        """Hold the state of every live orchestrator against a fresh fold."""
        found = [await self._difference(service) for service in self._cell.orchestrators]
        wrong = [one for one in found if one]
        self._asked["forgotten"] += len(wrong)
        return wrong

    async def _difference(self, service: Service) -> str:
        """What a live orchestrator does not know, or knows otherwise; asked again while it is still at work."""
        patience = _Patience(CATCH_UP_SECONDS)
        while True:
            self._cell.revive()  # It may have begun when no broker was there, and ended when none came.
            await self._account.read_on(self._log)
            live = await service.digest_fold()
            fresh = self._account.fresh(live) if live else None
            if live and fresh and live.read == self._account.read and not live.differs_in(fresh):
                return ""
            if patience.is_over():
                break
            await asyncio.sleep(LOOK_SECONDS)
        if live is None:
            return f"{service.name} does not say what its state is"
        if fresh is None or live.read != self._account.read:
            return f"{service.name} has read up to {live.read} of {self._account.read}"
        return f"{service.name} differs from a fresh fold in {', '.join(live.differs_in(fresh))}"


async def rounds(
    home: Path, count: int, seed: int, seconds: float, families: Collection[FaultFamily] = tuple(FaultFamily)
) -> AsyncGenerator[ChaosRound, None]:
    """So many rounds in an empty folder, one after the other. Leaves the log there as `log.jsonl`."""
    async with chaos_cell(home) as (cell, connection):
        log = await JetStreamLog.open(connection, DEFAULT_CELL)
        chaos = Chaos(cell, log, Bursts(connection, log, seed), seed, seconds, families)
        try:
            for number in range(1, count + 1):
                yield await chaos.live(number)
        finally:
            chaos.export(home / "log.jsonl")
