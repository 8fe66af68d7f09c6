"""Answer commands to run a workflow: claim, run, report. It never asks whether a run is wise.

What it cannot run it leaves to others, and claims nothing. What it has claimed it answers, as what it was when it
was claimed. Somebody else's run is never run again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from remediation_orchestrator.bus.port import Delivery, DeliveryError, EventLog, LogError, StaleWriteError
from remediation_orchestrator.events import (
    ExecutionId,
    Fact,
    FailureReason,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    encode,
)
from remediation_orchestrator.events.codec import Attributes, attributes_of, source
from remediation_orchestrator.events.identity import position

from .assignment import Assignment, Junk, NotServed, assign
from .catalog import Catalog
from .claim import Ended, Free, Started, claim_id, execution_of, is_duplicate, is_lost
from .lease import Lease
from .place import Place
from .script import Failed, Job, Outcome, Stop, Succeeded

log = logging.getLogger(__name__)

# Of so many workflows that are not served it is remembered that it was said; far more than a cell has.
UNSERVED_MAX = 1_000

Engine = Callable[[Job, Lease, Stop], Awaitable[Outcome]]
Look = Callable[[], Awaitable[str | None]]
"""Says why a log is not whole; None where nothing shows that. Raises LogError."""


async def believe() -> str | None:
    """Take a log for whole."""
    return None


async def as_it_is() -> None:
    """Leave a catalog that does not change."""


@dataclass(frozen=True)
class Surroundings:
    """All that a worker takes from outside, so that simulation can give it its own."""

    log: EventLog
    catalog: Callable[[], Catalog]
    engine: Engine
    monotonic: Callable[[], float]
    now: Callable[[], datetime]
    environment: dict[str, str]
    why_not_whole: Look = believe
    retry_after: float = 0.5
    refresh: Callable[[], Awaitable[None]] = as_it_is
    """Brings the catalog up to date before it is asked."""


@dataclass
class _Held:
    """An execution that this process has in hand. It is remembered while a claim of ours may be stored."""

    place: Place
    assignment: Assignment | None = None
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
        self._unserved: set[tuple[str, str]] = set()

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
        execution = execution_of(delivery.command.subject)
        held = self._held.get(execution)
        if held is not None and held.active:
            return  # Another slot of ours has it in hand; should that one fail, this comes again.
        held = self._held.setdefault(execution, _Held(Place(self._around.log, execution)))
        held.active = True
        held.asked_at.setdefault(delivery.number, self._around.monotonic())
        answered = False
        try:
            answered = await self._answer(held, delivery, lease)
        finally:
            held.active = False
            if answered or not held.perhaps_ours:
                del self._held[execution]
        if answered:
            await self._acknowledge(delivery)

    async def _assign(self, delivery: Delivery) -> Assignment | NotServed | Junk:
        await self._around.refresh()
        return assign(delivery.command, self._around.catalog(), self._around.environment)

    async def _answer(self, held: _Held, delivery: Delivery, lease: Lease) -> bool:
        """Bring an execution to its end, or find it there; False where somebody else may still do so."""
        found = held.assignment or await self._assign(delivery)
        match found:
            case Junk(why):
                log.warning("ignored", extra={"command": delivery.command.subject, "why": why})
                return True
            case NotServed():
                await self._look(held.place, lease)
            case Assignment():
                held.assignment = found
                await self._claim(held, found, delivery, lease)
        match held.place.standing:
            case Free():
                if isinstance(found, NotServed) and not lease.lost:
                    await self._pass_on(found, delivery, lease)
                return False
            case Ended():
                return True
            case Started(executor=self.executor) as start if held.assignment is not None:
                return await self._run(held, held.assignment, start, delivery, lease)
            case start:
                return await self._meet(held, start, delivery)

    async def _claim(self, held: _Held, assignment: Assignment, delivery: Delivery, lease: Lease) -> None:
        """Try to be the first on the execution's subject. Who was, is read afterwards."""
        place, workflow = held.place, assignment.workflow
        execution = assignment.command.execution
        claim = WorkflowStarted(
            execution, executor=self.executor, version=workflow.says.version, digest=workflow.digest
        )
        payload = encode(claim, self._attributes(claim_id(delivery), delivery))
        while isinstance(place.standing, Free) and not lease.lost:
            try:
                sequence = await place.append(payload)
            except StaleWriteError:
                await self._look_again(place, lease)
            except LogError as error:
                held.perhaps_ours = True
                log.warning("unclaimed", extra={"execution": execution, "error": str(error)})
                await asyncio.sleep(self._around.retry_after)
            else:
                held.perhaps_ours = True
                log.info("claimed", extra={"execution": execution, "executor": self.executor})
                await self._look(place, lease, until=sequence)

    async def _look(self, place: Place, lease: Lease | None, until: int | None = None) -> None:
        """Read what stands on an execution's subject, for as long as there is time."""
        while lease is None or not lease.lost:
            try:
                await place.look(until)
            except LogError as error:
                log.warning("unread", extra={"error": str(error)})
                await asyncio.sleep(self._around.retry_after)
            else:
                return

    async def _look_again(self, place: Place, lease: Lease | None) -> None:
        """Read on after a refusal, which says that something is there."""
        before = place.last
        await self._look(place, lease)
        if place.last == before:
            await asyncio.sleep(self._around.retry_after)

    async def _pass_on(self, found: NotServed, delivery: Delivery, lease: Lease) -> None:
        """Leave a command to others: it is delivered again, to whoever asks then."""
        if (found.workflow, found.why) not in self._unserved:
            if len(self._unserved) >= UNSERVED_MAX:
                self._unserved.clear()
            self._unserved.add((found.workflow, found.why))
            log.warning("left to others", extra={"workflow": f"{found.workflow:.200}", "why": f"{found.why:.200}"})
        try:
            await delivery.pass_on(lease.pace.pass_on_after(delivery.number))
        except DeliveryError as error:  # It comes again by itself, only later.
            log.warning("not passed on", extra={"command": delivery.command.subject, "error": str(error)})

    async def _meet(self, held: _Held, start: Started, delivery: Delivery) -> bool:
        """Answer for a run that nobody here is at, if it is lost. It is never run again."""
        if is_duplicate(start, delivery):
            return True
        if not is_lost(start, delivery):
            said = {"command": delivery.command.subject, "to": start.executor, "delivery": delivery.number}
            log.info("left", extra=said)
            return False  # Whoever runs it confirms it; where nobody does, this comes again.
        found = await self._assign(delivery)
        # What it ran is known only if it was claimed under the file that we have.
        known = isinstance(found, Assignment) and found.workflow.digest == start.digest
        await self._report_lost(held, found if isinstance(found, Assignment) and known else None, start, delivery)
        return True

    async def _report_lost(
        self, held: _Held, assignment: Assignment | None, start: Started, delivery: Delivery
    ) -> None:
        message = "its executor is gone; what it did to the target is not known"
        outcome = Failed(FailureReason.EXECUTOR_LOST, message, ran=True)
        await self._report(held, assignment, start, outcome, delivery)

    async def _run(
        self, held: _Held, assignment: Assignment, start: Started, delivery: Delivery, lease: Lease
    ) -> bool:
        if held.begun:  # An engine broke its promise and raised: nobody knows what it did.
            await self._report_lost(held, assignment, start, delivery)
            return True
        held.begun = True
        lease.prove = partial(self._prove, held)
        outcome = await self._perform(assignment, start, held, delivery, lease)
        lease.prove = None
        await self._report(held, assignment, start, outcome, delivery)
        return True

    async def _prove(self, held: _Held) -> None:
        """See that nobody has told the end of our run. Where somebody has, it stands, and the run is to end."""
        await held.place.look()
        if isinstance(held.place.standing, Ended):
            held.stop.wish("another has told its end")

    async def _perform(
        self, assignment: Assignment, start: Started, held: _Held, delivery: Delivery, lease: Lease
    ) -> Outcome:
        """Run what is claimed, or say why it cannot be run."""
        if isinstance(assignment.plan, Failed):
            return assignment.plan
        why = await self._why_not_whole(lease)
        if why is not None:
            message = f"not begun, but perhaps it was before: the log is not whole: {why}"
            return Failed(FailureReason.EXECUTOR_LOST, message, ran=True)
        now = self._around.monotonic()
        # The claim was stored after we asked for it, so the broker's clock is never ahead of this reading of it.
        asked_at = held.asked_at[delivery.number]
        begun = assignment.moment(start.recorded_at)
        start_by = asked_at + (assignment.command.start_before - begun).total_seconds()
        deadline = asked_at + (assignment.command.deadline - begun).total_seconds()
        if assignment.workflow.says.timeout is not None:
            deadline = min(deadline, now + assignment.workflow.says.timeout.total_seconds())
        if now > start_by or now >= deadline:
            return Failed(FailureReason.DEADLINE_EXCEEDED, "too late to begin", ran=False)
        if held.stop.wished.is_set():
            return Failed(FailureReason.TASK_FAILED, f"cancelled before it began: {held.stop.reason}", ran=False)
        # Another delivery's lease does not bring back the one that the claim was made under.
        if lease.lost or start.delivery != delivery.number:
            return Failed(FailureReason.EXECUTOR_LOST, "the claim was not confirmed in time to begin", ran=False)
        # Should an engine break its promise and raise, the command comes again, and is then reported lost.
        return await self._around.engine(Job(assignment.plan, start_by, deadline), lease, held.stop)

    async def _why_not_whole(self, lease: Lease) -> str | None:
        """Why nobody knows whether this run was begun before: its first claim may be what the log has lost."""
        while not lease.lost:
            try:
                return await self._around.why_not_whole()
            except LogError as error:
                log.warning("the log cannot be looked at", extra={"error": str(error)})
                await asyncio.sleep(self._around.retry_after)
        return None  # It is too late to begin in any case.

    async def _report(
        self, held: _Held, assignment: Assignment | None, start: Started, outcome: Outcome, delivery: Delivery
    ) -> None:
        """Tell the end of a run, for as long as it takes; the fence lets it be told once."""
        place, execution = held.place, execution_of(delivery.command.subject)
        fact = _fact(execution, outcome, idempotent=assignment is not None and assignment.workflow.says.idempotent)
        payload = encode(fact, self._attributes(f"end-{start.sequence}", delivery))
        while not isinstance(place.standing, Ended):
            try:
                await place.append(payload)
            except StaleWriteError:
                await self._look_again(place, None)
            except LogError as error:
                log.warning("untold", extra={"execution": execution, "error": str(error)})
                await asyncio.sleep(self._around.retry_after)
            else:
                reason = fact.reason if isinstance(fact, WorkflowFailed) else ""
                log.info("ended", extra={"execution": execution, "event": type(fact).__name__, "reason": reason})
                return
        log.info("already told", extra={"execution": execution})

    def _attributes(self, event_id: str, delivery: Delivery) -> Attributes:
        """The attributes of a fact, with what the command's own say about its cause."""
        cause = attributes_of(delivery.command.payload)
        return Attributes(
            id=event_id,
            source=source(self._around.log.cell, f"executor/{self.executor}"),
            time=self._around.now(),
            subject=cause.subject if cause else "",
            causationid=position(delivery.command.sequence),
            correlationid=cause.correlationid if cause else "",
            traceparent=cause.traceparent if cause else "",
        )

    async def _acknowledge(self, delivery: Delivery) -> None:
        try:
            await delivery.acknowledge()
        except DeliveryError as error:  # It comes again, and its end is found.
            log.warning("unacknowledged", extra={"command": delivery.command.subject, "error": str(error)})


def _fact(execution: ExecutionId, outcome: Outcome, *, idempotent: bool) -> Fact:
    if isinstance(outcome, Succeeded):
        return WorkflowCompleted(execution, outcome.output)
    return WorkflowFailed(
        execution=execution,
        reason=outcome.reason,
        message=outcome.message,
        was_execution_failure=outcome.ran,
        idempotent=idempotent,
        exit_code=outcome.exit_code,
    )
