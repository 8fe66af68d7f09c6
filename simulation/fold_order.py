"""The order in which a log is folded, read from it alone: a fact just before the first frame that covers it."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from msgspec.structs import replace

from remediation_orchestrator.events import (
    DecisionFrame,
    Event,
    PhaseChanged,
    Recorded,
    RoutingDecided,
    StoredMessage,
    TargetReleased,
    VerificationEnded,
    decode,
)
from remediation_orchestrator.events.subjects import Family, parse


def in_fold_order(messages: Iterable[StoredMessage]) -> Iterator[Recorded]:
    """Every fact and decision, each fact just before the first frame that covers it, or at the end.

    Each has its moment in place of its stamp: of a fact no later than its frame allows, and never before one that
    went before it."""
    waiting: list[StoredMessage] = []
    newest = datetime.min.replace(tzinfo=UTC)
    for message in messages:
        family = parse(message.subject).family
        if family.is_fact:
            waiting.append(message)
        elif family is Family.DECISION:
            frame = list(_readable(message))
            heads = [one.event for one in frame if isinstance(one.event, DecisionFrame)]
            while heads and waiting and waiting[0].sequence <= heads[0].as_of:
                fact = waiting.pop(0)
                newest = max(newest, min(fact.recorded_at, heads[0].not_after))
                yield from _readable(fact, newest)
            for record in frame:
                newest = max(newest, _now(record.event) or newest)
                yield replace(record, recorded_at=newest)
    for message in waiting:
        newest = max(newest, message.recorded_at)
        yield from _readable(message, newest)


def _readable(message: StoredMessage, moment: datetime | None = None) -> Iterator[Recorded]:
    for record in decode(message):
        if isinstance(record, Recorded):
            yield record if moment is None else replace(record, recorded_at=moment)


def _now(event: Event) -> datetime | None:
    """At which moment a decision was made, where it says so."""
    if isinstance(event, RoutingDecided):
        return event.situation.now
    return event.now if isinstance(event, PhaseChanged | VerificationEnded | TargetReleased) else None


def facts_of(messages: Iterable[StoredMessage]) -> int:
    """How many facts a log has: what decides nothing and commands nothing, each element of a batch counted."""
    return sum(len(decode(message)) for message in messages if parse(message.subject).family.is_fact)
