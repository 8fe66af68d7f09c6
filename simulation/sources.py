"""Simulated sources: problems that fire, repeat, flap and resolve, and records that nobody can read.

The day is planned from the seed before it begins. Whoever publishes goes on until the log has answered."""

import asyncio
import random
from dataclasses import dataclass

import msgspec

from remediation_orchestrator.bus.behind import append_behind
from remediation_orchestrator.bus.port import LogError
from remediation_orchestrator.events import (
    ExecutionId,
    SignalReceived,
    Target,
    WorkflowCompleted,
    WorkflowRef,
    encode,
    fingerprint_of,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.events.subjects import parse
from remediation_orchestrator.orchestrator.routing.projection import Projection

from .broker import SimulatedBroker
from .clock import MIDNIGHT
from .executors import ANALYSED
from .faults import Fault, Faults
from .line import CELL, Odds, SimulatedProcess

# What a refused or unanswered source waits before it tries again.
AGAIN_SECONDS = 7.0
# What no executor has is revoked after fifty turns, and decided anew as often as its policy lets it.
# One problem of twenty-one asks for it, and that is still a sixth of a day.
WORKFLOWS = ("restart",) * 20 + ("repair",) * 10 + ("short",) * 10 + ("foreign", "absent")
BAD = (
    b"{",
    b"[1,",
    b"7",
    b'"text"',
    b"{}",
    b'{"name":"x"}',
    b'{"name":"x","target":{"name":""}}',
    b'{"name":7,"target":{"name":"t"}}',
    b'{"specversion":"1.0","type":"Odd.v9","data":{}}',
    b'[{"name":"x"},{"name":"Fine","target":{"name":"good"}}]',
    b"\xff\xfe",
)


# What the broker stores where somebody names a subject of the log as the reply to a publish; and worse.
JUNK = (b'{"stream":"RO_main","seq":7}', b"+OK", b"[", b'{"name":"x"}', b"")
JUNK_ON = (
    "decision",
    "decision",
    "command.workflow.wfe-{}",
    "command.analyze.rr-{}",
    "command.cancel.wfe-{}",
    "execution.wfe-{}",
)


@dataclass(frozen=True)
class Publication:
    """One message that somebody will publish: `at` is in seconds of the day."""

    at: float
    subject: str
    payload: bytes
    signals: int = 1


@dataclass
class Accepted:
    """What the log has acknowledged."""

    sequence: int
    payload: bytes


class Planner:
    """Plans a day's publications."""

    def __init__(self, seed: int, faults: Faults, seconds: float) -> None:
        self._dice = random.Random(f"{seed}:sources")
        self._faults = faults
        self._seconds = seconds
        self._problems: list[SignalReceived] = []
        self._alerts: dict[str, tuple[str, ...]] = {}
        """What fires for each problem, by its fingerprint, where its source names it."""
        self._naming = random.Random(f"{seed}:alerts")
        self.plan: list[Publication] = []

    def make(self, facts: int) -> list[Publication]:
        """Plan so many signals at least, in the order of their publication."""
        self._problems = [self._problem(number) for number in range(max(4, facts // 12))]
        for problem in self._problems:
            alerts = self._naming.choice(((), (), ("a",), ("a", "b"), ("a", "b", "c")))
            self._alerts.setdefault(_fingerprint(problem), alerts if problem.resolves else ())
        planned = 0
        while planned < facts:
            before = len(self.plan)
            self._episode()
            planned += sum(one.signals for one in self.plan[before:])
        return sorted(self.plan, key=lambda one: one.at)

    def _problem(self, number: int) -> SignalReceived:
        """One problem; several share a target, and some are known to the analyser only."""
        target = Target(f"t{self._dice.randrange(max(2, number // 2 + 1))}", "eu-1", "shop", "Deployment")
        if self._dice.random() < 0.5:
            name, workflow = f"{ANALYSED}{self._dice.choice(('restart', 'repair', 'unknown'))}", None
        else:
            name, workflow = f"Problem{number}", WorkflowRef(self._dice.choice(WORKFLOWS))
        severity = self._dice.choice(("critical", "warning"))
        resolves = self._dice.random() < 0.5
        within = (Target(f"n{number % 2}", kind="Node"),) if number % 3 == 0 else ()
        return SignalReceived(name, target, severity=severity, resolves=resolves, workflow=workflow, within=within)

    def _episode(self) -> None:
        """A problem shows itself, perhaps again and again, and perhaps is said to be over."""
        problem = self._dice.choice(self._problems)
        at = self._dice.uniform(0.0, self._seconds)
        self._fire(at, problem)
        if self._faults.strikes(Fault.SIGNAL_REPEATED, 0.5):
            gap = self._dice.choice((0.5, 30.0, 200.0))
            for repetition in range(self._dice.randint(1, 5)):
                self._fire(at + gap * (repetition + 1), problem)
        if problem.resolves:
            over = at + self._dice.expovariate(1 / 1_500)
            self._resolve(over, problem)
            if self._faults.strikes(Fault.SIGNAL_FLAPPED, 0.3):
                for flap in range(self._dice.randint(1, 3)):
                    self._fire(over + 2.0 * flap + 1.0, problem)
                    self._resolve(over + 2.0 * flap + 2.0, problem)
        if self._faults.strikes(Fault.RECORD_BAD, 0.08):
            self._publish(at, self._dice.choice(BAD))
        if self._faults.strikes(Fault.RECORD_JUNK, 0.08):
            number = self._dice.randrange(1, 4 * len(self.plan) + 20)
            where = self._dice.choice(JUNK_ON).format(number)
            self.plan.append(Publication(at, f"ro.{CELL}.{where}", self._dice.choice(JUNK)))
        if self._faults.strikes(Fault.SIGNAL_BURST, 0.004):
            for _ in range(self._dice.randint(2, 6)):
                batch = [self._dice.choice(self._problems) for _ in range(self._dice.choice((30, 100, 300)))]
                self._publish(at, b"[" + b",".join(map(self._firing, batch)) + b"]", len(batch))
        if self._faults.strikes(Fault.GARBAGE, 0.02):
            self._publish(at, b"[" + b",".join([b"1"] * self._dice.choice((20, 200, 20_000))) + b"]")
        if self._faults.strikes(Fault.EVENT_STRAY, 0.05):
            stray = WorkflowCompleted(ExecutionId(f"wfe-stray-{len(self.plan)}"))
            payload = encode(stray, Attributes(id=stray.execution, source="/stray", time=MIDNIGHT))
            self.plan.append(Publication(at, subjects.execution(CELL, stray.execution), payload))

    def _fire(self, at: float, problem: SignalReceived) -> None:
        if not self._faults.strikes(Fault.SIGNAL_BATCHED, 0.1):
            self._publish(at, self._firing(problem))
            return
        batch = [problem, *(self._dice.choice(self._problems) for _ in range(self._dice.randint(1, 6)))]
        self._publish(at, b"[" + b",".join(map(self._firing, batch)) + b"]", len(batch))

    def _firing(self, problem: SignalReceived) -> bytes:
        """A problem fires: one of its alerts does, where its source names them, but for a careless one."""
        alerts = self._alerts[_fingerprint(problem)]
        return _signal(problem, "firing", self._naming.choice((*alerts, *alerts, "")) if alerts else "")

    def _resolve(self, at: float, problem: SignalReceived) -> None:
        """A problem is over: each of its alerts, one after the other, or all at once, or not all of them."""
        alerts = self._alerts[_fingerprint(problem)]
        if not alerts or self._naming.random() < 0.2:
            self._publish(at, _signal(problem, "resolved"))
            return
        for alert in self._naming.sample(alerts, self._naming.randint(1, len(alerts))):
            self._publish(at, _signal(problem, "resolved", alert))
            at += self._naming.choice((0.0, 0.5, 300.0))

    def _publish(self, at: float, payload: bytes, signals: int = 1) -> None:
        if self._faults.strikes(Fault.SIGNAL_LATE, 0.1):
            at += self._faults.chance(Fault.SIGNAL_LATE).uniform(0.0, 1_200.0)
        if at <= self._seconds:
            self.plan.append(Publication(at, subjects.signal(CELL, "simulated"), payload, signals))


def _signal(problem: SignalReceived, status: str, alert: str = "") -> bytes:
    return msgspec.json.encode({**msgspec.structs.asdict(problem), "status": status, "alert": alert})


def _fingerprint(problem: SignalReceived) -> str:
    return fingerprint_of(problem.target, problem.name)


class SimulatedSource(SimulatedProcess):
    """Publishes what was planned."""

    def __init__(self, name: str, broker: SimulatedBroker) -> None:
        super().__init__(name)
        self._broker = broker
        self._log = broker.log(self, Odds(0.01))
        self.accepted: list[Accepted] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def publish(self, plan: list[Publication]) -> None:
        """Publish each at its time, and return when all were accepted."""
        loop = asyncio.get_running_loop()
        for number, one in enumerate(plan):
            await asyncio.sleep(max(0.0, one.at - loop.time()))
            task = asyncio.create_task(self.insist(one.subject, one.payload, f"{self.name}-{number}"))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def say_over(self, view: Projection) -> None:
        """In the end what was repaired is over: else a policy that forgets soon has it tried for ever."""
        for one in list(view.remediations.values()):
            if one.verifying is not None and one.verifying.resolves and one.verifying.over_since is None:
                said = {"name": one.words.name, "target": one.target, "fingerprint": one.fingerprint}
                payload = msgspec.json.encode({**said, "status": "resolved"})
                name = f"over-{one.verifying.execution}-{one.occurred_at.isoformat()}"
                await self.insist(subjects.signal(CELL, "simulated"), payload, name)

    async def insist(self, subject: str, payload: bytes, message_id: str) -> None:
        """Publish until the log has answered."""
        fenced = parse(subject).family.is_fenced
        while True:
            try:
                if fenced:
                    sequence = await append_behind(self._log, subject, payload, message_id=message_id)
                else:
                    sequence = await self._log.append(subject, payload, message_id=message_id)
            except LogError:
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                self.accept(sequence, payload)
                return

    def accept(self, sequence: int, payload: bytes) -> None:
        """The log has acknowledged it; what another store has taken goes with that one."""
        damage = self._broker.cell.damage
        if damage is None or not damage.replaced:
            self.accepted.append(Accepted(sequence, payload))
