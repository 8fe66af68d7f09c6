"""Answer one delivery of a command: claim the run, have its engine run it, tell its end.

What it cannot run it leaves to others, and claims nothing. What it has claimed it answers, as what it was when it
was claimed. Somebody else's run is never run again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from remediation_orchestrator.bus.port import Delivery, LogError, StaleWriteError
from remediation_orchestrator.events import (
    ExecutionId,
    Fact,
    FailureReason,
    StoredMessage,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes, attributes_of, event_source
from remediation_orchestrator.events.identity import position

from .assignment import Assignment, Junk, NotServed, assign, deadline_of
from .claim import Closed, ExecutionSubject, Free, Started, claim_id, execution_of, is_duplicate, is_lost
from .engine import Absent, Ended, Engine, Failed, Foreign, Run, Running, RunOutcome, Stop, Succeeded
from .lease import ClaimLease
from .ports import Ports

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

LOST = Failed(
    FailureReason.EXECUTOR_LOST, "its executor is gone; what it did to the target is not known", ran=True
)


@dataclass
class InHand:
    """An execution that this process has in hand. It is remembered while a claim of ours may be stored."""

    place: ExecutionSubject
    assignment: Assignment | None = None
    stop: Stop = field(default_factory=Stop)
    asked_at: dict[int, float] = field(default_factory=dict)
    perhaps_ours: bool = False
    begun: bool = False
    active: bool = True


class Attempt:
    """One delivery, answered by one executor for as long as its lease holds."""

    def __init__(self, executor: str, ports: Ports, hand: InHand, delivery: Delivery, lease: ClaimLease) -> None:
        self._executor = executor
        self._ports = ports
        self._hand = hand
        self._place = hand.place
        self._delivery = delivery
        self._lease = lease
        self._execution: ExecutionId = execution_of(delivery.command.subject)

    async def answer(self) -> bool | NotServed:
        """Bring an execution to its end, or find it there: True. False where somebody else may still do so, and
        NotServed where only somebody else can."""
        found = self._hand.assignment or await self._assign()
        match found:
            case Junk(why):
                log.warning("ignored", extra={"command": self._delivery.command.subject, "why": why})
                return True
            case NotServed():
                await self._look()
            case Assignment():
                self._hand.assignment = found
                await self._claim(found)
        match self._place.standing:
            case Free():
                return found if isinstance(found, NotServed) and not self._lease.lost else False
            case Closed():
                return True
            case Started(executor=self._executor) as start if self._hand.assignment is not None:
                await self._run(self._hand.assignment, start)
                return True
            case start:
                return await self._meet(start)

    async def _assign(self) -> Assignment | NotServed | Junk:
        await self._ports.refresh()
        return assign(self._delivery.command, self._ports.catalog(), self._ports.environment)

    async def _claim(self, assignment: Assignment) -> None:
        """Try to be the first on the execution's subject. Who was, is read afterwards."""
        workflow = assignment.workflow
        claim = WorkflowStarted(
            self._execution, executor=self._executor, version=workflow.spec.version, digest=workflow.digest
        )
        payload = encode(claim, self._attributes(claim_id(self._delivery)))
        while isinstance(self._place.standing, Free) and not self._lease.lost:
            try:
                sequence = await self._place.append(payload)
            except StaleWriteError:
                await self._look_again(while_ours=True)
            except LogError as error:
                self._hand.perhaps_ours = True
                log.warning("unclaimed", extra={"execution": self._execution, "error": str(error)})
                await asyncio.sleep(self._ports.retry_after)
            else:
                self._hand.perhaps_ours = True
                log.info("claimed", extra={"execution": self._execution, "executor": self._executor})
                await self._look(until=sequence)

    async def _look(self, until: int | None = None, *, while_ours: bool = True) -> None:
        """Read what stands on the execution's subject, for as long as there is time."""
        while not (while_ours and self._lease.lost):
            try:
                await self._place.look(until)
            except LogError as error:
                log.warning("unread", extra={"error": str(error)})
                await asyncio.sleep(self._ports.retry_after)
            else:
                return

    async def _look_again(self, *, while_ours: bool) -> None:
        """Read on after a refusal, which says that something is there."""
        before = self._place.last
        await self._look(while_ours=while_ours)
        if self._place.last == before:
            await asyncio.sleep(self._ports.retry_after)

    async def _meet(self, start: Started) -> bool:
        """Answer for a run that nobody here is at, if it is lost. It is never run again."""
        if is_duplicate(start, self._delivery):
            return True
        if not await self._is_lost(start):
            said = {
                "command": self._delivery.command.subject,
                "to": start.executor,
                "delivery": self._delivery.number,
            }
            log.info("left", extra=said)
            return False  # Whoever runs it confirms it; where nobody does, this comes again.
        found = await self._assign()
        await self._report(start, LOST, idempotent=isinstance(found, Assignment) and found.may_repeat(start))
        return True

    async def _is_lost(self, start: Started) -> bool:
        """Whether nobody confirms a run any more. Where deliveries were counted anew since it was claimed, another
        consumer may have made them sooner than it is confirmed: then it is lost when its time is over."""
        if not is_lost(start, self._delivery):
            return False
        since = await self._ask(self._ports.counted_since)
        if since is None or since <= start.recorded_at:
            return since is not None
        deadline, newest = deadline_of(self._delivery.command), await self._ask(self._newest_frame)
        return deadline is None or (newest is not None and newest.recorded_at > deadline)

    async def _run(self, assignment: Assignment, start: Started) -> None:
        """Run what is claimed, or say why it cannot be run, and tell its end."""
        idempotent = assignment.workflow.spec.idempotent
        if self._hand.begun:  # An engine broke its promise and raised: nobody knows what it did.
            await self._report(start, LOST, idempotent=idempotent)
            return
        self._hand.begun = True
        self._lease.prove = self._prove
        run = await self._resolve(assignment, start)
        outcome = run if isinstance(run, Failed) else await self._perform(run)
        self._lease.prove = None
        await self._report(start, outcome, idempotent=idempotent)
        if isinstance(run, Run):
            await self._engine_of(run).forget(run)

    async def _prove(self) -> None:
        """See that nobody has told the end of our run. Where somebody has, it stands, and the run is to end."""
        await self._place.look()
        if isinstance(self._place.standing, Closed):
            self._hand.stop.wish("another has told its end")

    async def _resolve(self, assignment: Assignment, start: Started) -> Run | Failed:
        """Return what is to be run, once for all, or why it is not begun."""
        if isinstance(assignment.plan, Failed):
            return assignment.plan
        newest = await self._ask(self._newest_frame)
        why = await self._ask(self._ports.why_not_whole)
        if why is not None:
            message = f"not begun, but perhaps it was before: the log is not whole: {why}"
            return Failed(FailureReason.EXECUTOR_LOST, message, ran=True)
        now, stop = self._ports.monotonic(), self._hand.stop
        run = assignment.run(start, newest, self._hand.asked_at[self._delivery.number], now, self._lease)
        if now > run.start_by or now >= run.deadline:
            return Failed(FailureReason.DEADLINE_EXCEEDED, "too late to begin", ran=False)
        if stop.wished.is_set():
            return Failed(FailureReason.TASK_FAILED, f"cancelled before it began: {stop.reason}", ran=False)
        # Another delivery's lease does not bring back the one that the claim was made under.
        if self._lease.lost or start.delivery != self._delivery.number:
            return Failed(FailureReason.EXECUTOR_LOST, "the claim was not confirmed in time to begin", ran=False)
        return run

    async def _newest_frame(self) -> StoredMessage | None:
        """What stands last where decisions do: a claim is not before what a leader knew when it wrote that."""
        return await self._ports.log.last(subjects.decision(self._ports.log.cell))

    async def _ask(self, question: Callable[[], Awaitable[Answer | None]]) -> Answer | None:
        """Ask of the log what a run depends on, for as long as there is time to begin it."""
        while not self._lease.lost:
            try:
                return await question()
            except LogError as error:
                log.warning("the log cannot be looked at", extra={"error": str(error)})
                await asyncio.sleep(self._ports.retry_after)
        return None  # It is too late to begin in any case.

    async def _perform(self, run: Run) -> RunOutcome:
        """Have a run begun, and look at it until it has ended. Should its engine break its promise and raise, the
        command comes again, and is then reported lost."""
        engine = self._engine_of(run)
        await engine.begin(run)
        cancelling = asyncio.create_task(self._cancel_when_wished(engine, run))
        try:
            while True:
                match await engine.look(run):
                    case Ended(outcome):
                        return outcome
                    case Running():
                        await asyncio.sleep(self._ports.retry_after)
                    case Absent():
                        return Failed(FailureReason.EXECUTOR_LOST, "it was begun, and is not there", ran=True)
                    case Foreign(why):
                        return Failed(
                            FailureReason.CONFIGURATION_ERROR, f"its name is another's: {why}", ran=False
                        )
        finally:
            cancelling.cancel()

    async def _cancel_when_wished(self, engine: Engine, run: Run) -> None:
        await self._hand.stop.wished.wait()
        await engine.cancel(run, self._hand.stop.reason)

    def _engine_of(self, run: Run) -> Engine:
        return self._ports.engines[run.workflow.spec.engine]

    async def _report(self, start: Started, outcome: RunOutcome, *, idempotent: bool) -> None:
        """Tell the end of a run, for as long as it takes; the fence lets it be told once."""
        fact = _fact(self._execution, outcome, idempotent=idempotent)
        payload = encode(fact, self._attributes(f"end-{start.sequence}"))
        while not isinstance(self._place.standing, Closed):
            try:
                await self._place.append(payload)
            except StaleWriteError:
                await self._look_again(while_ours=False)
            except LogError as error:
                log.warning("untold", extra={"execution": self._execution, "error": str(error)})
                await asyncio.sleep(self._ports.retry_after)
            else:
                reason = fact.reason if isinstance(fact, WorkflowFailed) else ""
                said = {"execution": self._execution, "event": type(fact).__name__, "reason": reason}
                log.info("ended", extra=said)
                return
        log.info("already told", extra={"execution": self._execution})

    def _attributes(self, event_id: str) -> Attributes:
        """The attributes of a fact, with what the command's own say about its cause."""
        cause = attributes_of(self._delivery.command.payload)
        return Attributes(
            id=event_id,
            source=event_source(self._ports.log.cell, f"executor/{self._executor}"),
            time=self._ports.now(),
            subject=cause.subject if cause else "",
            causationid=position(self._delivery.command.sequence),
            correlationid=cause.correlationid if cause else "",
            traceparent=cause.traceparent if cause else "",
        )


def _fact(execution: ExecutionId, outcome: RunOutcome, *, idempotent: bool) -> Fact:
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
