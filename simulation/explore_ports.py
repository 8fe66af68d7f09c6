"""The ports of a small world: the log and the lease of one cell in memory, and deliveries of its commands.

Every call that others could notice, or whose answer others can change, waits at the gate."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from remediation_orchestrator.bus.memory import FaultPoint, MemoryCell, MemoryLog
from remediation_orchestrator.bus.memory_lease import MemoryLease
from remediation_orchestrator.bus.port import DeliveryError, LogError, UnknownOutcomeError
from remediation_orchestrator.events import StoredMessage

from .explore_gate import Actor, CallKind, Gate, How

# When a record arrives whose sender has given up: long before any lease lapses, long after the sender asks again.
LATE_SECONDS = 5.0
ACK_WAIT = 30.0


def short(subject: str) -> str:
    """A subject without what all of one cell have in common."""
    return subject.split(".", 2)[-1]


class GatedLog(MemoryLog):
    """A process's handle on the log."""

    def __init__(self, cell: MemoryCell, gate: Gate, actor: Actor) -> None:
        super().__init__(cell, self._strike)
        self._gate = gate
        self._actor = actor

    async def append(
        self, subject: str, payload: bytes, *, expect: int | None = None, message_id: str | None = None
    ) -> int:
        """Store one message, when and as the gate says."""
        return await self._store_as_told(subject, lambda: self._store.store(subject, payload, expect, message_id))

    async def append_together(self, records: Sequence[tuple[str, bytes]]) -> int:
        """Store messages together, when and as the gate says."""
        return await self._store_as_told(records[-1][0], lambda: self._store.store_together(records))

    async def _store_as_told(self, subject: str, store: Callable[[], int]) -> int:
        def seen() -> object:
            newest = self._store.newest(subject)
            return len(self._store.messages), newest.sequence if newest else 0

        match await self._gate.call(self._actor, CallKind.APPEND, short(subject), seen=seen):
            case How.DONE:
                return store()
            case How.LOSE:
                store()
            case How.DROP:
                pass
            case How.LATE:
                asyncio.get_running_loop().call_later(LATE_SECONDS, _try, store)
        raise UnknownOutcomeError(f"{subject}: no answer")

    async def _strike(self, moment: FaultPoint, subject: str) -> None:
        if moment is FaultPoint.DELIVER:
            await self._gate.call(self._actor, CallKind.READ, short(subject))
        elif moment is FaultPoint.ASK and subject:
            await self._gate.call(self._actor, CallKind.ASK, short(subject), seen=lambda: self._newest(subject))
        else:
            await self._actor.runs()

    def _newest(self, subject: str) -> object:
        newest = self._store.newest(subject)
        return newest.sequence if newest else 0


def _try(store: Callable[[], int]) -> None:
    try:
        store()
    except LogError:
        return  # It came too late for its expectation.


class GatedLease(MemoryLease):
    """A process's handle on the lease."""

    def __init__(self, cell: MemoryCell, ttl: timedelta, gate: Gate, actor: Actor) -> None:
        super().__init__(cell.leased, ttl, self._strike)
        self._gate = gate
        self._actor = actor

    async def _strike(self, _moment: FaultPoint, who: str) -> None:
        if who:
            await self._gate.call(self._actor, CallKind.LEASE, seen=self._kept.holder)
        else:
            await self._actor.runs()


class ExploredDelivery:
    """One delivery of a command to one executor."""

    def __init__(
        self, deliveries: "ExploredDeliveries", message: StoredMessage, number: int, actor: Actor
    ) -> None:
        self._deliveries = deliveries
        self._actor = actor
        self.command = message
        self.number = number
        self.made_at = asyncio.get_running_loop().time()
        self.confirmed: list[tuple[float, float]] = []
        """When it was asked for more time, and when that was answered."""

    async def confirm(self) -> None:
        """Ask for another `ack_wait`."""
        asked = asyncio.get_running_loop().time()
        await self._actor.runs()
        self._deliveries.confirm(self.command.sequence)
        self.confirmed.append((asked, asyncio.get_running_loop().time()))

    async def acknowledge(self) -> None:
        """It is answered."""
        how = await self._deliveries.gate.call(self._actor, CallKind.ACK, short(self.command.subject))
        if how is not How.DROP:
            self._deliveries.acknowledge(self.command.sequence)
        if how is not How.DONE:
            raise DeliveryError("no answer")

    async def pass_on(self, seconds: float) -> None:
        """It is somebody else's turn, after so long."""
        await self._actor.runs()
        self._deliveries.pass_on(self.command.sequence, seconds)


class ExploredDeliveries:
    """The durable consumer of one kind of command: at least once, again where nobody confirms for `ack_wait`."""

    def __init__(self, cell: MemoryCell, gate: Gate, kind: str) -> None:
        self.gate = gate
        self._cell = cell
        self._kind = kind
        self._offered = 0
        self._ready: list[tuple[int, int]] = []
        self._given: dict[int, int] = {}
        self._holder: dict[int, Actor] = {}
        self._takers: list[Actor] = []
        self._repeated: set[tuple[int, int]] = set()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self.told: list[Callable[[StoredMessage], None]] = []
        """Who is told of every command at once, instead of taking it."""

    @property
    def digest(self) -> object:
        """What it would deliver next."""
        return self._pending(), sorted(self._given.items()), sorted(self._timers)

    def _pending(self) -> list[tuple[int, int]]:
        """What waits to be taken, with what has been stored meanwhile."""
        for message in self._cell.messages[self._offered :]:
            if short(message.subject).startswith(f"command.{self._kind}."):
                self._ready.append((message.sequence, 1))
        self._offered = len(self._cell.messages)
        return self._ready

    async def take(self, actor: Actor) -> ExploredDelivery:
        """Take the next delivery, when there is one and the gate says so."""
        if actor not in self._takers:
            self._takers.append(actor)

        def waits() -> bool:
            return bool(self._pending()) and not self._is_for_another(actor)

        await self.gate.call(actor, CallKind.PULL, self._kind, possible=waits, seen=lambda: self._ready[0])
        sequence, number = self._ready.pop(0)
        self._given[sequence], self._holder[sequence] = number, actor
        self._wait(sequence)
        return ExploredDelivery(self, self._cell.messages[sequence - 1], number, actor)

    def _is_for_another(self, actor: Actor) -> bool:
        """Whether a repetition has somebody else to go to than who has the command: he would know it again."""
        others = [one for one in self._takers if one is not actor and not one.dead]
        return bool(others) and self._ready[0] in self._repeated and self._holder[self._ready[0][0]] is actor

    def repeat(self) -> None:
        """Deliver what was given out last once more, although it may be at work."""
        sequence = max(self._given)
        again = (sequence, self._given[sequence] + 1)
        self._repeated.add(again)
        self._ready.append(again)

    @property
    def has_given(self) -> bool:
        """Whether anything was given out."""
        return bool(self._given)

    def confirm(self, sequence: int) -> None:
        """Wait for another `ack_wait`."""
        if sequence in self._timers:
            self._wait(sequence)

    def acknowledge(self, sequence: int) -> None:
        """Deliver it no more."""
        timer = self._timers.pop(sequence, None)
        if timer is not None:
            timer.cancel()

    def pass_on(self, sequence: int, seconds: float) -> None:
        """Deliver it again after so long."""
        if sequence in self._timers:
            self._wait(sequence, seconds)

    def _wait(self, sequence: int, seconds: float = ACK_WAIT) -> None:
        before = self._timers.pop(sequence, None)
        if before is not None:
            before.cancel()
        self._timers[sequence] = asyncio.get_running_loop().call_later(seconds, self._again, sequence)

    def _again(self, sequence: int) -> None:
        self._timers.pop(sequence, None)
        self._ready.append((sequence, self._given[sequence] + 1))
