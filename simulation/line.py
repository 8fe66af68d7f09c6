"""A process's line to the broker: it loses, delays and repeats; and what the process computes takes its time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.json import Decoder

from remediation_orchestrator.bus.memory import FaultPoint, MemoryLog
from remediation_orchestrator.bus.port import LogError, UnknownOutcomeError
from remediation_orchestrator.events import CellName, StoredMessage, subjects
from remediation_orchestrator.events.codec import is_copy

from .clock import MACHINE, Machine, ProcessClock, passed
from .diary import Tried
from .faults import Fault

if TYPE_CHECKING:
    from .broker import SimulatedBroker

CELL = CellName("main")
DECISION = subjects.decision(CELL)
RUN = f"ro.{CELL}.command.workflow."
# What a client waits for an answer before it says that it does not know.
ANSWER_SECONDS = 5.0
# What our code needs on a usual machine: to fold a record, which has about so many bytes, and to judge and encode
# what becomes a byte of a frame.
FOLD_SECONDS = 0.0001
RECORD_BYTES = 400
JUDGE_SECONDS_A_BYTE = 0.0000002


class _Read(Struct, frozen=True):
    read: int = 0


class _Item(Struct, frozen=True):
    data: _Read


FRAME = Decoder(list[_Item])
"""As much of a frame as the world wants to know: up to where its writer has taken what it was handed."""


class SimulatedProcess:
    """What all processes have: they can be frozen, they can be dead, and what they compute takes time."""

    def __init__(self, name: str, slow: float = 1.0) -> None:
        """`slow` is how many times as long everything takes on its machine."""
        self.name = name
        self.works = False
        """Whether it touches targets."""
        self.dead = False
        self.machine = Machine()
        self.slow = slow
        self._handed = 0
        self._running = asyncio.Event()
        self._running.set()
        self._never = asyncio.Event()

    @property
    def frozen(self) -> bool:
        """Whether it is stopped, as by SIGSTOP."""
        return not self._running.is_set()

    def freeze(self) -> None:
        """Stop it: it says nothing more until it is thawed."""
        self._running.clear()

    def thaw(self) -> None:
        """Let it go on where it was stopped."""
        self._running.set()

    def begin(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Begin a task of its own, which sees time as this process does."""
        context = copy_context()
        context.run(MACHINE.set, self.machine)
        return asyncio.create_task(work, context=context)

    def handed(self, message: StoredMessage) -> None:
        """It has been handed a message, which it will fold before it looks at its clock again."""
        self._handed += 1 + len(message.payload) // RECORD_BYTES

    def fold(self) -> None:
        """Let the time pass that folding has taken what it was handed."""
        if self._handed:
            self.compute(self._handed * FOLD_SECONDS)
            self._handed = 0

    def compute(self, seconds: float) -> None:
        """It has done something that takes so long on a usual machine."""
        self.machine.compute(seconds * self.slow)

    async def runs(self) -> None:
        """Return as soon as it is neither frozen nor computing; never for a dead one."""
        if self.machine.busy:
            await self.machine.idle()
        while self.frozen or self.dead:
            if self.dead:
                await self._never.wait()
            await self._running.wait()
            await self.machine.idle()


@dataclass(frozen=True)
class Odds:
    """How likely the line fails at each append; and what happens at a process's steps."""

    append: float
    at_step: Callable[[FaultPoint], None] = lambda _moment: None


class Line(MemoryLog):
    """A process's handle on the log, over a line that loses, delays and repeats."""

    def __init__(
        self, broker: "SimulatedBroker", process: SimulatedProcess, odds: Odds, clock: ProcessClock | None = None
    ) -> None:
        super().__init__(broker.cell, self.step)
        self._broker = broker
        self._process = process
        self._odds = odds
        self._clock = clock
        self._deciding = False
        self._spoilt: int | None = None
        """A record that it was handed otherwise than it was stored, since it began to read."""
        self._acknowledged: dict[int, float] = {}
        """Frames of its own that it has not read back, and when it was told that they are stored."""
        self._handed: dict[int, datetime] = {}
        """Frames that it was handed before it was told so, and their stamps."""

    @property
    def undecided(self) -> bool:
        """Whether a frame of this process is under way, stored or not."""
        return self._deciding

    async def append(
        self, subject: str, payload: bytes, *, expect: int | None = None, message_id: str | None = None
    ) -> int:
        """Store one message, unless the line says otherwise."""
        is_decision = subject == DECISION
        self._deciding = self._deciding or is_decision
        self._send(subject)
        if is_decision and self._clock is not None and payload not in self._broker.diary.tried:
            self._broker.diary.tried[payload] = self._tried(self._clock, payload)
            if self._spoilt is not None:
                self._broker.diary.led_over.append((self._process.name, self._spoilt, passed()))
            self._process.compute(len(payload) * JUDGE_SECONDS_A_BYTE)
        self._broker.check_size(subject, payload)
        if expect is not None and self._broker.faults.strikes(Fault.APPEND_LATE, self._odds.append):
            await self._late(self._broker.cell.store, subject, payload, expect, message_id)
        sequence = await super().append(subject, payload, expect=expect, message_id=message_id)
        if is_decision:
            self._deciding = False
            self._is_stored(sequence)
        return sequence

    async def append_together(self, records: Sequence[tuple[str, bytes]]) -> int:
        """Store messages together, unless the line says otherwise."""
        for subject, payload in records:
            self._broker.check_size(subject, payload)
            self._send(subject)
        if self._broker.faults.strikes(Fault.APPEND_LATE, self._odds.append):
            await self._late(self._broker.cell.store_together, records)
        return await super().append_together(records)

    async def last(self, subject: str) -> StoredMessage | None:
        """The newest message on a literal subject."""
        found = await super().last(subject)
        self._has_found(subject, found)
        return found

    async def next_on(self, subject: str, after: int) -> StoredMessage | None:
        """The first message on a literal subject behind a sequence."""
        found = await super().next_on(subject, after)
        self._has_found(subject, found)
        return found

    async def read(self, start: int = 1, *, follow: bool = False) -> AsyncGenerator[StoredMessage, None]:
        """Yield every message from sequence `start` on, and see what its reader is handed."""
        self._spoilt = None if follow else self._spoilt
        async for message in super().read(start, follow=follow):
            self._process.handed(message)
            if self._broker.cell.is_flipped(message):
                self._spoilt = message.sequence
            if message.subject == DECISION:
                self._broker.diary.read_back.setdefault((self._process.name, message.sequence), passed())
                self._handed[message.sequence] = message.recorded_at
                self._set_clock(message.sequence)
            yield message

    async def purge(self, below: int) -> None:
        """Take away every record below a sequence."""
        await self.strike(FaultPoint.ASK, "")
        self._broker.purge(below)

    def _tried(self, clock: ProcessClock, payload: bytes) -> Tried:
        """A frame that is to be stored now: whatever is being computed may have led to it."""
        began = passed()
        clock.has_taken(FRAME.decode(payload)[0].data.read)
        return Tried(
            self._process.name, began, (clock.own(began), clock.own()), (clock.right(began)[0], clock.right()[0])
        )

    def _send(self, subject: str) -> None:
        """A command is to be stored: what the clock of its sender shows."""
        if self._clock is not None and subject.startswith(RUN):
            self._broker.diary.sent[subject].append((min(self._clock.right()), passed()))

    def _has_found(self, subject: str, found: StoredMessage | None) -> None:
        """It has looked for a frame; one of its own that it finds is stored."""
        if subject == DECISION:
            self._deciding = False
            if found is None or is_copy(found):  # A copy has the bytes of the frame, and is none.
                return
            tried = self._broker.diary.tried.get(found.payload)
            if tried is not None and tried.process == self._process.name:
                self._is_stored(found.sequence)

    def _is_stored(self, sequence: int) -> None:
        self._acknowledged.setdefault(sequence, passed())
        self._set_clock(sequence)

    def _set_clock(self, sequence: int) -> None:
        """What was acknowledged and handed over is what the process's clock is to be set by."""
        if sequence in self._acknowledged and sequence in self._handed and self._clock is not None:
            self._clock.is_told(sequence, self._handed.pop(sequence), self._acknowledged.pop(sequence))

    async def _late(self, store: Callable[..., int], *message: object) -> None:
        """It is under way for longer than anybody waits, and arrives all the same."""
        seconds = self._broker.faults.chance(Fault.APPEND_LATE).uniform(0.1, 2 * ANSWER_SECONDS)
        asyncio.get_running_loop().call_later(seconds, _try, store, *message)
        await self._process.runs()
        await asyncio.sleep(ANSWER_SECONDS)
        raise UnknownOutcomeError("no answer")

    async def step(self, moment: FaultPoint, subject: str) -> None:
        """What happens between any two steps of a process."""
        self._odds.at_step(moment)
        await self._process.runs()
        match moment:
            case FaultPoint.STORE:
                await self._on_the_way(subject)
            case FaultPoint.ANSWER:
                if self._broker.faults.strikes(Fault.ANSWER_LOST, self._odds.append):
                    await asyncio.sleep(ANSWER_SECONDS)
                    raise UnknownOutcomeError(f"{subject}: no answer")
            case FaultPoint.ASK:
                self._broker.reach(self._process)
            case FaultPoint.DELIVER:
                if self._broker.faults.strikes(Fault.READ_LATE, self._odds.append / 4):
                    await asyncio.sleep(self._broker.faults.chance(Fault.READ_LATE).uniform(0.0, 20.0))
                await self._broker.up.wait()
        await self._process.runs()

    async def _on_the_way(self, subject: str) -> None:
        """An append is on its way to the broker, and may be slow, or lost."""
        self._broker.reach(self._process)
        faults = self._broker.faults
        if faults.strikes(Fault.APPEND_SLOW, self._odds.append):
            await asyncio.sleep(faults.chance(Fault.APPEND_SLOW).uniform(0.0, 3.0))
        if faults.strikes(Fault.APPEND_LOST, self._odds.append):
            await asyncio.sleep(ANSWER_SECONDS)
            raise UnknownOutcomeError(f"{subject}: no answer")


def _try(store: Callable[..., int], *message: object) -> None:
    try:
        store(*message)
    except LogError:
        return  # It came too late for its expectation.
