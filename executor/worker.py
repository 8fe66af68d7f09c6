"""One executor: which executions it has in hand, and what becomes of their deliveries.

It never asks whether a run is wise. Of one execution one delivery at a time is answered, and what it cannot run is
delivered again, to whoever asks then."""

import logging

from remediation_orchestrator.bus.port import Delivery, DeliveryError
from remediation_orchestrator.events import ExecutionId

from .assignment import NotServed
from .attempt import Attempt, InHand
from .claim import ExecutionSubject, execution_of
from .lease import ClaimLease
from .ports import Ports

log = logging.getLogger(__name__)

# Of so many workflows that are not served it is remembered that it was said; far more than a cell has.
UNSERVED_MAX = 1_000


class Worker:
    """One executor: its id is new at every start, so that a claim under it is surely of this process."""

    def __init__(self, executor: str, ports: Ports) -> None:
        self.executor = executor
        self._ports = ports
        self._in_hand: dict[ExecutionId, InHand] = {}
        self._unserved: set[tuple[str, str]] = set()

    def cancel(self, execution: ExecutionId, reason: str) -> None:
        """End a run, if it is here."""
        hand = self._in_hand.get(execution)
        if hand is not None:
            hand.stop.wish(reason)

    def cancel_all(self, reason: str) -> None:
        """End every run that is here."""
        for hand in self._in_hand.values():
            hand.stop.wish(reason)

    async def handle(self, delivery: Delivery, lease: ClaimLease) -> None:
        """Answer one delivery of a command. What is left unanswered is delivered again."""
        execution = execution_of(delivery.command.subject)
        hand = self._in_hand.get(execution)
        if hand is not None and hand.active:
            return  # Another slot of ours has it in hand; should that one fail, this comes again.
        hand = self._in_hand.setdefault(execution, InHand(ExecutionSubject(self._ports.log, execution)))
        hand.active = True
        hand.asked_at.setdefault(delivery.number, self._ports.monotonic())
        answer: bool | NotServed = False
        try:
            answer = await Attempt(self.executor, self._ports, hand, delivery, lease).answer()
            if isinstance(answer, NotServed):
                await self._pass_on(answer, delivery, lease)
        finally:
            hand.active = False
            if answer is True or not hand.perhaps_ours:
                del self._in_hand[execution]
        if answer is True:
            await self._acknowledge(delivery)

    async def _pass_on(self, found: NotServed, delivery: Delivery, lease: ClaimLease) -> None:
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

    async def _acknowledge(self, delivery: Delivery) -> None:
        try:
            await delivery.acknowledge()
        except DeliveryError as error:  # It comes again, and its end is found.
            log.warning("unacknowledged", extra={"command": delivery.command.subject, "error": str(error)})
