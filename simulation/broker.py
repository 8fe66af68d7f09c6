"""The broker of a simulated cell: its log, and consumers of commands.

A consumer delivers as JetStream's durable pull consumers were seen to: at least once, again when a delivery was
not confirmed for `ack_wait`, and any number of times."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from remediation_orchestrator.bus.port import DeliveryError, LogUnreachableError, TooLargeError
from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.events.subjects import Family, parse

from .clock import ProcessClock, WallClock, passed
from .diary import Diary
from .faults import Fault, Faults
from .line import CELL, Line, Odds, SimulatedProcess
from .store import SimulatedStore

ACK_WAIT = 30.0
# What the smallest broker takes that a log may be opened on; a record of ours is never larger.
PAYLOAD_MAX = 786_432


class SimulatedBroker:
    """One broker: a cell and what it delivers."""

    def __init__(self, faults: Faults, folder: Path) -> None:
        """`folder` is where archives are put."""
        self.faults = faults
        self.folder = folder
        self.diary = Diary()
        self.clock = WallClock()
        self.cell = SimulatedStore(CELL, self.clock.now)
        self.workflows = Consumer(self, "workflow")
        self.analyses = Consumer(self, "analyze")
        self.cancels: list[Callable[[StoredMessage], None]] = []
        self.up = asyncio.Event()
        self.up.set()
        self._away = 0
        self.payload_max = PAYLOAD_MAX
        """Of how many bytes a message may be."""
        self.payload_least = PAYLOAD_MAX
        """And what was least of that."""
        self.lease_there = True
        """Whether the lease's bucket is there."""

    def log(self, process: SimulatedProcess, odds: Odds, clock: ProcessClock | None = None) -> Line:
        """A process's line to the log."""
        return Line(self, process, odds, clock)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Let nobody reach it, for as long as this is entered."""
        self._away += 1
        self.up.clear()
        try:
            yield
        finally:
            self._away -= 1
            if not self._away:
                self.up.set()

    def is_there(self, process: SimulatedProcess) -> bool:
        """Whether a process reaches it; a worker does not where another store stands in the good one's place."""
        damage = self.cell.damage
        return self.up.is_set() and not (process.works and damage is not None and damage.replaced)

    def reach(self, process: SimulatedProcess) -> None:
        """Raise LogUnreachableError while it is away."""
        if not self.is_there(process):
            raise LogUnreachableError("the broker is away")

    def set_clock(self, seconds: float) -> None:
        """Somebody sets its machine's clock, by so much."""
        if seconds:
            self.clock.off += seconds
            self.diary.steps.append((passed(), seconds))

    def check_size(self, subject: str, payload: bytes) -> None:
        """Raise TooLargeError where it takes no message of this size."""
        self.payload_least = min(self.payload_least, self.payload_max)
        if len(payload) > self.payload_max:
            raise TooLargeError(f"{subject}: {len(payload):,} bytes are more than the broker takes")

    def purge(self, below: int) -> None:
        """Take away what was archived."""
        self.cell.purge(below, self.folder, self.cell.archive.kept)

    async def deliver(self) -> None:
        """Hand commands to their consumers, as they are stored."""
        sequence = 0
        while True:
            await self.cell.grown(sequence)
            for message in self.cell.history[sequence:]:
                self.diary.stored_at[message.sequence] = passed()
                self._deliver(message)
            sequence = len(self.cell.history)

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


class SimulatedDelivery:
    """One delivery of a command."""

    def __init__(
        self, consumer: "Consumer", message: StoredMessage, number: int, process: SimulatedProcess
    ) -> None:
        self._consumer = consumer
        self._process = process
        self.command = message
        self.number = number
        self.made_at = passed()
        self._lost_until = 0.0

    async def confirm(self) -> None:
        """Ask for another `ack_wait`."""
        asked = passed()
        await self._reach()
        faults = self._consumer.broker.faults
        if asked < self._lost_until:
            raise DeliveryError("no answer")
        if faults.strikes(Fault.CONFIRM_SLOW, 0.02):
            await asyncio.sleep(faults.chance(Fault.CONFIRM_SLOW).uniform(1.0, ACK_WAIT))
            await self._reach()
            if faults.strikes(Fault.CONFIRM_LOST, 0.5):
                self._lost_until = passed() + ACK_WAIT
        self._consumer.confirm(self.command.sequence)
        self._consumer.broker.diary.confirmed[self._process.name, self.command.sequence].append(asked)

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
        if not self._consumer.broker.is_there(self._process):
            raise DeliveryError("the broker is away")


class Consumer:
    """A durable consumer of one kind of command."""

    def __init__(self, broker: SimulatedBroker, kind: str) -> None:
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

    async def pull(self, process: SimulatedProcess) -> SimulatedDelivery:
        """Take the next delivery."""
        message, number = await self._ready.get()
        self._wait(message, number)  # Even if the taker is dead by now: nobody will confirm it.
        self._repeat(message, number)
        delivery = SimulatedDelivery(self, message, number, process)
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
