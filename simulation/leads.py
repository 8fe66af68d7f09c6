"""Who leads: two orchestrators of a cell, one of which is late, asleep, or dead, told by a string of bytes.

What neither ends a leader nor keeps it from storing for longer than its lease and a grace replaces nobody; what
ends it has another lead soon, whatever the broker's clock was set to."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from remediation_orchestrator.bus.memory import FaultPoint, MemoryCell
from remediation_orchestrator.events import CellName, OrchestratorStarted, Recorded, decode
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT

from . import clock
from .histories_process import HistoryProcess
from .histories_tale import OverError, Tale
from .orchestrators import PACE, TTL

if TYPE_CHECKING:
    from collections.abc import Coroutine

CELL = CellName("main")
SIGNAL = b'{"name":"Slow","target":{"name":"checkout"}}'
# Just longer than a lease lasts, and shorter than that and the grace behind it, wherever in a renewal it begins.
NAP_SECONDS = TTL.total_seconds() + 2.0
# Seven renewals are waited for whoever cannot be seen to be dead, eight for a broker that was away, some to look.
LED_SECONDS = 20 * PACE.renew
SETTLED_SECONDS = 3 * PACE.renew
# A client is back at its broker within some renewals, and then renews.
BACK_SECONDS = 3 * PACE.renew


class Pair:
    """Two orchestrators, and what becomes of them."""

    def __init__(self, told: bytes) -> None:
        self._tale = Tale(told)
        self._off = timedelta()
        self._made = 0
        self._ended = 0
        self.wrong: list[str] = []

    async def live(self) -> list[str]:
        """Live through it, and name every promise that was broken."""
        self.cell = MemoryCell(CELL, lambda: clock.broker_now() + self._off)
        self._processes = [self._another(), self._another()]
        await self._led("at the start")
        try:
            while not self.wrong:
                await self._tale.pick(STEPS)(self)
        except OverError:
            await self._led("at the end")
        led = sum(isinstance(one.event, OrchestratorStarted) for one in self._records())
        if led > 1 + self._ended:
            self.wrong.append(f"{led} have led, and {self._ended} were ended")
        return self.wrong

    def _another(self) -> HistoryProcess:
        self._made += 1
        return HistoryProcess(self.cell, f"o{self._made}", DEFAULT)

    def _records(self) -> Iterator[Recorded]:
        return (one for message in self.cell.messages for one in decode(message) if isinstance(one, Recorded))

    def _leader(self) -> HistoryProcess | None:
        return next((one for one in self._processes if one.service.active.is_set()), None)

    async def _led(self, when: str) -> None:
        for _ in range(int(LED_SECONDS)):
            await asyncio.sleep(1.0)
            if self._leader() is not None:
                return
        self.wrong.append(f"{when} nobody leads for {LED_SECONDS:g} seconds")

    # -- what happens ----------------------------------------------------------------------------------

    async def wait(self) -> None:
        """All is quiet, or signals come."""
        for _ in range(self._tale.pick((1, 4, 30))):
            await asyncio.sleep(self._tale.pick((1.0, 10.0)))
            if self._tale.pick((True, False)):
                self.cell.store("ro.main.signal.told", SIGNAL, None, None)

    async def nap(self) -> None:
        """The leader sleeps for a little longer than its lease."""
        leader = self._leader()
        if leader is not None:
            leader.freeze()
            await asyncio.sleep(NAP_SECONDS)
            leader.thaw()
            await asyncio.sleep(SETTLED_SECONDS)

    async def away(self) -> None:
        """The broker answers nobody for longer than a lease lasts, and whoever led comes back last, but soon."""
        leader = self._leader()
        if leader is not None:
            seconds = self._tale.pick((TTL.total_seconds() + 1.0, 3 * TTL.total_seconds()))
            for one in self._processes:
                later = self._tale.pick((0.0, BACK_SECONDS)) if one is leader else 0.0
                one.lose_the_broker(seconds + later)
            await asyncio.sleep(seconds + BACK_SECONDS + SETTLED_SECONDS)

    async def unrenewed(self) -> None:
        """No renewal of the leader arrives, and its frames do."""
        leader = self._leader()
        if leader is not None:
            seconds = 2 * TTL.total_seconds()
            leader.fail(FaultPoint.ASK, seconds, leader.name)
            for _ in range(int(seconds / 2)):
                await asyncio.sleep(2.0)
                self.cell.store("ro.main.signal.told", SIGNAL, None, None)
            await asyncio.sleep(SETTLED_SECONDS)

    async def step(self) -> None:
        """The broker's clock is set back."""
        self._off -= timedelta(hours=1)

    async def kill(self) -> None:
        """The leader dies, and another is begun in its place."""
        leader = self._leader()
        if leader is not None:
            self._ended += 1
            leader.freeze()
            leader.task.cancel()
            self._processes.remove(leader)
            self._processes.append(self._another())
            if self._tale.pick((False, True)):
                await self.step()
            await self._led("after a death")

    async def stop(self) -> None:
        """The leader is told to end."""
        leader = self._leader()
        if leader is not None:
            self._ended += 1
            await leader.end()
            self._processes.remove(leader)
            self._processes.append(self._another())
            await self._led("after an end")


Step = Callable[[Pair], "Coroutine[object, object, None]"]
STEPS: tuple[Step, ...] = (
    *(Pair.wait, Pair.wait, Pair.wait, Pair.nap, Pair.nap, Pair.nap),
    *(Pair.unrenewed, Pair.away, Pair.step, Pair.kill, Pair.kill, Pair.stop),
)


def lead_on(told: bytes) -> Iterator[str]:
    """Live through what the bytes tell, and name every promise that was broken."""
    yield from clock.run(Pair(told).live())
