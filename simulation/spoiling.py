"""What becomes of the broker's store on a simulated day: it loses its tail, or is an older one, has a hole, or a
flipped bit; and after a while the good one is there again.

Every damage is one that the contract says is found. So what goes is in the mark's reach, and no claim: an executor
asks for the newest record of its run alone, and nobody can tell it that there was one. Nor do executors work on
a store that is another one: what was begun or told there would be gone with it."""

import asyncio
import random
from typing import TYPE_CHECKING

from remediation_orchestrator.events import DecisionFrame, Recorded, decode, subjects
from remediation_orchestrator.events.subjects import Family, parse
from remediation_orchestrator.orchestrator.marks import read_mark
from remediation_orchestrator.orchestrator.watch import LOOK_AGAIN_SECONDS_MAX

from .faults import Fault
from .line import CELL

if TYPE_CHECKING:
    from .broker import SimulatedBroker

# A server that is begun anew is away for so long.
RESTART_SECONDS = 5.0
# Time enough that it is found, and waited for, and found again; the longest by which a cell may be held up.
LASTS_SECONDS = (60.0, 300.0, 1_500.0)
KINDS = (Fault.TAIL_LOST, Fault.STORE_OLDER, Fault.HOLE, Fault.BITS_FLIPPED)
_READ_ONCE = (Family.EXECUTION, Family.COMMAND)


class StoreSpoiler:
    """Whoever spoils the store of a broker, and brings the good one back."""

    def __init__(self, seed: int, broker: "SimulatedBroker") -> None:
        self._dice = random.Random(f"{seed}:stores")
        self._broker = broker
        self._cell = broker.cell

    async def work(self, seconds: float) -> None:
        """Spoil the store now and then for the first of these seconds, so that it is good again at their end."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._dice.expovariate(4 / seconds))
            lasts = self._dice.choice(LASTS_SECONDS)
            kind = self._dice.choice(KINDS)
            if loop.time() + lasts < seconds and self._broker.faults.strikes(kind, 0.7):
                await self._once(kind, lasts)

    async def _once(self, kind: Fault, lasts: float) -> None:
        with self._broker.away():
            await asyncio.sleep(RESTART_SECONDS)
            come = await self._come()
            if come <= self._cell.first or not self._damage(kind, come):
                return
            self._broker.diary.trouble(
                "", str(kind), lasts + LOOK_AGAIN_SECONDS_MAX
            )  # And then it is looked at again.
        await asyncio.sleep(lasts)
        with self._broker.away():
            await asyncio.sleep(RESTART_SECONDS)
            self._cell.mend()

    async def _come(self) -> int:
        """How far the mark says that the log had come."""
        _, mark = await read_mark(self._cell.marks)
        return 0 if mark is None else max(mark.sequence, mark.read)

    def _damage(self, kind: Fault, come: int) -> bool:
        """Do it, if there is something that it could be done to."""
        cell, dice = self._cell, self._dice
        match kind:
            case Fault.TAIL_LOST:
                cell.cut(str(kind), come - dice.randint(1, min(30, come)))
            case Fault.STORE_OLDER:
                cell.cut(str(kind), dice.randrange(0, come))
            case Fault.HOLE:
                there = [one.sequence for one in cell.messages if not self._is_read_once(one.subject)]
                first = dice.choice(there)
                cell.lose(str(kind), [one for one in there if first <= one < first + dice.choice((1, 2, 5))])
            case _:
                covered = self._covered()
                there = [
                    one.sequence
                    for one in cell.messages
                    if one.sequence <= covered and one.payload and not self._is_read_once(one.subject)
                ]
                if not there:
                    return False
                cell.flip(str(kind), dice.choice(there), dice.randrange(1 << 20))
        return True

    def _is_read_once(self, subject: str) -> bool:
        """Whether somebody asks for it by its subject, and takes nothing for the answer."""
        return parse(subject).family in _READ_ONCE

    def _covered(self) -> int:
        """How far the newest frame covers whole records."""
        newest = self._cell.newest(subjects.decision(CELL))
        head = decode(newest)[0] if newest is not None else None
        event = head.event if isinstance(head, Recorded) else None
        return event.read if isinstance(event, DecisionFrame) else 0
