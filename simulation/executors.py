"""Simulated executors: the real worker and analyser, and in the place of scripts what scripts do to a target.

A script here is only the time in which it touches its target. It ends as the supervisor would end it: at its
deadline, when cancelled, when its claim is no longer confirmed, and when its executor dies."""

import asyncio
import random
import sys
from contextlib import suppress
from pathlib import Path

from remediation_orchestrator.bus.behind import append_behind
from remediation_orchestrator.bus.memory import FaultPoint
from remediation_orchestrator.bus.port import DeliveryError, LogError
from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalyzeSignal,
    CancelWorkflow,
    FailureReason,
    Recorded,
    StoredMessage,
    Target,
    WorkflowRef,
    decode,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.executor.analyser import Analyser
from remediation_orchestrator.executor.catalog import Catalog
from remediation_orchestrator.executor.engine import Failed, Run, RunOutcome, Stop, Succeeded
from remediation_orchestrator.executor.engines.script import Script
from remediation_orchestrator.executor.lease import ClaimLease, ConfirmSchedule, confirming
from remediation_orchestrator.executor.local import LocalEngine
from remediation_orchestrator.executor.ports import Ports
from remediation_orchestrator.executor.program import Program
from remediation_orchestrator.executor.worker import Worker
from remediation_orchestrator.executor.workflow_file import MatchRule, Workflow, WorkflowFile

from .broker import ACK_WAIT, SimulatedBroker, SimulatedDelivery
from .clock import SkewedClock, broker_now, passed
from .diary import Touch
from .faults import Fault, Faults
from .line import CELL, Odds, SimulatedProcess
from .scripts import last

SLOTS = 3
ANALYSED = "analysed-"
"""How the names of the signals begin that the catalog's rules know."""


SERVED = ("restart", "repair", "short")
"""What executors have; each signal names one of these, or is analysed by their rules."""
LACKING = ("absent", "foreign")
"""What no executor has, or none can run, before somebody puts it into their catalogs."""


def catalog(*without: str) -> Catalog:
    """The workflows of an executor: all of them, without these."""
    files = [
        WorkflowFile(id="restart", idempotent=True, match=[_rule("restart")]),
        WorkflowFile.model_validate(
            {"id": "repair", "timeout": "2h", "match": [_rule("repair"), _rule("restart", after=2)]}
        ),
        WorkflowFile.model_validate({"id": "short", "idempotent": True, "timeout": "60s"}),
        WorkflowFile(id="absent"),
        WorkflowFile(id="foreign", idempotent=True),
    ]
    whole = [one for one in files if one.id not in without]
    whole += [WorkflowFile(id="foreign", engine="ansible")] if "foreign" in without else []
    return Catalog(
        {one.id: Workflow(one, _script(), Path("/catalog") / f"{one.id}.yaml", one.id) for one in whole}
    )


def _rule(name: str, after: int = 0) -> MatchRule:
    return MatchRule(name=f"{ANALYSED}{name}", after=after)


def _script() -> Script:
    return Script(command=[sys.executable, "{target.name}"])  # A program that is surely there; it is never begun.


class Executor(SimulatedProcess):
    """One executor process: a worker with its slots, an analyser, and scripts that run only in the ledger."""

    def __init__(self, name: str, broker: SimulatedBroker, served: Catalog, clock: SkewedClock) -> None:
        super().__init__(name)
        self.works = True
        self._broker = broker
        self._clock = clock
        self._faults: Faults = broker.faults
        self._dice = random.Random(f"{name}:scripts")
        self._log = log = broker.log(self, Odds(0.02, self._at_step))
        self.served = served
        self._under: dict[ClaimLease, SimulatedDelivery] = {}
        """Under which delivery each lease is held."""
        engines = {"script": LocalEngine(self._script)}
        self._worker = Worker(name, Ports(log, lambda: self.served, engines, clock.read, broker_now, {}))
        whole = catalog()  # Whoever analyses knows all; what an executor lacks is another's.
        self._analyser = Analyser(name, log, lambda: whole, broker_now)
        self.tasks = [self.begin(self._work()) for _ in range(SLOTS)]
        self.tasks.append(self.begin(self._analyse()))
        broker.cancels.append(self._cancel)

    def crash(self) -> None:
        """Kill it: nothing of it goes on, and its scripts die with it."""
        self.dead = True
        self._broker.cancels.remove(self._cancel)
        for task in self.tasks:
            task.cancel()

    def _at_step(self, moment: FaultPoint) -> None:
        if self.dead or self.frozen:
            return
        if self._faults.strikes(Fault.EXECUTOR_CRASHED, 0.006):
            self.crash()
        elif self._faults.strikes(Fault.EXECUTOR_PAUSED, 0.006):
            self.freeze()
            seconds = self._faults.chance(Fault.EXECUTOR_PAUSED).uniform(0.5, 4.0) * ACK_WAIT
            asyncio.get_running_loop().call_later(seconds, self.thaw)

    async def _work(self) -> None:
        while True:
            delivery = await self._broker.workflows.pull(self)
            made_at = self._clock.read(delivery.made_at)
            async with confirming(delivery, ConfirmSchedule(ACK_WAIT), self._clock.read, made_at) as lease:
                self._under[lease] = delivery
                await self._worker.handle(delivery, lease)
                del self._under[lease]

    async def _analyse(self) -> None:
        while True:
            delivery = await self._broker.analyses.pull(self)
            if self._faults.strikes(Fault.APPROVAL_ASKED, 0.15):
                await self._ask_for_approval(delivery)
            else:
                await self._analyser.handle(delivery)

    async def _ask_for_approval(self, delivery: SimulatedDelivery) -> None:
        """Another analyser, unsure of itself, which forgets the command where its answer fails."""
        for record in decode(delivery.command):
            if isinstance(record, Recorded) and isinstance(record.event, AnalyzeSignal):
                asked = record.event
                answers = asked.analysis if len(asked.tried) % 2 else asked.remediation  # The first one's id.
                fact = AnalysisCompleted(
                    asked.remediation, asked.target, WorkflowRef("restart"), 0.7, True, analysis=answers
                )
                attributes = Attributes(id=f"{asked.analysis}.unsure", source="/unsure", time=broker_now())
                subject, payload = subjects.analysis(CELL, asked.remediation), encode(fact, attributes)
                with suppress(LogError, DeliveryError):
                    await append_behind(self._log, subject, payload, message_id=attributes.id)
                    await delivery.acknowledge()

    def _cancel(self, message: StoredMessage) -> None:
        self.tasks.append(self.begin(self._cancel_when_running(message)))

    async def _cancel_when_running(self, message: StoredMessage) -> None:
        await self.runs()
        for record in decode(message):
            if isinstance(record, Recorded) and isinstance(record.event, CancelWorkflow):
                self._worker.cancel(record.event.execution, record.event.reason)

    async def _script(self, run: Run, stop: Stop) -> RunOutcome:
        """Touch the target for a while, and say how it went."""
        if self._faults.strikes(Fault.RUN_REFUSED, 0.05):
            return Failed(FailureReason.CONFIGURATION_ERROR, "the program cannot be started", ran=False)
        seconds = self._dice.uniform(1.0, 90.0)
        if self._faults.strikes(Fault.RUN_SLOW, 0.15):
            seconds = self._faults.chance(Fault.RUN_SLOW).uniform(90.0, 4_000.0)
        failing = self._faults.strikes(Fault.RUN_FAILED, 0.35)
        touch = self._begin(run, self._under[run.lease])
        try:
            why = await self._last(seconds, run, stop, touch)
            touch.ended = passed()
        finally:
            if touch.ended is None:  # Its executor died: the supervisor sees the pipe close, and ends it.
                touch.ended = passed() + run.lease.pace.kill_grace
        await self.runs()
        if why is not None:
            return Failed(why, "killed", ran=True)
        if failing:
            return Failed(FailureReason.TASK_FAILED, "exit code 1", ran=True, exit_code=1)
        return Succeeded("")

    def _begin(self, run: Run, delivery: SimulatedDelivery) -> Touch:
        """A script begins: the world writes down at what."""
        assert isinstance(run.plan, Program)
        about = run.plan.environment
        target = Target(
            name=about["RO_TARGET_NAME"],
            cluster=about["RO_TARGET_CLUSTER"],
            namespace=about["RO_TARGET_NAMESPACE"],
            kind=about["RO_TARGET_KIND"],
        )
        execution = about["RO_EXECUTION"]
        touch = Touch(execution, target, self.name, delivery.command.sequence, delivery.made_at, passed())
        self._broker.diary.touches.append(touch)
        return touch

    async def _last(self, seconds: float, run: Run, stop: Stop, touch: Touch) -> FailureReason | None:
        """Wait as long as the script runs, or is killed; return why it was, if it was."""
        why = await last(seconds, run, stop, self._clock.read)
        if why is not None:
            takes = self._dice.uniform(0.0, run.lease.pace.kill_grace)
            touch.ended = passed() + takes  # Its supervisor ends it, whatever becomes of its executor meanwhile.
            await asyncio.sleep(takes)
        return FailureReason.TASK_FAILED if why is not None and stop.wished.is_set() else why
