"""What stands around decisions and commands: their ids, their causes, who wrote them and when.

Ids and causes follow from what is said, so only the time is free; and what is stored together has one time."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from remediation_orchestrator.events import (
    DecisionFrame,
    Decoded,
    Position,
    Recorded,
    RoutingDecided,
    StoredMessage,
)
from remediation_orchestrator.events.codec import Attributes, source
from remediation_orchestrator.events.duplicates import DuplicatesDecided
from remediation_orchestrator.events.subjects import parse

from .findings import Drift, Finding
from .frames import decision_attributes, duplicates_attributes
from .moments import moment_of

GATHERED = f"{DuplicatesDecided.__name__}.v1"
_UNREAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Around(Struct, gc=False):
    """As `Attributes`, with the type: of a row of duplicates it says that it is one."""

    id: str
    source: str
    type: str
    time: datetime
    subject: str = ""
    causationid: str = ""
    correlationid: str = ""


_items = msgspec.json.Decoder(list[Around])


def of_frame(message: StoredMessage) -> list[Around]:
    """What stands around each record of a frame; nothing where it cannot be read."""
    try:
        return _items.decode(message.payload)
    except _UNREAD:
        return []


def wrong_in_frame(
    message: StoredMessage, head: DecisionFrame, records: Sequence[Decoded], items: Sequence[Around]
) -> Iterator[Finding]:
    """Hold what stands around each record of a frame against what follows from it."""
    if not items:
        yield Finding(records[0].position, Drift.ENVELOPE, "what stands around its records cannot be read")
        return
    time, by = items[0].time, source(parse(message.subject).cell, f"orchestrator/{head.orchestrator}")
    moment = next((at for at in map(_moment, records) if at is not None), None)
    if moment not in (None, time):
        yield Finding(records[0].position, Drift.ENVELOPE, f"its time is {time}, and it was judged at {moment}")
    following, before = iter(items), ""
    for record in records:
        if record.position == before:  # Another of a row of duplicates.
            continue
        before = record.position
        item = next(following)
        if isinstance(record, Recorded) and not _fits(item, _attributes(item, record, by, time)):
            yield Finding(record.position, Drift.ENVELOPE, told(item, _attributes(item, record, by, time)))


def wrong_around(place: Position, expected: Attributes, found: Attributes | None) -> Iterator[Finding]:
    """Hold what stands around a single record against what follows from it."""
    if found is None or not _fits(found, expected):
        yield Finding(place, Drift.ENVELOPE, told(found, expected))


def writer_of(message: StoredMessage, found: Attributes | None) -> str:
    """The name of the orchestrator that says it has written a record."""
    by = source(parse(message.subject).cell, "orchestrator/")
    return found.source.removeprefix(by) if found is not None and found.source.startswith(by) else ""


def told(found: Around | Attributes | None, expected: Attributes) -> str:
    """Name the first attribute that is another than it would be."""
    for name in ("id", "source", "time", "subject", "causationid", "correlationid"):
        said, wanted = getattr(found, name, ""), getattr(expected, name)
        if said != wanted:
            return f"{name} is {said!s:.200}, and would be {wanted!s:.200}"
    return "it cannot be read"


def _moment(record: Decoded) -> datetime | None:
    return moment_of(record.event) if isinstance(record, Recorded) else None


def _attributes(item: Around, record: Recorded, by: str, time: datetime) -> Attributes:
    event = record.event
    if item.type == GATHERED and isinstance(event, RoutingDecided):
        return duplicates_attributes(event.signal, by, time)
    return decision_attributes(event, by, time)  # type: ignore[arg-type]


def _fits(found: Around | Attributes, expected: Attributes) -> bool:
    return (
        found.id == expected.id
        and found.source == expected.source
        and found.time == expected.time
        and found.subject == expected.subject
        and found.causationid == expected.causationid
        and found.correlationid == expected.correlationid
    )
