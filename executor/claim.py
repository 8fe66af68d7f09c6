"""What stands on an execution's subject, and who may do what there. The first start or end there that is valid
decides who may begin; junk, before it or behind it, decides nothing. Whoever may publish anything can have it
stored there: it is stepped over, and keeps nobody from claiming a run or from telling its end.

A claim says in its id which delivery of which command it was made under, as `claim-<sequence>-<number>`, so that
whoever meets it later can tell a run that was given up from one that somebody still works on."""

import re
from dataclasses import dataclass
from datetime import datetime

from remediation_orchestrator.bus.port import Delivery, EventLog
from remediation_orchestrator.events import (
    ExecutionId,
    Recorded,
    StoredMessage,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
    decode,
    subjects,
)
from remediation_orchestrator.events.codec import attributes_of

_CLAIM = re.compile(r"claim-([0-9]{1,19})-([0-9]{1,9})")
# So many deliveries after the one that was claimed prove that nobody confirms the run. The broker makes one when
# nobody confirmed for `ack_wait`, but also where a server that crashed forgot a confirmation, or where an executor
# that was frozen meanwhile passes a command on. One such is no proof; two in a row, with no confirmation that
# would have put the second off, are.
DELIVERIES_OF_A_LOST_RUN = 2


@dataclass(frozen=True)
class Free:
    """Nothing valid stands there."""


@dataclass(frozen=True)
class Started:
    """Somebody has begun. `command` and `delivery` are of the claim, where it says them; `digest` of its file."""

    sequence: int
    recorded_at: datetime
    executor: str
    digest: str
    command: int | None
    delivery: int | None


@dataclass(frozen=True)
class Closed:
    """The run has ended, or was revoked before it began: there is nothing left to do."""

    sequence: int


ClaimState = Free | Started | Closed


def claim_id(delivery: Delivery) -> str:
    """Name the delivery under which a claim is made."""
    return f"claim-{delivery.command.sequence}-{delivery.number}"


def standing_after(standing: ClaimState, message: StoredMessage) -> ClaimState:
    """Return what stands on an execution's subject behind its next record. Of two starts the first counts."""
    events = [one.event for one in decode(message) if isinstance(one, Recorded)]
    if isinstance(standing, Closed):
        return standing
    if any(isinstance(one, WorkflowCompleted | WorkflowFailed | WorkflowRevoked) for one in events):
        return Closed(message.sequence)
    started = next((one for one in events if isinstance(one, WorkflowStarted)), None)
    if started is None or isinstance(standing, Started):
        return standing
    attributes = attributes_of(message.payload)
    claim = _CLAIM.fullmatch(attributes.id) if attributes else None
    command, delivery = (int(claim[1]), int(claim[2])) if claim else (None, None)
    return Started(message.sequence, message.recorded_at, started.executor, started.digest, command, delivery)


def execution_of(subject: str) -> ExecutionId:
    """Read the execution's id from its command's subject, `ro.<cell>.command.workflow.<execution>`."""
    return ExecutionId(subject.rpartition(".")[2])


def is_duplicate(found: Started, delivery: Delivery) -> bool:
    """Whether the run is of another message of this command: whoever has that one answers it."""
    return found.command is not None and found.command != delivery.command.sequence


def is_lost(found: Started, delivery: Delivery) -> bool:
    """Whether nobody confirms the run any more, by the count of deliveries since the one that was claimed.

    A claim that does not say its delivery is judged as if it had been made under the first."""
    claimed = found.delivery if found.delivery is not None else 1
    return delivery.number >= claimed + DELIVERIES_OF_A_LOST_RUN


class ExecutionSubject:
    """What stands on an execution's subject, as far as it was read."""

    def __init__(self, log: EventLog, execution: ExecutionId) -> None:
        self._log = log
        self._subject = subjects.execution(log.cell, execution)
        self.last = 0
        self.standing: ClaimState = Free()

    async def look(self, until: int | None = None) -> None:
        """Read on to the newest record, or to the one of this sequence. Raises LogError."""
        while until is None or self.last < until:
            message = await self._log.next_on(self._subject, self.last)
            if message is None:
                return
            self._take(message)
            if isinstance(self.standing, Free):  # Junk: whoever floods the subject is to be overtaken.
                for one in await self._log.behind(self._subject, self.last):
                    self._take(one)

    def _take(self, message: StoredMessage) -> None:
        if message.sequence > self.last:  # Two may look at once.
            self.last = message.sequence
            self.standing = standing_after(self.standing, message)

    async def append(self, payload: bytes) -> int:
        """Store a record right behind the last one that was read. Raises as the log's `append` does."""
        return await self._log.append(self._subject, payload, expect=self.last)
