"""Put facts on the log: acknowledged means stored. What no answer came for is asked again under the same id."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from remediation_orchestrator.bus.behind import append_behind
from remediation_orchestrator.bus.port import EventLog
from remediation_orchestrator.events import CellName, Fact, Fingerprint, Position, encode
from remediation_orchestrator.events.about import fingerprint_in
from remediation_orchestrator.events.codec import Attributes, event_source, join_frame
from remediation_orchestrator.events.identity import position
from remediation_orchestrator.events.stored import MESSAGE_BYTES_MAX


class Message(Struct, frozen=True):
    """What is stored together: its bytes, and how many events of a frame they are; None for one by itself."""

    payload: bytes
    events: int | None

    def positions(self, sequence: int) -> list[Position]:
        """Where its events stand, once it is stored."""
        if self.events is None:
            return [position(sequence)]
        return [position(sequence, index) for index in range(self.events)]


def event_of(cell: CellName, part: str, fact: Fact, remediation: str = "") -> bytes:
    """Write a fact as the CloudEvent that `part` of this system says."""
    attributes = Attributes(
        id=uuid.uuid4().hex,
        source=event_source(cell, part),
        time=datetime.now(UTC),
        subject=fingerprint_in(fact) or Fingerprint(""),
        correlationid=remediation,
    )
    return encode(fact, attributes)


def messages_of(events: Sequence[bytes]) -> Iterator[Message]:
    """Gather events into as few messages as their bound allows. Each event by itself fits."""
    batch: list[bytes] = []
    size = 2
    for event in events:
        if batch and size + len(event) + 1 > MESSAGE_BYTES_MAX:
            yield _message(batch)
            batch, size = [], 2
        batch.append(event)
        size += len(event) + 1
    if batch:
        yield _message(batch)


async def store(log: EventLog, subject: str, payload: bytes, last: int = 0) -> int:
    """Store one message, once, and return its sequence; `last` was seen there last. Raises LogError."""
    return await append_behind(log, subject, payload, message_id=uuid.uuid4().hex, last=last)


def _message(batch: Sequence[bytes]) -> Message:
    return Message(batch[0], None) if len(batch) == 1 else Message(join_frame(batch), len(batch))
