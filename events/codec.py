"""Bytes to events and back: CloudEvents 1.0 in JSON, single and batch, and bare signals.

What cannot be decoded is a value (`Undecodable`), never an exception: a record of the log is never lost."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any, Literal, Protocol, TypeVar, Union, get_args

import msgspec
from msgspec import Raw, Struct

from .commands import Command
from .decisions import Decision
from .duplicates import DuplicatesDecided, StoredDecision
from .facts import Fact, Signal, SignalReceived, SignalResolved
from .identity import CellName, Fingerprint, Position, WorkflowRef, fingerprint_of, position
from .stored import MESSAGE_BYTES_MAX, StoredMessage
from .subjects import FACTS, Family, Subject, parse

T = TypeVar("T")
Event = Fact | Decision | Command
Written = Event | DuplicatesDecided

TYPES: dict[str, type] = {f"{one.__name__}.v1": one for one in get_args(Written)}
SPECVERSION = "1.0"
CONTENT_TYPE = "application/json"
# Far beyond any signal, and far within what the decoder's recursion bears: where that gives out depends on the
# caller's own stack, and the same bytes have to be judged alike live and in replay.
NESTING_MAX = 100
# All that is no bracket: strings, brackets in them included, and whatever stands between brackets and strings.
_FLAT = re.compile(rb'(?:[^"\[{\]}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z))++', re.DOTALL)
_OTHERS = bytes(set(range(256)) - set(b'"[{]}\\'))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
# A number of four characters may be written again with nineteen; nothing grows as much as this.
GROWTH_MAX = 8
# A message is a sentence. Whatever text went wrong is in the log itself.
COMPLAINT_CHARACTERS_MAX = 500
# Parameters go into a decision and its command; numbers may grow as they are written again, so that is bounded.
PARAMETERS_BYTES_MAX = 64 * 1024


class Recorded(Struct, frozen=True, gc=False):
    """An event of the log, where it stands and when the broker stored it."""

    position: Position
    recorded_at: datetime
    event: Event


class Undecodable(Struct, frozen=True):
    """A record that is no event: what is wrong with it, and where. `unknown_type` names a type we do not know."""

    position: Position
    recorded_at: datetime
    reason: Literal["Undecodable", "TooLarge"]
    message: str
    unknown_type: str | None = None


Decoded = Recorded | Undecodable


class Attributes(Struct, frozen=True, omit_defaults=True):
    """The CloudEvents attributes around an event's data."""

    id: str
    source: str
    time: datetime
    subject: str = ""
    causationid: str = ""
    correlationid: str = ""
    traceparent: str = ""


class _Envelope(Struct, frozen=True, omit_defaults=True):
    specversion: str
    id: str
    source: str
    type: str
    time: datetime
    datacontenttype: str
    data: Any
    subject: str = ""
    causationid: str = ""
    correlationid: str = ""
    traceparent: str = ""


class _Probe(Struct):
    """As little of an item as tells what it is; a bare signal may use these words for things of its own."""

    specversion: Any = None
    type: Any = ""
    data: Raw = Raw(b"")


class _RefusedError(Exception):
    """What is wrong with one item, on its way to becoming an `Undecodable`."""

    def __init__(self, message: str, unknown_type: str | None = None) -> None:
        super().__init__(message)
        self.unknown_type = unknown_type


_UNREAD = (msgspec.DecodeError, UnicodeDecodeError, _RefusedError)
_encoder = msgspec.json.Encoder()
_items = msgspec.json.Decoder(list[Raw])
_probe = msgspec.json.Decoder(_Probe)
_HOME: dict[Family, tuple[type, ...]] = {
    **FACTS,
    Family.DECISION: get_args(StoredDecision),
    Family.COMMAND: get_args(Command),
}
"""What may be said on the subjects of each family."""
_VERBATIM = ("parameters", "policy")
"""What is somebody else's to read, nulls and all."""
_CHOOSING = (Family.SIGNAL, Family.ANALYSIS)
"""The families of the facts that name a workflow."""
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


class _Told(Protocol):
    """A CloudEvent whose type has told how to read its data."""

    data: Any


def _told(family: Family) -> Any:
    """The CloudEvents of a family as one union, so that type and data are read in one pass."""
    version = ("specversion", Literal["1.0"])
    return Union[  # noqa: UP007 - of a tuple
        tuple(
            msgspec.defstruct(
                kind.__name__, [version, ("data", kind)], tag_field="type", tag=f"{kind.__name__}.v1", gc=False
            )
            for kind in _HOME[family]
        )
    ]


_one: dict[Family, msgspec.json.Decoder[_Told]] = {
    family: msgspec.json.Decoder(_told(family)) for family in Family
}
_many: dict[Family, msgspec.json.Decoder[list[_Told]]] = {
    family: msgspec.json.Decoder(list[_told(family)])  # type: ignore[misc]
    for family in Family
}
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


def decode(message: StoredMessage) -> list[Decoded]:
    """Read every event of a stored message. Never raises: what is wrong becomes an `Undecodable`."""
    try:
        return _decode(message)
    except RecursionError:  # No fact comes so far; of decisions and commands nobody counts the nesting.
        return [_undecodable(message, None, _RefusedError("nested too deeply"))]


def _decode(message: StoredMessage) -> list[Decoded]:
    try:
        subject = parse(message.subject)
    except ValueError as error:
        return [_undecodable(message, None, _RefusedError(str(error)))]
    if subject.family.is_fact and len(message.payload) > MESSAGE_BYTES_MAX:
        size = f"{len(message.payload):,} bytes, and a fact has at most {MESSAGE_BYTES_MAX:,}"
        return [Undecodable(position(message.sequence), message.recorded_at, "TooLarge", size)]
    if subject.family.is_fact and _nesting(message.payload) > NESTING_MAX:
        return [_undecodable(message, None, _RefusedError(f"nested deeper than {NESTING_MAX}"))]
    if message.payload.lstrip()[:1] != b"[":
        return _decode_item(message, None, message.payload, subject)
    try:
        return _decode_at_once(message, subject)
    except _UNREAD:
        pass  # One by one will show which, and what is wrong with it.
    try:
        items = _items.decode(message.payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return [_undecodable(message, None, _RefusedError(f"not JSON: {error}"))]
    return [one for index, item in enumerate(items) for one in _decode_item(message, index, item, subject)]


def _decode_at_once(message: StoredMessage, subject: Subject) -> list[Decoded]:
    """Read an array in one pass. Raises where an item is not as it should be, or cannot be told without a look."""
    payload = message.payload
    events: list[Written]
    if subject.family is not Family.SIGNAL:
        events = [one.data for one in _many[subject.family].decode(payload)]
    elif b'"specversion"' not in payload:
        events = [_settled(signal) for signal in _bare.decode(payload)]
    elif b"\\u" not in payload:  # An item that writes the word with an escape is taken for a bare signal.
        events = [_settled(one.data) for one in _many[subject.family].decode(payload)]
    else:
        raise _RefusedError("bare signals or CloudEvents")
    return [one for index, written in enumerate(events) for one in _recorded(message, index, written, subject)]


def decode_signal(payload: bytes) -> SignalReceived | SignalResolved:
    """Read one bare signal. Raises ValueError saying what is wrong, and where."""
    try:
        return _signal(payload)
    except _RefusedError as refused:
        raise ValueError(str(refused)) from refused


def attributes_of(item: bytes | Raw) -> Attributes | None:
    """Read the attributes around an event, or None where there are none to read (a bare signal)."""
    try:
        found: Attributes = _decoder(Attributes).decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found


def source(cell: CellName, part: str) -> str:
    """The CloudEvents source of what a part of this system writes, such as `/ro/main/executor/e1`."""
    return f"/ro/{cell}/{part}"


def _nesting(payload: bytes) -> int:
    """How deep arrays and objects stand in one another, or, where that is no concern, how many there are."""
    if (opened := payload.count(b"[") + payload.count(b"{")) <= NESTING_MAX:
        return opened
    escapes = payload.replace(b"\\\\", b"\\_").replace(b'\\"', b"\\_") if b"\\" in payload else payload
    # Every second quotation mark that is left ends a string, and in nearly all of them there is no bracket.
    marks = escapes.translate(None, _OTHERS).replace(b'""', b"")
    brackets = b"".join(marks.split(b'"')[::2])
    if b"\\" in brackets:  # No JSON: out there nothing is escaped.
        brackets = _FLAT.sub(b"", payload)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


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
    )


def _decode_item(message: StoredMessage, index: int | None, item: bytes | Raw, subject: Subject) -> list[Decoded]:
    try:
        return _recorded(message, index, _event(item, subject.family), subject)
    except _RefusedError as refused:
        return [_undecodable(message, index, refused)]


def _recorded(message: StoredMessage, index: int | None, written: Written, subject: Subject) -> list[Decoded]:
    """What a record says: one event, or each of the verdicts that it gathers."""
    place = position(message.sequence, index)
    if isinstance(written, DuplicatesDecided):
        return [Recorded(place, message.recorded_at, event) for event in written.singly()]
    if subject.family.is_fact:
        _check_subject(written, subject, len(message.payload))
    return [Recorded(place, message.recorded_at, written)]


def _undecodable(message: StoredMessage, index: int | None, refused: _RefusedError) -> Undecodable:
    place = position(message.sequence, index)
    complaint = str(refused)[:COMPLAINT_CHARACTERS_MAX]
    return Undecodable(place, message.recorded_at, "Undecodable", complaint, refused.unknown_type)


def _event(item: bytes | Raw, family: Family) -> Written:
    """Read one item: in one pass where it is as it should be, else step by step to say what it is or lacks."""
    if family is Family.SIGNAL and b'"specversion"' not in bytes(item):
        return _signal(item)
    try:
        event: Written = _one[family].decode(item).data
    except _UNREAD:
        return _event_by_steps(item, family)
    return _settled(event) if isinstance(event, Signal) else event


def _event_by_steps(item: bytes | Raw, family: Family) -> Written:
    probe = _read(_probe, item)
    if probe.specversion is None and family is Family.SIGNAL:
        return _signal(item)
    if probe.specversion != SPECVERSION:
        raise _RefusedError('not a CloudEvent 1.0: `specversion` is not "1.0"')
    if not isinstance(probe.type, str):
        raise _RefusedError("not a CloudEvent 1.0: `type` is not a string")
    kind = TYPES.get(probe.type)
    if kind is None:
        raise _RefusedError(f"unknown event type {probe.type!r}", unknown_type=probe.type)
    if not probe.data:
        raise _RefusedError("the event has no `data`")
    event: Written = _read(_decoder(kind), probe.data, kind, "data")
    if not isinstance(event, _HOME[family]):
        raise _RefusedError(f"{kind.__name__}.v1 does not belong on a subject of kind `{family}`")
    return _settled(event) if isinstance(event, Signal) else event


def _signal(item: bytes | Raw) -> SignalReceived | SignalResolved:
    return _settled(_read(_decoder(SignalReceived), item, SignalReceived))


def _settled(signal: Signal) -> SignalReceived | SignalResolved:
    """Settle a signal's fingerprint; either its type or its status may say that it is over."""
    if not signal.fingerprint:
        signal = msgspec.structs.replace(signal, fingerprint=fingerprint_of(signal.target, signal.name))
    over = signal.status == "resolved"
    if isinstance(signal, SignalResolved):
        return signal if over else msgspec.structs.replace(signal, status="resolved")
    if isinstance(signal, SignalReceived) and not over:
        return signal
    return SignalResolved(**{**msgspec.structs.asdict(signal), "status": "resolved"})


def _check_subject(fact: Event, subject: Subject, size: int) -> None:
    """A fact counts only on the subject of what it is about: permissions are by subject."""
    if subject.family in (Family.EXECUTION, Family.ANALYSIS):
        named = getattr(fact, "execution" if subject.family is Family.EXECUTION else "remediation")
        if named != subject.rest:
            raise _RefusedError(f"the event is about {named!r}, its subject about {subject.rest!r}")
    if size * GROWTH_MAX <= PARAMETERS_BYTES_MAX or subject.family not in _CHOOSING:
        return
    workflow: WorkflowRef | None = getattr(fact, "workflow", None)
    if workflow is not None and workflow.parameters:
        size = len(_encoder.encode(workflow.parameters))
        if size > PARAMETERS_BYTES_MAX:
            raise _RefusedError(f"`workflow.parameters`: {size:,} bytes, of {PARAMETERS_BYTES_MAX:,} at most")


def _read(decoder: msgspec.json.Decoder[T], item: bytes | Raw, kind: Any = None, where: str = "") -> T:
    """Decode, and where that fails once more without nulls: an optional value may be absent or null."""
    try:
        return decoder.decode(item)
    except msgspec.ValidationError as error:
        if kind is None or b"null" not in bytes(item):
            raise _RefusedError(_place(error, where)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _RefusedError(f"not JSON: {error}") from error
    try:
        converted: T = msgspec.convert(_without_nulls(msgspec.json.decode(item)), kind)
    except msgspec.ValidationError as error:
        raise _RefusedError(_place(error, where)) from error
    return converted


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: inner if key in _VERBATIM else _without_nulls(inner)
            for key, inner in value.items()
            if inner is not None
        }
    return value


def _place(error: msgspec.ValidationError, where: str) -> str:
    return str(error).replace("`$.", f"`{where}." if where else "`").replace(" - at `$`", "")


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    found = _decoders.get(kind)
    if found is None:
        found = _decoders[kind] = msgspec.json.Decoder(kind)
    return found


def fingerprint_in(event: Event) -> Fingerprint | None:
    """The fingerprint that an event carries itself, if it does."""
    found: Fingerprint | None = getattr(event, "fingerprint", None)
    return found
