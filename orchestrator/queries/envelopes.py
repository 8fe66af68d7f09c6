"""What stands around decisions and commands: their ids, their causes, who wrote them and when.

Ids and causes follow from what is said, so only the time is free; and what is stored together has one time."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

import msgspec

from remediation_orchestrator.events import (
    Decoded,
    Position,
    Recorded,
    RoutingDecided,
    StoredMessage,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.orchestrator.frames import decision_attributes, duplicates_attributes

from .findings import Drift, Finding

_items = msgspec.json.Decoder(list[Attributes])
_UNREAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def of_frame(message: StoredMessage) -> list[Attributes]:
    """Return what stands around each record of a frame; nothing where it cannot be read."""
    try:
        return _items.decode(message.payload)
    except _UNREAD:
        return []


def wrong_in_frame(records: Sequence[Decoded], found: Sequence[Attributes], by: str) -> list[Finding]:
    """Hold what stands around each record of a frame against what follows from it; `by` is its writer's source."""
    if not found:
        return [Finding(records[0].position, Drift.ENVELOPE, "what stands around its records cannot be read")]
    time = found[0].time
    if len(found) == len(records):  # As nearly always: no row of duplicates is in it.
        return [
            Finding(record.position, Drift.ENVELOPE, name_difference(item, expected))
            for record, item in zip(records, found, strict=True)
            if isinstance(record, Recorded) and item != (expected := decision_attributes(record.event, by, time))  # type: ignore[arg-type]
        ]
    return list(_wrong_in_rows(records, iter(found), by, time))


def _wrong_in_rows(
    records: Sequence[Decoded], items: Iterator[Attributes], by: str, time: datetime
) -> Iterator[Finding]:
    """As above, where one record may have said several verdicts."""
    for place, group in groupby(records, key=lambda record: record.position):
        item, (record, *more) = next(items), group
        if not isinstance(record, Recorded):
            continue
        if more and isinstance(record.event, RoutingDecided):
            expected = duplicates_attributes(record.event.signal, by, time)
        else:
            expected = decision_attributes(record.event, by, time)  # type: ignore[arg-type]
        if item != expected:
            yield Finding(place, Drift.ENVELOPE, name_difference(item, expected))


def wrong_around(place: Position, expected: Attributes, found: Attributes | None) -> Iterator[Finding]:
    """Hold what stands around a single record against what follows from it."""
    if found != expected:
        yield Finding(place, Drift.ENVELOPE, name_difference(found, expected))


def name_difference(found: Attributes | None, expected: Attributes) -> str:
    """Name the first attribute that is another than it would be."""
    for name in expected.__struct_fields__:
        said, wanted = getattr(found, name, ""), getattr(expected, name)
        if said != wanted:
            return f"{name} is {said!s:.200}, and would be {wanted!s:.200}"
    return "it cannot be read"
