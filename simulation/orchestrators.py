"""Simulated orchestrator processes: the real `Orchestrator` on unreliable lines and a clock of its own."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import version

from remediation_orchestrator.bus.memory import FaultPoint
from remediation_orchestrator.bus.memory_lease import MemoryLease
from remediation_orchestrator.bus.port import LogUnreachableError, TooLargeError
from remediation_orchestrator.orchestrator.lead import LeaderSettings
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.policy import Policy
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator

from .broker import PAYLOAD_MAX, SimulatedBroker
from .clock import ProcessClock, SkewedClock
from .faults import Fault, Faults
from .line import Odds, SimulatedProcess

# Slower than in the world, where a second costs nothing: a day has 86,400 of them.
PACE = LeaderSettings(renew=30.0, look=30.0, fill=60.0, snapshot=60, records=200, together=2)
TTL = timedelta(seconds=120)
# By what machines are off whose clocks are kept, and by what others are.
OFF_SECONDS = (-7_200.0, -900.0, -30.0, -3.0, 3.0, 30.0, 900.0, 7_200.0)
# Within a lease, and far beyond.
SLEEP_SECONDS = (20.0, 200.0, 2_000.0)


class OrchestratorProcess(SimulatedProcess):
    """One orchestrator, from its start to its death."""

    def __init__(
        self, name: str, broker: SimulatedBroker, policy: Policy, crashes: float, failed: Callable[[str], None]
    ) -> None:
        slow = broker.faults.strikes(Fault.MACHINE_SLOW, 0.3)
        super().__init__(name, broker.faults.chance(Fault.MACHINE_SLOW).choice((10.0, 30.0)) if slow else 1.0)
        self._broker = broker
        self._faults: Faults = broker.faults
        self._crashes = crashes
        self._failed = failed
        self._clock = SkewedClock()
        if self._faults.strikes(Fault.CLOCK_SKEWED, 0.5):
            self._clock.rate = self._faults.chance(Fault.CLOCK_SKEWED).uniform(0.99, 1.01)
        if self._faults.strikes(Fault.CLOCK_OFF, 0.3):
            self._clock.off = self._faults.chance(Fault.CLOCK_OFF).choice(OFF_SECONDS)
        clock = ProcessClock(self._clock, looked_at=self.fold)
        self.line = broker.log(self, Odds(0.004, self._at_step), clock)
        lease = MemoryLease(broker.cell.leased, TTL, self._lease_step)
        self.service = Orchestrator(
            self.line, lease, clock, Identity(name, version("remediation-orchestrator")), policy, pace=PACE
        )
        self.task = self.begin(self.service.run())
        self.task.add_done_callback(self._ended)

    def _sleep(self, seconds: float) -> None:
        """Its machine sleeps: nothing of it goes on, and its monotonic clock does only on some systems."""
        self.freeze()
        self._broker.diary.trouble(self.name, "asleep", seconds)
        stops = self._faults.chance(Fault.MACHINE_SLEPT).random() < 0.5

        def wake() -> None:
            if stops:
                self._clock.stopped += seconds * self._clock.rate
            self.thaw()

        asyncio.get_running_loop().call_later(seconds, wake)

    def mend_clock(self) -> None:
        """Its machine's clock is set right, which a process sees that is begun anew."""
        if self._clock.off and not self.dead:
            self.crash()

    @property
    def leads(self) -> bool:
        """Whether it decides."""
        return self.service.active.is_set() and not (self.dead or self.frozen)

    @property
    def quiet(self) -> bool:
        """Whether it leads, has read everything and has nothing under way."""
        fold = self.service.fold
        at_tail = fold.read == self._broker.cell.records.last and not fold.facts
        working = self.dead or self.frozen or self.line.undecided or self._broker.cell.damage is not None
        return self.service.active.is_set() and at_tail and not working

    async def _lease_step(self, moment: FaultPoint, subject: str) -> None:
        await self.line.step(moment, subject)
        if not self._broker.lease_there:
            raise LogUnreachableError("there is no lease")

    def crash(self) -> None:
        """Kill it between two steps."""
        self.dead = True
        self._broker.diary.trouble(self.name, "crashed")
        self.task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        why = None if self.dead or task.cancelled() else task.exception()
        if why is not None and not (isinstance(why, TooLargeError) and self._broker.payload_least < PAYLOAD_MAX):
            self._failed(f"{self.name} died: {why!r}")
        if why is not None:
            self._broker.diary.trouble(self.name, "ended")
        self.dead = True

    def _at_step(self, moment: FaultPoint) -> None:
        if self.dead or self.frozen:
            return
        share = self._crashes if moment in (FaultPoint.STORE, FaultPoint.ANSWER) else self._crashes / 20
        if self._faults.strikes(Fault.ORCHESTRATOR_CRASHED, share):
            self.crash()
        elif self._faults.strikes(Fault.ORCHESTRATOR_PAUSED, share):
            self.freeze()
            seconds = self._faults.chance(Fault.ORCHESTRATOR_PAUSED).uniform(1.1, 4.0) * TTL.total_seconds()
            self._broker.diary.trouble(self.name, "paused", seconds)
            asyncio.get_running_loop().call_later(seconds, self.thaw)
        elif self._faults.strikes(Fault.MACHINE_SLEPT, share):
            self._sleep(self._faults.chance(Fault.MACHINE_SLEPT).choice(SLEEP_SECONDS))
        elif self._faults.strikes(Fault.ORCHESTRATOR_STOPPED, share / 2):
            self._broker.diary.trouble(self.name, "stopped")
            self.service.stop()


def fresh_fold(broker: SimulatedBroker, through: int) -> Fold:
    """Fold the whole log anew, with the facts up to a sequence that no frame covers yet."""
    fold = Fold()
    for message in broker.cell.history:
        fold.take(message)
    fold.fold_facts(through)
    return fold
