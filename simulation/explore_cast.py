"""Who lives in a small world: real orchestrators, workers and analysers, and people and sources with a plan."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from remediation_orchestrator.bus.behind import append_behind
from remediation_orchestrator.bus.port import LogError
from remediation_orchestrator.events import CancelWorkflow, FailureReason, Recorded, StoredMessage, decode
from remediation_orchestrator.events.subjects import parse
from remediation_orchestrator.executor.analyser import Analyser
from remediation_orchestrator.executor.catalog import Catalog
from remediation_orchestrator.executor.claim import DELIVERIES_OF_A_LOST_RUN
from remediation_orchestrator.executor.engine import Failed, Run, RunOutcome, Stop, Succeeded
from remediation_orchestrator.executor.engines.script import Script
from remediation_orchestrator.executor.lease import ClaimLease, ConfirmSchedule, confirming
from remediation_orchestrator.executor.local import LocalEngine
from remediation_orchestrator.executor.ports import Ports
from remediation_orchestrator.executor.worker import Worker
from remediation_orchestrator.executor.workflow_file import MatchRule, Workflow, WorkflowFile
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT, Timeouts
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator

from .clock import ProcessClock, SkewedClock
from .explore_gate import CallKind
from .explore_handed import environment_of, handed_over
from .explore_ports import ACK_WAIT, ExploredDelivery, GatedLease, GatedLog
from .orchestrators import PACE, TTL
from .scripts import last

if TYPE_CHECKING:
    from .explore_stage import ExploredStage

SLOTS = 2
# What a dead process's successor takes to be there; and a refused source, to try again.
RESTART_SECONDS = 3.0
VERSION = version("remediation-orchestrator")


def catalog(*, others: bool = False) -> Catalog:
    """Workflows that may be repeated, and one that may not; of others' files of the same names all may."""
    program = Script(command=[sys.executable, "{target.name}"])  # Surely there, and never begun.
    files = [
        WorkflowFile(id="restart", idempotent=True, match=[MatchRule(name="Slow")]),
        WorkflowFile(id="repair", idempotent=others),
        WorkflowFile(id="reload", idempotent=True),
    ]
    folder = Path("/catalog")
    return Catalog(
        {one.id: Workflow(one, program, folder / f"{one.id}.yaml", f"{one.id}{others}") for one in files}
    )


class OrchestratorRole:
    """One orchestrator process. A dead one is replaced by another of a new name."""

    def __init__(self, stage: "ExploredStage", name: str) -> None:
        self._stage = stage
        self.actor = stage.enter(name, TTL.total_seconds(), self._crash)
        self.log = GatedLog(stage.cell, stage.gate, self.actor)
        lease = GatedLease(stage.cell, timedelta(seconds=TTL.total_seconds()), stage.gate, self.actor)
        identity = Identity(name, VERSION)
        policy = msgspec.structs.replace(DEFAULT, timeouts=Timeouts(starting=stage.world.starting))
        self.service = Orchestrator(self.log, lease, ProcessClock(SkewedClock()), identity, policy, PACE)
        self.actor.stop = self._stop
        self._task = stage.spawn(self.actor, self.service.run())

    @property
    def leads(self) -> bool:
        """Whether it decides, and has read all that there is."""
        fold = self.service.fold
        at_tail = fold.read == len(self._stage.cell.messages) and not fold.facts
        return not self.actor.dead and self.service.active.is_set() and at_tail

    def _crash(self) -> None:
        self._task.cancel()
        self._stage.later(RESTART_SECONDS, self._replace)

    def _stop(self) -> None:
        self.actor.stop = None
        self.service.stop()
        self._stage.later(RESTART_SECONDS, self._replace)

    def _replace(self) -> None:
        OrchestratorRole(self._stage, self._stage.another("o")).enter()

    def enter(self) -> None:
        """Be one of those that the stage knows."""
        self._stage.orchestrators.append(self)


class ExecutorRole:
    """One executor process: slots, an analyser, and scripts that run only in the ledger."""

    def __init__(self, stage: "ExploredStage", name: str) -> None:
        self._stage = stage
        self.actor = stage.enter(name, DELIVERIES_OF_A_LOST_RUN * ACK_WAIT, self._crash)
        self._clock = SkewedClock()
        self._under: dict[ClaimLease, ExploredDelivery] = {}
        """Under which delivery each lease is held."""
        log = GatedLog(stage.cell, stage.gate, self.actor)
        served = stage.catalog_of(name)
        engines = {"script": LocalEngine(self._script)}
        self._worker = Worker(name, Ports(log, lambda: served, engines, self._clock.read, stage.now, {}))
        self._analyser = Analyser(name, log, lambda: served, stage.now)
        works = [self._work() for _ in range(SLOTS)]
        self._tasks = [stage.spawn(self.actor, one) for one in (*works, self._analyse(), self._hear())]

    def _crash(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._stage.later(RESTART_SECONDS, self._replace)

    def _replace(self) -> None:
        ExecutorRole(self._stage, self._stage.another("e"))

    async def _work(self) -> None:
        while True:
            delivery = await self._stage.workflows.take(self.actor)
            made_at = self._clock.read(delivery.made_at)
            async with confirming(delivery, ConfirmSchedule(ACK_WAIT), self._clock.read, made_at) as lease:
                self._under[lease] = delivery
                await self._worker.handle(delivery, lease)
                del self._under[lease]

    async def _analyse(self) -> None:
        while True:
            await self._analyser.handle(await self._stage.analyses.take(self.actor))

    async def _hear(self) -> None:
        """Every executor hears every cancel that is stored from now on."""
        sequence = len(self._stage.cell.messages)
        while True:
            await self._stage.cell.beyond(sequence)
            await self.actor.runs()
            for message in self._stage.cell.messages[sequence:]:
                self._cancel(message)
            sequence = len(self._stage.cell.messages)

    def _cancel(self, message: StoredMessage) -> None:
        if ".command.cancel." not in message.subject:
            return
        for record in decode(message):
            if isinstance(record, Recorded) and isinstance(record.event, CancelWorkflow):
                self._worker.cancel(record.event.execution, record.event.reason)

    async def _script(self, run: Run, stop: Stop) -> RunOutcome:
        """Touch the target for a while, as long as the supervisor would let it."""
        lease, environment = run.lease, environment_of(run)
        self._stage.life.wrong += handed_over(self._stage, run, stop, self._under[lease])
        await self._stage.gate.call(self.actor, CallKind.BEGIN)
        if lease.lost or self._clock.read() > run.start_by:
            return Failed(FailureReason.EXECUTOR_LOST, "too late to begin", ran=False)
        with self._stage.touching(environment, lease.pace.kill_grace):
            why = await last(self._stage.world.run_seconds, run, stop, self._clock.read)
        await self.actor.runs()
        if why is not None:
            return Failed(why, "killed", ran=True)
        if self._stage.fails(environment["RO_EXECUTION"]):
            return Failed(FailureReason.TASK_FAILED, "exit code 1", ran=True, exit_code=1)
        return Succeeded("")


class Teller:
    """A source or a person who publishes what was planned, each when its time has come."""

    def __init__(self, stage: "ExploredStage", name: str, acts: Callable[["Teller"], Awaitable[None]]) -> None:
        self._stage = stage
        self.actor = stage.enter(name, 0.0, lambda: None)
        self.actor.crashes = False
        self.log = GatedLog(stage.cell, stage.gate, self.actor)
        self._acts = acts
        self.acting = True
        """Whether it has something to say that waits for nothing."""
        stage.spawn(self.actor, self._act())

    async def _act(self) -> None:
        await self._acts(self)
        self.acting = False

    async def publish(self, subject: str, payload: bytes) -> int:
        """Publish until it is acknowledged, under one message id, and as an operator behind what stood there."""
        number = f"{self.actor.name}-{subject}-{len(payload)}"
        fenced = parse(subject).family.is_fenced
        while True:
            try:
                if fenced:
                    sequence = await append_behind(self.log, subject, payload, message_id=number)
                else:
                    sequence = await self.log.append(subject, payload, message_id=number)
            except LogError:
                await asyncio.sleep(RESTART_SECONDS)
            else:
                self._stage.accepted.append((sequence, payload))
                return sequence

    async def until(self, word: str) -> StoredMessage:
        """Wait for the first record whose subject or bytes have a word in them."""
        sequence = 0
        while True:
            self.acting = False
            await self._stage.cell.beyond(sequence)
            for message in self._stage.cell.messages[sequence:]:
                if word in message.subject or word.encode() in message.payload:
                    self.acting = True
                    return message
            sequence = len(self._stage.cell.messages)
