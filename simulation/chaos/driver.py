"""The source of signals under chaos, which keeps an account of its own: accepted is what was acknowledged.

What was not acknowledged is published again under the same id until it is, so nothing may be stored twice."""

import asyncio
import random
from datetime import UTC, datetime

import msgspec

from remediation_orchestrator.bus.port import EventLog, LogError
from remediation_orchestrator.events import BlockCleared, Target, encode, subjects
from remediation_orchestrator.events.codec import Attributes, source

from .catalog import ANALYSED, ONCE, WORK

TARGETS, PROBLEMS = 12, 3
PUBLISHERS, PER_SECOND = 4, 4.0
RETRY_SECONDS = 0.1


class Driver:
    """Publishes signals, and remembers where each was stored."""

    def __init__(self, log: EventLog, seed: int) -> None:
        self._log = log
        self._chance = random.Random(f"driver {seed}")
        self._count = 0
        self.accepted: dict[str, int] = {}
        """The sequence of each firing signal that was acknowledged, by its id."""
        self.repeated = 0
        """How often one had to be published again."""

    async def publish(self, seconds: float) -> None:
        """Publish for a while from several publishers at once, and return when all was acknowledged."""
        end = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(self._publish_until(end) for _ in range(PUBLISHERS)))

    async def clear(self, target: Target) -> None:
        """Say, as an operator, that somebody has looked after a target."""
        self._count += 1
        name = f"clear-{self._count}"
        fact = BlockCleared(target=target, by="chaos", reason="its run was lost")
        attributes = Attributes(id=name, source=source(self._log.cell, "operator/chaos"), time=datetime.now(UTC))
        await self._store(subjects.operator(self._log.cell, fact), encode(fact, attributes), name)

    async def _publish_until(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < end:
            self._count += 1
            name = f"signal-{self._count}"
            firing = self._chance.random() >= 0.05
            payload = msgspec.json.encode(self._signal(name, firing=firing))
            sequence = await self._store(subjects.signal(self._log.cell, "chaos"), payload, name)
            if firing:
                self.accepted[name] = sequence
            await asyncio.sleep(self._chance.expovariate(PER_SECOND))

    async def _store(self, subject: str, payload: bytes, name: str) -> int:
        while True:
            try:
                return await self._log.append(subject, payload, message_id=name)
            except LogError:
                self.repeated += 1
                await asyncio.sleep(RETRY_SECONDS)

    def _signal(self, name: str, *, firing: bool) -> dict[str, object]:
        chance = self._chance
        problem = chance.randrange(PROBLEMS)
        signal: dict[str, object] = {
            "name": f"Problem{problem}",
            "status": "firing" if firing else "resolved",
            "target": {"kind": "Thing", "name": f"target-{chance.randrange(TARGETS)}"},
            "labels": {"id": name},
            "resolves": problem > 0,  # What a source is does not change from one signal to the next.
        }
        if chance.random() < 0.2:
            return signal | {"name": ANALYSED}
        parameters = {
            "milliseconds": chance.choice((0, 100, 300, 600, 3_000)),
            "fails": chance.random() < 0.25,
            "stubborn": chance.random() < 0.2,
        }
        return signal | {"workflow": {"id": ONCE if chance.random() < 0.15 else WORK, "parameters": parameters}}
