"""Bytes to events and back: CloudEvents 1.0 in JSON, single and batch, and bare signals.

What cannot be decoded is a value (`Undecodable`), never an exception: a record of the log is never lost."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Raw, Struct

from .bounds import ITEMS_MAX, NESTING_MAX, REJECTIONS_MAX, count_items, nesting
from .commands import Command
from .decisions import Decision, DecisionFrame
from .duplicates import DuplicatesDecided
from .facts import Fact, Signal, SignalReceived, SignalResolved
from .identity import CellName, Position, WorkflowRef, Zoned, position
from .reading import HOME, MANY, ONE, UndecodableError, decoder_of, read
from .signals import drop_impossible_start, normalise_signal, read_signal
from .stored import MESSAGE_BYTES_MAX, RECORD_BYTES_MAX, StoredMessage, expectation
from .subjects import Family, Subject, command_id, parse, why_not_theirs

T = TypeVar("T")
Event = Fact | Decision | Command
Written = Event | DuplicatesDecided

TYPES: dict[str, type] = {f"{one.__name__}.v1": one for one in get_args(Written)}
SPECVERSION = "1.0"
CONTENT_TYPE = "application/json"
# A number of four characters may be written again with nineteen; nothing grows as much as this.
GROWTH_MAX = 8
# A message is a sentence. Whatever text went wrong is in the log itself.
COMPLAINT_CHARACTERS_MAX = 500
# Parameters go into a decision and its command; numbers may grow as they are written again, so that is bounded.
PARAMETERS_BYTES_MAX = 64 * 1024
# The server puts these on what it copies, and a copy says nothing new: it may be of a record of another subject.
COPIED = frozenset({"Nats-Stream", "Nats-Sequence"})

# Whoever leads, and an operator, expects each record: two cannot both be stored, and none is stored a second time.
UNFENCED = "it expects no record before it on its subject, and counts for nothing there"


class Recorded(Struct, frozen=True, gc=False):
    """An event of the log, where it stands and when the broker stored it."""

    position: Position
    recorded_at: datetime
    event: Event


class Undecodable(Struct, frozen=True):
    """A record that is no event: what is wrong with it, and where. `unknown_type` names a type we do not know."""

    position: Position
    recorded_at: datetime
    reason: Literal["Undecodable", "TooLarge", "Forged"]
    message: str
    unknown_type: str | None = None


Decoded = Recorded | Undecodable


class Attributes(Struct, frozen=True, omit_defaults=True):
    """The CloudEvents attributes around an event's data."""

    id: str
    source: str
    time: Zoned
    subject: str = ""
    causationid: str = ""
    correlationid: str = ""
    traceparent: str = ""
    authtype: str = ""
    authid: str = ""


class _Envelope(Struct, frozen=True, omit_defaults=True):
    specversion: str
    id: str
    source: str
    type: str
    time: Zoned
    datacontenttype: str
    data: Any
    subject: str = ""
    causationid: str = ""
    correlationid: str = ""
    traceparent: str = ""
    authtype: str = ""
    authid: str = ""


class _Probe(Struct):
    """As little of an item as tells what it is; a bare signal may use these words for things of its own."""

    specversion: Any = None
    type: Any = ""
    data: Raw = Raw(b"")


_UNREAD = (msgspec.DecodeError, UnicodeDecodeError, UndecodableError)
_encoder = msgspec.json.Encoder()
_items = msgspec.json.Decoder(list[Raw])
_probe = msgspec.json.Decoder(_Probe)
_NAMED: dict[Family, Callable[[Any], str]] = {
    Family.EXECUTION: lambda fact: fact.execution,
    Family.ANALYSIS: lambda fact: fact.remediation,
    Family.COMMAND: lambda command: ".".join(command_id(command)),
}
"""What an event says that its subject ends in."""
_CHOOSING = (Family.SIGNAL, Family.ANALYSIS)
"""The families of the facts that name a workflow."""
_bare = msgspec.json.Decoder(list[SignalReceived])


def encode(event: Written, attributes: Attributes) -> bytes:
    """Write one event as a CloudEvent."""
    return _encoder.encode(_envelope(event, attributes))


def encode_frame(events: Iterable[tuple[Event, Attributes]]) -> bytes:
    """Write several events as one CloudEvents batch: stored together or not at all."""
    return _encoder.encode([_envelope(event, attributes) for event, attributes in events])


def join_frame(encoded: Sequence[bytes]) -> bytes:
    """Make one batch of events that are encoded already."""
    return b"[" + b",".join(encoded) + b"]"


def is_copy(message: StoredMessage) -> bool:
    """Whether the server has made it of another record, for whoever asked."""
    return message.headers is not None and not COPIED.isdisjoint(message.headers)


def decode(message: StoredMessage) -> list[Decoded]:
    """Read every event of a stored message. Never raises: what is wrong becomes an `Undecodable`."""
    if is_copy(message):
        return [
            _rejected(message, "Forged", "a copy of another record, which the server made at somebody's request")
        ]
    try:
        return _decode(message)
    except RecursionError:  # No fact comes so far; of decisions and commands nobody counts the nesting.
        return [_undecodable(message, None, UndecodableError("nested too deeply"))]


def is_valid(message: StoredMessage) -> bool:
    """Whether a record counts: at least one event of it can be read."""
    return any(isinstance(one, Recorded) for one in decode(message))


def head_in(records: Sequence[Decoded]) -> DecisionFrame | None:
    """The head of a frame of which these are the records; None where it is no frame."""
    first = records[0].event if records and isinstance(records[0], Recorded) else None
    return first if isinstance(first, DecisionFrame) else None


def head_of(message: StoredMessage) -> DecisionFrame | None:
    """The head of a frame; None where a record is none."""
    return head_in(decode(message))


def _decode(message: StoredMessage) -> list[Decoded]:
    try:
        subject = parse(message.subject)
    except ValueError as error:
        return [_undecodable(message, None, UndecodableError(str(error)))]
    payload = message.payload
    most = MESSAGE_BYTES_MAX if subject.family.is_fact else RECORD_BYTES_MAX
    if len(payload) > most:
        what = "a fact" if subject.family.is_fact else "a record"
        return [_rejected(message, "TooLarge", f"{len(payload):,} bytes, and {what} has at most {most:,}")]
    if subject.family.is_fenced and expectation(message) is None:
        return [_rejected(message, "Forged", UNFENCED)]
    if subject.family.is_fact and nesting(payload) > NESTING_MAX:
        return [_undecodable(message, None, UndecodableError(f"nested deeper than {NESTING_MAX}"))]
    if payload.lstrip()[:1] != b"[":
        return _decode_item(message, None, payload, subject)
    if (items := count_items(payload)) > ITEMS_MAX:
        return [_rejected(message, "TooLarge", f"{items:,} elements, and an array has at most {ITEMS_MAX:,}")]
    try:
        return _decode_at_once(message, subject)
    except _UNREAD:
        return _decode_one_by_one(message, subject)


def _decode_one_by_one(message: StoredMessage, subject: Subject) -> list[Decoded]:
    """Read an array element by element, which shows which is wrong, and what is wrong with it."""
    try:
        items = _items.decode(message.payload)
    except _UNREAD as error:
        return [_undecodable(message, None, UndecodableError(f"not JSON: {error}"))]
    found = [one for index, item in enumerate(items) for one in _decode_item(message, index, item, subject)]
    return _gathered(found)


def _gathered(found: list[Decoded]) -> list[Decoded]:
    """Bound what is answered of one message: beyond that, one record stands for all elements that are wrong."""
    wrong = [one for one in found if isinstance(one, Undecodable)]
    if len(wrong) <= REJECTIONS_MAX:
        return found
    first, *rest = wrong[REJECTIONS_MAX - 1 :]
    told = f"{first.message}; and {len(rest):,} more elements up to {rest[-1].position} that are no events"
    unknown = next((one.unknown_type for one in (first, *rest) if one.unknown_type), None)
    last = msgspec.structs.replace(first, message=told, unknown_type=unknown)
    beyond = {one.position for one in rest}
    return [last if one is first else one for one in found if one.position not in beyond]


def _decode_at_once(message: StoredMessage, subject: Subject) -> list[Decoded]:
    """Read an array in one pass. Raises where an item is not as it should be, or cannot be told without a look."""
    payload = message.payload
    events: list[Written]
    if subject.family is not Family.SIGNAL:
        events = [one.data for one in MANY[subject.family].decode(payload)]
    elif b'"specversion"' not in payload:
        events = [normalise_signal(signal) for signal in _bare.decode(payload)]
    elif b"\\u" not in payload:  # An item that writes the word with an escape is taken for a bare signal.
        events = [normalise_signal(one.data) for one in MANY[subject.family].decode(payload)]
    else:
        raise UndecodableError("bare signals or CloudEvents")
    return [one for index, written in enumerate(events) for one in _recorded(message, index, written, subject)]


def attributes_of(item: bytes | Raw) -> Attributes | None:
    """Read the attributes around an event, or None where there are none to read (a bare signal)."""
    try:
        found: Attributes = decoder_of(Attributes).decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found


def frame_time(message: StoredMessage) -> datetime | None:
    """What the clock of a frame's writer showed when it began to write it; None where a record is no frame."""
    if head_of(message) is None:
        return None
    head = attributes_of(_items.decode(message.payload)[0])
    return None if head is None else head.time


def event_source(cell: CellName, part: str) -> str:
    """The CloudEvents source of what a part of this system writes, such as `/ro/main/executor/e1`."""
    return f"/ro/{cell}/{part}"


def _envelope(event: Written, attributes: Attributes) -> _Envelope:
    return _Envelope(
        specversion=SPECVERSION,
        id=attributes.id,
        source=attributes.source,
        type=f"{type(event).__name__}.v1",
        time=attributes.time,
        datacontenttype=CONTENT_TYPE,
        data=event,
        subject=attributes.subject,
        causationid=attributes.causationid,
        correlationid=attributes.correlationid,
        traceparent=attributes.traceparent,
        authtype=attributes.authtype,
        authid=attributes.authid,
    )


def _decode_item(message: StoredMessage, index: int | None, item: bytes | Raw, subject: Subject) -> list[Decoded]:
    try:
        return _recorded(message, index, _event(item, subject.family), subject)
    except UndecodableError as refused:
        return [_undecodable(message, index, refused)]


def _recorded(message: StoredMessage, index: int | None, written: Written, subject: Subject) -> list[Decoded]:
    """Return what a record says: one event, or each of the verdicts that it gathers."""
    place = position(message.sequence, index)
    if isinstance(written, DuplicatesDecided):
        return [Recorded(place, message.recorded_at, event) for event in written.singly()]
    if subject.family is not Family.DECISION:
        _check_subject(written, subject, len(message.payload))
    if isinstance(written, SignalReceived | SignalResolved):
        written = drop_impossible_start(written, message.recorded_at)
    return [Recorded(place, message.recorded_at, written)]


def _rejected(message: StoredMessage, reason: Literal["TooLarge", "Forged"], complaint: str) -> Undecodable:
    """Return what is wrong with a message as a whole, whatever stands in it."""
    return Undecodable(position(message.sequence), message.recorded_at, reason, complaint)


def _undecodable(message: StoredMessage, index: int | None, refused: UndecodableError) -> Undecodable:
    place = position(message.sequence, index)
    complaint = str(refused)[:COMPLAINT_CHARACTERS_MAX]
    return Undecodable(place, message.recorded_at, "Undecodable", complaint, refused.unknown_type)


def _event(item: bytes | Raw, family: Family) -> Written:
    """Read one item: in one pass where it is as it should be, else step by step to say what it is or lacks."""
    if family is Family.SIGNAL and b'"specversion"' not in bytes(item):
        return _signal(item)
    try:
        event: Written = ONE[family].decode(item).data
    except _UNREAD:
        return _event_by_steps(item, family)
    return normalise_signal(event) if isinstance(event, Signal) else event


def _event_by_steps(item: bytes | Raw, family: Family) -> Written:
    probe = read(_probe, item)
    if probe.specversion is None and family is Family.SIGNAL:
        return _signal(item)
    if probe.specversion != SPECVERSION:
        raise UndecodableError('not a CloudEvent 1.0: `specversion` is not "1.0"')
    if not isinstance(probe.type, str):
        raise UndecodableError("not a CloudEvent 1.0: `type` is not a string")
    kind = TYPES.get(probe.type)
    if kind is None:
        raise UndecodableError(f"unknown event type {probe.type!r}", unknown_type=probe.type)
    if not probe.data:
        raise UndecodableError("the event has no `data`")
    event: Written
    if issubclass(kind, SignalReceived | SignalResolved):
        event = read_signal(probe.data, kind, "data")
    else:
        event = read(decoder_of(kind), probe.data, kind, "data")
    if not isinstance(event, HOME[family]):
        raise UndecodableError(f"{kind.__name__}.v1 does not belong on a subject of kind `{family}`")
    return normalise_signal(event) if isinstance(event, Signal) else event


def _signal(item: bytes | Raw) -> SignalReceived | SignalResolved:
    return normalise_signal(read_signal(item))


def _check_subject(fact: Event, subject: Subject, size: int) -> None:
    """A fact or a command counts only on the subject of what it is about: permissions are by subject."""
    if subject.family is Family.OPERATOR:
        if (why := why_not_theirs(fact, subject.rest)) is not None:  # type: ignore[arg-type]
            raise UndecodableError(why)
    elif subject.family is not Family.SIGNAL:
        named = _NAMED[subject.family](fact)
        if named != subject.rest:
            raise UndecodableError(f"the event is about {named!r}, its subject about {subject.rest!r}")
    if size * GROWTH_MAX <= PARAMETERS_BYTES_MAX or subject.family not in _CHOOSING:
        return
    workflow: WorkflowRef | None = getattr(fact, "workflow", None)
    if workflow is not None and workflow.parameters:
        size = len(_encoder.encode(workflow.parameters))
        if size > PARAMETERS_BYTES_MAX:
            raise UndecodableError(f"`workflow.parameters`: {size:,} bytes, of {PARAMETERS_BYTES_MAX:,} at most")
