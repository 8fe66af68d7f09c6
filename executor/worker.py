"""Answer commands to run a workflow: claim, run, report. It never asks whether a run is wise.

A command is claimed by its id, which its subject tells: nothing that is wrong with the rest keeps it from being
claimed and answered. Somebody else's run is never run again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from remediation_orchestrator.bus.port import EventLog, LogError, StaleWriteError
from remediation_orchestrator.events import (
    CreateWorkflow,
    ExecutionId,
    Fact,
    FailureReason,
    Recorded,
    StoredMessage,
    Undecodable,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    decode,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes, attributes_of, source
from remediation_orchestrator.events.identity import position

from .binding import Bound, RefusedError, bind, find_workflow
from .catalog import Catalog, Workflow
from .claim import Ended, Free, Started, claim_id, execution_of, is_duplicate, is_lost, standing
from .lease import Delivery, DeliveryError, Lease
from .script import Failed, Job, Outcome, Stop, Succeeded

log = logging.getLogger(__name__)

# What reading a command may raise: it is nested without end, or a number in it is too large to be written.
UNREADABLE = (RecursionError, ValueError, OverflowError)

Engine = Callable[[Job, Lease, Stop], Awaitable[Outcome]]


@dataclass(frozen=True)
class Surroundings:
    """All that a worker takes from outside, so that simulation can give it its own."""

    log: EventLog
    catalog: Callable[[], Catalog]
    engine: Engine
    monotonic: Callable[[], float]
    now: Callable[[], datetime]
    environment: dict[str, str]
    retry_after: float = 0.5


@dataclass
class _Held:
    """An execution that this process has in hand. It is remembered while a claim of ours may be stored."""

    stop: Stop = field(default_factory=Stop)
    asked_at: dict[int, float] = field(default_factory=dict)
    perhaps_ours: bool = False
    begun: bool = False
    active: bool = True


class Worker:
    """One executor: its id is new at every start, so that a claim under it is surely of this process."""

    def __init__(self, executor: str, around: Surroundings) -> None:
        self.executor = executor
        self._around = around
        self._held: dict[ExecutionId, _Held] = {}

    def cancel(self, execution: ExecutionId, reason: str) -> None:
        """End a run, if it is here."""
        held = self._held.get(execution)
        if held is not None:
            held.stop.wish(reason)

    def cancel_all(self, reason: str) -> None:
        """End every run that is here."""
        for held in self._held.values():
            held.stop.wish(reason)

    async def handle(self, delivery: Delivery, lease: Lease) -> None:
        """Answer one delivery of a command. What is left unanswered is delivered again."""
        execution = execution_of(delivery.subject)
        held = self._held.get(execution)
        if held is not None and held.active:
            return  # Another slot of ours has it in hand; should that one fail, this comes again.
        held = self._held.setdefault(execution, _Held())
        held.active = True
        held.asked_at[delivery.number] = self._around.monotonic()
        answered = False
        try:
            answered = await self._answer(execution, held, delivery, lease)
        finally:
            held.active = False
            if answered or not held.perhaps_ours:
                del self._held[execution]
        if answered:
            await self._acknowledge(delivery)

    async def _answer(self, execution: ExecutionId, held: _Held, delivery: Delivery, lease: Lease) -> bool:
        """Bring an execution to its end, or find it there; False where somebody else may still do so."""
        subject = subjects.execution(self._around.log.cell, execution)
        await self._claim(subject, execution, held, delivery, lease)
        found = await self._found(subject, lease)
        if found is None:
            return False
        match standing(found):
            case Ended():
                return True
            case Started(executor=self.executor) as start:
                return await self._run(subject, start, held, delivery, lease)
            case Started() as start:
                return await self._meet(subject, start, delivery)
            case Free(sequence):
                await self._report_lost(subject, sequence, delivery)
                return True

    async def _claim(
        self, subject: str, execution: ExecutionId, held: _Held, delivery: Delivery, lease: Lease
    ) -> None:
        """Try to be the first on the execution's subject. Who was, is read afterwards."""
        version, digest = self._describe(delivery)
        claim = WorkflowStarted(execution, executor=self.executor, version=version, digest=digest)
        payload = encode(claim, self._attributes(claim_id(delivery), delivery))
        while not lease.lost:
            try:
                await self._around.log.append(subject, payload, expect=0)
            except StaleWriteError:
                return
            except LogError as error:
                held.perhaps_ours = True
                log.warning("unclaimed", extra={"execution": execution, "error": str(error)})
                await asyncio.sleep(self._around.retry_after)
            else:
                held.perhaps_ours = True
                log.info("claimed", extra={"execution": execution, "executor": self.executor})
                return

    def _describe(self, delivery: Delivery) -> tuple[str, str]:
        """The version and the digest of the workflow's file, where they can be told; no claim waits for them."""
        try:
            workflow = find_workflow(self._around.catalog(), self._read(delivery).workflow.id)
        except (RefusedError, *UNREADABLE):
            return "", ""
        return workflow.says.version, workflow.digest

    async def _found(self, subject: str, lease: Lease) -> StoredMessage | None:
        """Read the newest record of the execution; None where nobody could be asked in time."""
        while not lease.lost:
            try:
                return await self._around.log.last(subject)
            except LogError as error:
                log.warning("unread", extra={"subject": subject, "error": str(error)})
                await asyncio.sleep(self._around.retry_after)
        return None

    async def _meet(self, subject: str, start: Started, delivery: Delivery) -> bool:
        """Answer for somebody else's run, if it is lost. It is never run again."""
        if is_duplicate(start, delivery):
            return True
        if not is_lost(start, delivery):
            log.info(
                "left", extra={"command": delivery.subject, "to": start.executor, "delivery": delivery.number}
            )
            return False  # Whoever runs it confirms another delivery; unconfirmed, this one comes again.
        await self._report_lost(subject, start.sequence, delivery)
        return True

    async def _report_lost(self, subject: str, sequence: int, delivery: Delivery) -> None:
        message = "its executor is gone; what it did to the target is not known"
        await self._report(subject, sequence, Failed(FailureReason.EXECUTOR_LOST, message, ran=True), delivery)

    async def _run(self, subject: str, start: Started, held: _Held, delivery: Delivery, lease: Lease) -> bool:
        if held.begun:
            await self._report_lost(subject, start.sequence, delivery)
            return True
        held.begun = True
        outcome = await self._perform(start, held, delivery, lease)
        await self._report(subject, start.sequence, outcome, delivery)
        return True

    async def _perform(self, start: Started, held: _Held, delivery: Delivery, lease: Lease) -> Outcome:
        """Run a command that is claimed, or say why it cannot be run."""
        try:
            workflow, bound, command = self._prepare(delivery)
        except RefusedError as refused:
            return Failed(refused.reason, str(refused), ran=False)
        except UNREADABLE as error:
            return Failed(FailureReason.CONFIGURATION_ERROR, f"{type(error).__name__}: {error}", ran=False)
        now = self._around.monotonic()
        # The claim was stored after we asked for it, so the broker's clock is never ahead of this reading of it.
        asked_at = held.asked_at.get(start.delivery or delivery.number, min(held.asked_at.values()))
        start_by = asked_at + (command.start_before - start.recorded_at).total_seconds()
        deadline = asked_at + (command.deadline - start.recorded_at).total_seconds()
        if workflow.says.timeout is not None:
            deadline = min(deadline, now + workflow.says.timeout.total_seconds())
        if now > start_by or now >= deadline:
            return Failed(FailureReason.DEADLINE_EXCEEDED, "too late to begin", ran=False)
        if held.stop.wished.is_set():
            return Failed(FailureReason.TASK_FAILED, f"cancelled before it began: {held.stop.reason}", ran=False)
        if lease.lost:
            return Failed(FailureReason.EXECUTOR_LOST, "the claim was not confirmed in time to begin", ran=False)
        # Should an engine break its promise and raise, the command comes again, and is then reported lost.
        return await self._around.engine(Job(bound, start_by, deadline), lease, held.stop)

    def _prepare(self, delivery: Delivery) -> tuple[Workflow, Bound, CreateWorkflow]:
        command = self._read(delivery)
        workflow = find_workflow(self._around.catalog(), command.workflow.id)
        return workflow, bind(workflow, command, self._around.environment), command

    def _read(self, delivery: Delivery) -> CreateWorkflow:
        """Read the whole command. Raises RefusedError saying what is wrong with it."""
        stored = StoredMessage(delivery.sequence, self._around.now(), delivery.subject, delivery.payload)
        match decode(stored):
            case [Recorded(event=CreateWorkflow() as command)]:
                if command.execution == execution_of(delivery.subject):
                    return command
                wrong = f"it is about {command.execution!r:.200}"
            case [Undecodable(message=message)]:
                wrong = f"{message:.1000}"
            case _:
                wrong = "it is not one CreateWorkflow"
        raise RefusedError(FailureReason.CONFIGURATION_ERROR, f"the command cannot be read: {wrong}")

    async def _report(self, subject: str, sequence: int, outcome: Outcome, delivery: Delivery) -> None:
        """Tell the end of a run, for as long as it takes; the fence lets it be told once."""
        execution = execution_of(delivery.subject)
        fact = self._fact(execution, outcome, delivery)
        payload = encode(fact, self._attributes(f"end-{sequence}", delivery, whole=True))
        while True:
            try:
                await self._around.log.append(subject, payload, expect=sequence)
            except StaleWriteError:
                log.info("already told", extra={"execution": execution})
                return
            except LogError as error:
                log.warning("untold", extra={"execution": execution, "error": str(error)})
                await asyncio.sleep(self._around.retry_after)
            else:
                reason = fact.reason if isinstance(fact, WorkflowFailed) else ""
                log.info("ended", extra={"execution": execution, "event": type(fact).__name__, "reason": reason})
                return

    def _fact(self, execution: ExecutionId, outcome: Outcome, delivery: Delivery) -> Fact:
        if isinstance(outcome, Succeeded):
            return WorkflowCompleted(execution, outcome.output)
        return WorkflowFailed(
            execution=execution,
            reason=outcome.reason,
            message=outcome.message,
            was_execution_failure=outcome.ran,
            idempotent=self._is_idempotent(delivery),
            exit_code=outcome.exit_code,
        )

    def _is_idempotent(self, delivery: Delivery) -> bool:
        """What the catalog says of the command's workflow; False where either cannot be read."""
        try:
            return find_workflow(self._around.catalog(), self._read(delivery).workflow.id).says.idempotent
        except (RefusedError, *UNREADABLE):
            return False

    def _attributes(self, event_id: str, delivery: Delivery, *, whole: bool = False) -> Attributes:
        """The attributes of a fact; with `whole`, what the command's own attributes say about its cause."""
        cause = _cause(delivery) if whole else None
        return Attributes(
            id=event_id,
            source=source(self._around.log.cell, f"executor/{self.executor}"),
            time=self._around.now(),
            subject=cause.subject if cause else "",
            causationid=position(delivery.sequence),
            correlationid=cause.correlationid if cause else "",
            traceparent=cause.traceparent if cause else "",
        )

    async def _acknowledge(self, delivery: Delivery) -> None:
        try:
            await delivery.acknowledge()
        except DeliveryError as error:  # It comes again, and its end is found.
            log.warning("unacknowledged", extra={"command": delivery.subject, "error": str(error)})


def _cause(delivery: Delivery) -> Attributes | None:
    try:
        return attributes_of(delivery.payload)
    except UNREADABLE:
        return None
