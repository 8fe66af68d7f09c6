"""The orchestrator of a history: the real one, on a line that may fail."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from remediation_orchestrator.bus.memory import FaultPoint, MemoryCell
from remediation_orchestrator.bus.port import UnknownOutcomeError
from remediation_orchestrator.events import subjects
from remediation_orchestrator.orchestrator.routing.policy import Policy
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator

from . import clock
from .orchestrators import PACE, TTL

VERSION = "1.0.0"
# A snapshot after so few messages, rounds of so few records, batches of so few commands: all of it in little time.
SMALL = msgspec.structs.replace(PACE, snapshot=12, together=2, records=3)
# What a frame is under way, so that facts come meanwhile.
FRAME_SECONDS = 0.004


class HistoryProcess:
    """One orchestrator of a history, from its start to its end."""

    def __init__(self, cell: MemoryCell, name: str, policy: Policy) -> None:
        self.name = name
        self._decision = subjects.decision(cell.cell)
        self._failing: tuple[FaultPoint, float] | None = None
        self._only = ""
        self._away_until = 0.0
        self._running = asyncio.Event()
        self._running.set()
        self.deciding = False
        """Whether a frame of it is under way, stored or not."""
        self.meanwhile: Callable[[str], Awaitable[None]] | None = None
        """What happens while something of it is under way to a subject, each time."""
        lease = cell.lease(TTL, self._strike)
        process = clock.ProcessClock(clock.SkewedClock())
        identity = Identity(name, VERSION)
        self.service = Orchestrator(cell.log(self._strike), lease, process, identity, policy, SMALL)
        self.task = asyncio.create_task(self.service.run())

    def fail(self, moment: FaultPoint, seconds: float, only: str) -> None:
        """From now on, and for so long, what it wants stored there is lost, or is stored and not answered."""
        self._failing, self._only = (moment, asyncio.get_running_loop().time() + seconds), only

    def lose_the_broker(self, seconds: float) -> None:
        """For so long the broker answers nothing that it is asked."""
        self._away_until = asyncio.get_running_loop().time() + seconds

    @property
    def was_troubled(self) -> bool:
        """Whether its line has failed: what it could not send it sends late."""
        return self._failing is not None

    @property
    def troubled(self) -> bool:
        """Whether its line still fails."""
        return self._failing is not None and asyncio.get_running_loop().time() < self._failing[1]

    def freeze(self) -> None:
        """Stop it before whatever it asks next, as by SIGSTOP."""
        self._running.clear()

    def thaw(self) -> None:
        """Let it go on where it was stopped."""
        self._running.set()

    async def end(self) -> str | None:
        """End it cleanly; what it died of, if it did."""
        self.service.stop()
        await asyncio.gather(self.task, return_exceptions=True)
        died = not self.task.cancelled() and self.task.exception()
        return f"{self.name} died: {died!r}" if died else None

    async def _strike(self, moment: FaultPoint, subject: str) -> None:
        await self._running.wait()
        if asyncio.get_running_loop().time() < self._away_until and moment is not FaultPoint.DELIVER:
            raise UnknownOutcomeError(f"{subject}: no answer")
        if moment is FaultPoint.STORE and subject == self._decision:
            self.deciding = True
            await asyncio.sleep(FRAME_SECONDS)
        if moment is FaultPoint.STORE and self.meanwhile is not None:
            await self.meanwhile(subject)
        is_lease = moment is FaultPoint.ASK and subject == self.name
        strikes = self._failing is not None and moment is self._failing[0] and self._only in subject
        if self.troubled and (strikes or is_lease):
            raise UnknownOutcomeError(f"{subject}: no answer")
        if subject == self._decision and moment in (FaultPoint.ANSWER, FaultPoint.ASK):
            self.deciding = False


async def written_by_others(cell: MemoryCell) -> None:
    """The snapshot of a cell is one of a version that counts otherwise: it has seen no failures."""
    found = await cell.snapshots.newest()
    if found is None:
        return
    head = msgspec.json.decode(found[0])
    parts = [part for part in found[1] if b'"failures"' not in part]
    head["code"] = "0" * 64
    await cell.snapshots.save(parts, lambda digest: msgspec.json.encode({**head, "digest": digest}))
