"""The broker of a simulated cell: its log with an unreliable line to each process, and consumers of commands.

A consumer delivers as JetStream's durable pull consumers were seen to: at least once, again when a delivery was
not confirmed for `ack_wait`, and any number of times."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from remediation_orchestrator.bus.memory import MemoryCell, MemoryLog, Moment
from remediation_orchestrator.bus.port import LogError, LogUnreachableError, UnknownOutcomeError
from remediation_orchestrator.events import CellName, StoredMessage, subjects
from remediation_orchestrator.events.subjects import Family, parse
from remediation_orchestrator.executor.lease import DeliveryError

from .clock import broker_now
from .faults import Fault, Faults

CELL = CellName("main")
ACK_WAIT = 30.0
# What a client waits for an answer before it says that it does not know.
ANSWER_SECONDS = 5.0


class Process:
    """What all processes have: they can be frozen, and they can be dead."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
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

    async def runs(self) -> None:
        """Return as soon as it is not frozen; never for a dead one."""
        while self.frozen or self.dead:
            if self.dead:
                await self._never.wait()
            await self._running.wait()


@dataclass(frozen=True)
class Odds:
    """How likely the line fails at each append; and what happens at a process's steps."""

    append: float
    at_step: Callable[[Moment], None] = lambda _moment: None


class Broker:
    """One broker: a cell and what it delivers."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.cell = MemoryCell(CELL, broker_now)
        self.workflows = Consumer(self, "workflow")
        self.analyses = Consumer(self, "analyze")
        self.cancels: list[Callable[[StoredMessage], None]] = []
        self.up = asyncio.Event()
        self.up.set()

    def log(self, process: Process, odds: Odds) -> "Line":
        """A process's line to the log."""
        return Line(self, process, odds)

    async def deliver(self) -> None:
        """Hand commands to their consumers, as they are stored."""
        sequence = 0
        while True:
            await self.cell.beyond(sequence)
            for message in self.cell.messages[sequence:]:
                self._deliver(message)
            sequence = len(self.cell.messages)

    def _deliver(self, message: StoredMessage) -> None:
        subject = parse(message.subject)
        if subject.family is not Family.COMMAND:
            return
        kind = subject.rest.partition(".")[0]
        if kind == "workflow":
            self.workflows.offer(message)
        elif kind == "analyze":
            self.analyses.offer(message)
        elif kind == "cancel":
            for take in self.cancels:
                take(message)


class Line(MemoryLog):
    """A process's handle on the log, over a line that loses, delays and repeats."""

    def __init__(self, broker: Broker, process: Process, odds: Odds) -> None:
        super().__init__(broker.cell, self.step)
        self._broker = broker
        self._process = process
        self._odds = odds
        self._deciding = False

    @property
    def undecided(self) -> bool:
        """Whether a frame of this process is under way, stored or not."""
        return self._deciding

    async def append(
        self, subject: str, payload: bytes, *, expect: int | None = None, message_id: str | None = None
    ) -> int:
        """Store one message, unless the line says otherwise."""
        is_decision = subject == subjects.decision(CELL)
        self._deciding = self._deciding or is_decision
        if expect is not None and self._broker.faults.strikes(Fault.APPEND_LATE, self._odds.append):
            await self._late(self._broker.cell.store, subject, payload, expect, message_id)
        sequence = await super().append(subject, payload, expect=expect, message_id=message_id)
        if is_decision:
            self._deciding = False
        return sequence

    async def append_together(self, records: Sequence[tuple[str, bytes]]) -> int:
        """Store messages together, unless the line says otherwise."""
        if self._broker.faults.strikes(Fault.APPEND_LATE, self._odds.append):
            await self._late(self._broker.cell.store_together, records)
        return await super().append_together(records)

    async def last(self, subject: str) -> StoredMessage | None:
        """The newest message on a literal subject."""
        found = await super().last(subject)
        if subject == subjects.decision(CELL):
            self._deciding = False
        return found

    async def _late(self, store: Callable[..., int], *message: object) -> None:
        """It is under way for longer than anybody waits, and arrives all the same."""
        seconds = self._broker.faults.chance(Fault.APPEND_LATE).uniform(0.1, 2 * ANSWER_SECONDS)
        asyncio.get_running_loop().call_later(seconds, _try, store, *message)
        await self._process.runs()
        await asyncio.sleep(ANSWER_SECONDS)
        raise UnknownOutcomeError("no answer")

    async def step(self, moment: Moment, subject: str) -> None:
        """What happens between any two steps of a process."""
        self._odds.at_step(moment)
        await self._process.runs()
        faults = self._broker.faults
        match moment:
            case Moment.STORE:
                if not self._broker.up.is_set():
                    raise LogUnreachableError("the broker is away")
                if faults.strikes(Fault.APPEND_SLOW, self._odds.append):
                    await asyncio.sleep(faults.chance(Fault.APPEND_SLOW).uniform(0.0, 3.0))
                if faults.strikes(Fault.APPEND_LOST, self._odds.append):
                    await asyncio.sleep(ANSWER_SECONDS)
                    raise UnknownOutcomeError(f"{subject}: no answer")
            case Moment.ANSWER:
                if faults.strikes(Fault.ANSWER_LOST, self._odds.append):
                    await asyncio.sleep(ANSWER_SECONDS)
                    raise UnknownOutcomeError(f"{subject}: no answer")
            case Moment.ASK:
                if not self._broker.up.is_set():
                    raise LogUnreachableError("the broker is away")
            case Moment.DELIVER:
                if faults.strikes(Fault.READ_LATE, self._odds.append / 4):
                    await asyncio.sleep(faults.chance(Fault.READ_LATE).uniform(0.0, 20.0))
                await self._broker.up.wait()
        await self._process.runs()


def _try(store: Callable[..., int], *message: object) -> None:
    try:
        store(*message)
    except LogError:
        return  # It came too late for its expectation.


class Delivery:
    """One delivery of a command."""

    def __init__(self, consumer: "Consumer", message: StoredMessage, number: int, process: Process) -> None:
        self._consumer = consumer
        self._process = process
        self.command = message
        self.number = number
        self.made_at = asyncio.get_running_loop().time()

    async def confirm(self) -> None:
        """Ask for another `ack_wait`."""
        await self._reach()
        self._consumer.confirm(self.command.sequence)

    async def acknowledge(self) -> None:
        """It is answered."""
        await self._reach()
        self._consumer.acknowledge(self.command.sequence)

    async def pass_on(self, seconds: float) -> None:
        """It is somebody else's turn, after so long."""
        await self._reach()
        self._consumer.pass_on(self.command.sequence, seconds)

    async def _reach(self) -> None:
        await self._process.runs()
        if not self._consumer.broker.up.is_set():
            raise DeliveryError("the broker is away")


class Consumer:
    """A durable consumer of one kind of command."""

    def __init__(self, broker: Broker, kind: str) -> None:
        self.broker = broker
        self.kind = kind
        self._ready: asyncio.Queue[tuple[StoredMessage, int]] = asyncio.Queue()
        self._pending: dict[int, asyncio.TimerHandle] = {}
        self._delivered: dict[int, tuple[StoredMessage, int]] = {}

    def offer(self, message: StoredMessage) -> None:
        """A command is stored: deliver it, now or later."""
        faults = self.broker.faults
        if faults.strikes(Fault.DELIVERY_LATE, 0.1):
            seconds = faults.chance(Fault.DELIVERY_LATE).choice((1.0, 30.0, 400.0))
            asyncio.get_running_loop().call_later(seconds, self._ready.put_nowait, (message, 1))
        else:
            self._ready.put_nowait((message, 1))

    async def pull(self, process: Process) -> Delivery:
        """Take the next delivery."""
        message, number = await self._ready.get()
        self._wait(message, number)  # Even if the taker is dead by now: nobody will confirm it.
        self._repeat(message, number)
        delivery = Delivery(self, message, number, process)
        await process.runs()
        await self.broker.up.wait()
        return delivery

    def confirm(self, sequence: int) -> None:
        """Wait for another `ack_wait`."""
        if sequence in self._pending:
            self._wait(*self._delivered[sequence])

    def acknowledge(self, sequence: int) -> None:
        """Deliver it no more, whichever delivery was answered."""
        timer = self._pending.pop(sequence, None)
        if timer is not None:
            timer.cancel()

    def pass_on(self, sequence: int, seconds: float) -> None:
        """Deliver it again after so long, whichever delivery was passed on."""
        if sequence in self._pending:
            self._wait(*self._delivered[sequence], seconds)

    def _wait(self, message: StoredMessage, number: int, seconds: float = ACK_WAIT) -> None:
        before = self._pending.pop(message.sequence, None)
        if before is not None:
            before.cancel()
        loop = asyncio.get_running_loop()
        self._delivered[message.sequence] = (message, number)
        self._pending[message.sequence] = loop.call_later(seconds, self._again, message, number)

    def _repeat(self, message: StoredMessage, number: int) -> None:
        """Deliver it to another as well, as after a restart in which the consumer lost its place."""
        if self.broker.faults.strikes(Fault.DELIVERY_REPEATED, 0.1):
            dice = self.broker.faults.chance(Fault.DELIVERY_REPEATED)
            again = (message, number + dice.choice((0, 1)))
            asyncio.get_running_loop().call_later(dice.uniform(0.0, ACK_WAIT), self._ready.put_nowait, again)

    def _again(self, message: StoredMessage, number: int) -> None:
        self._pending.pop(message.sequence, None)
        self._ready.put_nowait((message, number + 1))
