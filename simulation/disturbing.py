"""What disturbs a simulated broker: it is away, its clock is set, its disk is full, its lease is junk or gone."""

import asyncio
import random
from contextlib import suppress
from datetime import timedelta

from remediation_orchestrator.bus.port import LogFullError

from .broker import PAYLOAD_MAX, SimulatedBroker
from .faults import Fault
from .sources import SimulatedSource

FULL_SECONDS_MAX = 600.0
YEARS_SECONDS = 5 * 365 * 24 * 3_600.0


class Disturbing:
    """Whoever disturbs a broker."""

    def __init__(self, seed: int, broker: SimulatedBroker, source: SimulatedSource) -> None:
        self._dice = random.Random(f"{seed}:disturbing")
        self._broker = broker
        self._faults = broker.faults
        self._source = source

    async def work(self, seconds: float) -> None:
        """Take the broker away, and fill its disk."""
        while True:
            await asyncio.sleep(self._dice.expovariate(6 / seconds))
            if self._faults.strikes(Fault.BROKER_DOWN, 0.5):
                away = self._dice.choice((3.0, 40.0, 200.0))
                self._broker.diary.trouble("", "broker away", away)
                with self._broker.away():
                    await asyncio.sleep(away)
            await self._set_clock()
            await self._spoil()
            if self._faults.strikes(Fault.LOG_NEARLY_FULL, 0.3):
                await self.fill(self._dice.uniform(1.03, 1.1))
            if self._faults.strikes(Fault.LOG_FULL, 0.2):
                await self.fill(1.0)
            if self._faults.strikes(Fault.PAYLOAD_SMALL, 0.3):
                self._broker.payload_max = self._faults.chance(Fault.PAYLOAD_SMALL).choice((700, 3_000, 20_000))
                small = self._dice.uniform(30.0, 600.0)
                self._broker.diary.trouble("", "small messages only", small)
                await asyncio.sleep(small)
                self._broker.payload_max = PAYLOAD_MAX

    async def _spoil(self) -> None:
        """Store copies of records, take the lease's bucket away, and have junk stand on its key."""
        faults, cell = self._faults, self._broker.cell
        if cell.messages and faults.strikes(Fault.RECORD_COPIED, 0.4):
            for copied in faults.chance(Fault.RECORD_COPIED).choices(cell.messages, k=3):
                with suppress(LogFullError):
                    self._source.accept(cell.copy(copied, "RO_main"), copied.payload)
        if faults.strikes(Fault.LEASE_GONE, 0.3):
            self._broker.lease_there = False
            gone = faults.chance(Fault.LEASE_GONE).choice((3.0, 60.0, 400.0))
            self._broker.diary.trouble("", "lease gone", gone)
            await asyncio.sleep(gone)
            if faults.chance(Fault.LEASE_GONE).random() < 0.7:  # Else it comes back as it was.
                cell.leased.lose()
            self._broker.lease_there = True
        if faults.strikes(Fault.LEASE_JUNK, 0.4):
            for _ in range(faults.chance(Fault.LEASE_JUNK).choice((1, 3, 20))):
                self._broker.diary.trouble("", "junk on the lease")
                cell.leased.hold("", timedelta(0))  # Whatever stands there is nobody's, and has just lapsed.
                await asyncio.sleep(faults.chance(Fault.LEASE_JUNK).choice((0.5, 20.0)))

    async def _set_clock(self) -> None:
        """Somebody sets the broker's clock, by seconds or hours; or it shows another year for a moment."""
        faults = self._faults
        if faults.strikes(Fault.BROKER_CLOCK_BACK, 0.3):
            self._broker.set_clock(-faults.chance(Fault.BROKER_CLOCK_BACK).choice((2.0, 30.0, 900.0, 7_200.0)))
        if faults.strikes(Fault.BROKER_CLOCK_AHEAD, 0.3):
            self._broker.set_clock(faults.chance(Fault.BROKER_CLOCK_AHEAD).choice((2.0, 30.0, 900.0, 7_200.0)))
        if faults.strikes(Fault.STAMP_OF_ANOTHER_YEAR, 0.2):
            self._broker.set_clock(YEARS_SECONDS)
            try:
                await self._broker.cell.grown(len(self._broker.cell.history))
            finally:
                self._broker.set_clock(-YEARS_SECONDS)

    async def fill(self, times: float) -> None:
        """Let the log be at its limit until somebody gives it room."""
        self._broker.diary.trouble("", "full", FULL_SECONDS_MAX)
        self._broker.cell.limit(int(self._broker.cell.size * times) + 1)
        await asyncio.sleep(self._dice.uniform(30.0, FULL_SECONDS_MAX))
        self._broker.cell.limit(None)  # Another store may stand there, much smaller than the one that comes back.
