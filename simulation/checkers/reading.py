"""How checkers read a log: every event that can be read, in the log's order, and the moments of its facts."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from remediation_orchestrator.events import DecisionFrame, Recorded, StoredMessage, decode
from remediation_orchestrator.events.identity import position_key
from remediation_orchestrator.events.subjects import parse

if TYPE_CHECKING:
    from remediation_orchestrator.simulation.world import Day

NEVER = datetime.min.replace(tzinfo=UTC)
"""Before any moment."""


def records(messages: list[StoredMessage]) -> Iterator[Recorded]:
    """Every event of a log that can be read, in the log's order."""
    for message in messages:
        for record in decode(message):
            if isinstance(record, Recorded):
                yield record


def sequence_of(record: Recorded) -> int:
    """The sequence of the message in which a record stands."""
    return position_key(record.position)[0]


def moments(day: "Day") -> dict[int, datetime]:
    """The moment of each fact: its stamp, no later than the frame that takes it allows, nor before any before it.

    Behind the last frame nothing bounds them."""
    frames = [record for record in day.records if isinstance(record.event, DecisionFrame)]
    heads = iter([(record.event.as_of, record.event.not_after) for record in frames])  # type: ignore[union-attr]
    as_of, not_after = next(heads, (None, None))
    found: dict[int, datetime] = {}
    newest = NEVER
    for message in day.messages:
        if parse(message.subject).family.is_fact:
            while as_of is not None and as_of < message.sequence:
                as_of, not_after = next(heads, (None, None))
            newest = max(newest, message.recorded_at if not_after is None else min(message.recorded_at, not_after))
            found[message.sequence] = newest
    return found
