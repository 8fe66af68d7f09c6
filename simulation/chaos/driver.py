"""The source of signals under chaos, which keeps an account of its own: accepted is what was acknowledged.

What was not acknowledged is published again under the same id until it is, so nothing may be stored twice."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec

from remediation_orchestrator.bus.behind import append_behind
from remediation_orchestrator.bus.port import EventLog, LogError
from remediation_orchestrator.events import (
    BlockCleared,
    Position,
    RemediationCancelled,
    RemediationId,
    Target,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes, event_source
from remediation_orchestrator.events.identity import position
from remediation_orchestrator.events.subjects import parse

from .catalog import ANALYSED, ONCE, TIMEOUT_SECONDS, WORK

TARGETS, PROBLEMS = 12, 3
PUBLISHERS, PER_SECOND = 4, 4.0
ARRAY = (200, 600)
"""Of how many signals an array of a burst is."""
# A script of so many milliseconds is killed at its limit.
TOO_LONG = (TIMEOUT_SECONDS + 4) * 1_000
RETRY_SECONDS = 0.1
FIRING = "firing"


class Driver:
    """Publishes signals, and remembers where each was stored."""

    def __init__(self, log: EventLog, seed: int) -> None:
        self._log = log
        self._chance = random.Random(f"driver {seed}")
        self._count = 0
        self.accepted: dict[str, Position] = {}
        """Where each firing signal stands that was acknowledged, by its id."""
        self._open = asyncio.Event()
        self._open.set()
        self._under_way = 0
        self.repeated = 0
        """How often one had to be published again."""

    async def publish(self, seconds: float) -> None:
        """Publish for a while from several publishers at once, and return when all was acknowledged."""
        end = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(self._publish_until(end) for _ in range(PUBLISHERS)))

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Publish nothing as long as this is entered: what is acknowledged meanwhile is another store's word."""
        self._open.clear()
        try:
            while self._under_way:  # noqa: ASYNC110 - each is over soon, whichever way
                await asyncio.sleep(RETRY_SECONDS)
            yield
        finally:
            self._open.set()

    async def burst(self, arrays: int) -> bool:
        """Publish so many arrays of hundreds of signals, all at once."""
        await asyncio.gather(*(self._publish_array() for _ in range(arrays)))
        return True

    async def clear(self, target: Target) -> None:
        """Say, as an operator, that somebody has looked after a target."""
        await self._act(BlockCleared(target=target, by="chaos", reason="its run was lost"))

    async def cancel(self, remediation: RemediationId) -> None:
        """End a remediation, as an operator."""
        await self._act(RemediationCancelled(remediation, by="chaos", reason="chaos"))

    async def _act(self, fact: BlockCleared | RemediationCancelled) -> None:
        self._count += 1
        name = f"act-{self._count}"
        attributes = Attributes(
            id=name, source=event_source(self._log.cell, "operator/chaos"), time=datetime.now(UTC)
        )
        await self._store(subjects.operator(self._log.cell, fact), encode(fact, attributes), name)

    async def _publish_until(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < end:
            name, signal = self._next()
            sequence = await self._store(
                subjects.signal(self._log.cell, "chaos"), msgspec.json.encode(signal), name
            )
            if signal["status"] == FIRING:
                self.accepted[name] = position(sequence)
            await asyncio.sleep(self._chance.expovariate(PER_SECOND))

    async def _publish_array(self) -> None:
        signals = [self._next() for _ in range(self._chance.randint(*ARRAY))]
        payload = msgspec.json.encode([signal for _, signal in signals])
        sequence = await self._store(subjects.signal(self._log.cell, "chaos"), payload, f"array-{signals[0][0]}")
        for index, (name, signal) in enumerate(signals):
            if signal["status"] == FIRING:
                self.accepted[name] = position(sequence, index)

    async def _store(self, subject: str, payload: bytes, name: str) -> int:
        while True:
            await self._open.wait()
            self._under_way += 1
            try:
                if parse(subject).family.is_fenced:
                    return await append_behind(self._log, subject, payload, message_id=name)
                return await self._log.append(subject, payload, message_id=name)
            except LogError:
                self.repeated += 1
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                self._under_way -= 1

    def _next(self) -> tuple[str, dict[str, object]]:
        """The next signal, and its id."""
        chance = self._chance
        self._count += 1
        name = f"signal-{self._count}"
        problem = chance.randrange(PROBLEMS)
        signal: dict[str, object] = {
            "name": f"Problem{problem}",
            "status": FIRING if chance.random() >= 0.05 else "resolved",
            "target": {"kind": "Thing", "name": f"target-{chance.randrange(TARGETS)}"},
            "labels": {"id": name},
            "resolves": problem > 0,  # What a source is does not change from one signal to the next.
        }
        if chance.random() < 0.2:
            return name, signal | {"name": ANALYSED}
        parameters = {
            "milliseconds": TOO_LONG if chance.random() < 0.08 else chance.choice((0, 100, 300, 600, 3_000)),
            "fails": chance.random() < 0.25,
            "stubborn": chance.random() < 0.2,
            "leaves": chance.random() < 0.2,
        }
        return name, signal | {
            "workflow": {"id": ONCE if chance.random() < 0.15 else WORK, "parameters": parameters}
        }
