"""What a log has that could not be taken: a signal that is none, an item of a body, another's fact."""

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from remediation_orchestrator.events import Position, StoredMessage, Undecodable, decode
from remediation_orchestrator.events.subjects import parse


class RejectedView(Struct, frozen=True):
    """A record of which nothing came: where it stands, who wrote it there, and what is wrong with it."""

    position: Position
    recorded_at: datetime
    subject: str
    reason: str
    message: str


def rejected(message: StoredMessage) -> Iterator[RejectedView]:
    """Return what of a message could not be taken. What stands among decisions and commands is audit's to tell."""
    if not parse(message.subject).family.is_fact:
        return
    for record in decode(message):
        if isinstance(record, Undecodable):
            yield RejectedView(record.position, record.recorded_at, message.subject, record.reason, record.message)
