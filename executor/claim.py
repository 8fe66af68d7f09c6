"""Claim an execution, and read what stands on its subject. The first record there decides who may begin.

A claim says in its id which delivery of which command it was made under, as `claim-<sequence>-<number>`, so that
whoever meets it later can tell a run that was given up from one that somebody still works on."""

import re
from dataclasses import dataclass
from datetime import datetime

from remediation_orchestrator.events import (
    ExecutionId,
    Recorded,
    StoredMessage,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
    decode,
)
from remediation_orchestrator.events.codec import attributes_of

from .lease import Delivery

_CLAIM = re.compile(r"claim-([0-9]{1,19})-([0-9]{1,9})")


@dataclass(frozen=True)
class Free:
    """Nothing stands there that can be read as a start or an end, but something stands there."""

    sequence: int


@dataclass(frozen=True)
class Started:
    """Somebody has begun. `command` and `delivery` are of the claim, where it says them."""

    sequence: int
    recorded_at: datetime
    executor: str
    command: int | None
    delivery: int | None


@dataclass(frozen=True)
class Ended:
    """The run has ended, or was revoked before it began: there is nothing left to do."""

    sequence: int


Standing = Free | Started | Ended


def claim_id(delivery: Delivery) -> str:
    """Name the delivery under which a claim is made."""
    return f"claim-{delivery.sequence}-{delivery.number}"


def standing(message: StoredMessage) -> Standing:
    """Read the newest record of an execution's subject."""
    try:
        events = [one.event for one in decode(message) if isinstance(one, Recorded)]
    except RecursionError:  # Nested without end: no start and no end.
        return Free(message.sequence)
    if any(isinstance(one, WorkflowCompleted | WorkflowFailed | WorkflowRevoked) for one in events):
        return Ended(message.sequence)
    started = next((one for one in events if isinstance(one, WorkflowStarted)), None)
    if started is None:
        return Free(message.sequence)
    attributes = attributes_of(message.payload)
    claim = _CLAIM.fullmatch(attributes.id) if attributes else None
    command, delivery = (int(claim[1]), int(claim[2])) if claim else (None, None)
    return Started(message.sequence, message.recorded_at, started.executor, command, delivery)


def execution_of(subject: str) -> ExecutionId:
    """Read the execution's id from its command's subject, `ro.<cell>.command.workflow.<execution>`."""
    return ExecutionId(subject.rpartition(".")[2])


def is_duplicate(found: Started, delivery: Delivery) -> bool:
    """Whether the run is of another message of this command: whoever has that one answers it."""
    return found.command is not None and found.command != delivery.sequence


def is_lost(found: Started, delivery: Delivery) -> bool:
    """Whether whoever began has given up: this delivery was made after the one that was claimed.

    The broker makes another only when the last was not confirmed for `ack_wait`, and a run is killed after half
    of it. A claim that does not say its delivery is judged by the count alone."""
    return delivery.number > (found.delivery if found.delivery is not None else 1)
