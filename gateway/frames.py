"""A body as the part of a frame that it becomes. Each of its events says in `causationid` which body it is of.

So the log itself knows which bodies it holds. A body whose events do not fit in a message as CloudEvents is
written with its first event in full and the others bare, after it; one that does not fit so either is refused."""

import hashlib
from collections.abc import Generator, Iterator, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from remediation_orchestrator.events import (
    CellName,
    Recorded,
    StoredMessage,
    decode,
    encode,
    fingerprint_of,
    subjects,
)
from remediation_orchestrator.events.codec import CONTENT_TYPE, SPECVERSION, Attributes, join_frame, source
from remediation_orchestrator.events.stored import MESSAGE_BYTES_MAX

from .items import Found, Kept, Refused, TooLargeError, WebhookError

BODY = "body-"
# Half of SHA-256: two bodies with one digest will not be met, and a million of them fit in memory.
DIGEST_BYTES = 16
# The brackets of a frame, and the comma before an event.
_BRACKETS, _COMMA = 2, 1

Digest = bytes


class Body(Struct, frozen=True):
    """What is stored of a body, together: its events, encoded."""

    digest: Digest
    events: list[bytes]
    size: int


class BodyRead(Struct, frozen=True):
    """A body found in a stored message: the index of its first event, and how many they are."""

    digest: Digest
    first: int
    events: int


class _Probe(Struct):
    specversion: object = None
    causationid: object = ""


_items = msgspec.json.Decoder(list[msgspec.Raw])
_probe = msgspec.json.Decoder(_Probe)


def digest_of(*parts: bytes) -> Digest:
    """Name a body by all that makes it what it is."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"\0%d\0" % len(part))
        digest.update(part)
    return digest.digest()[:DIGEST_BYTES]


def body_of(
    cell: CellName, name: str, digest: Digest, items: Sequence[Kept], now: datetime
) -> Generator[None, None, Body]:
    """Write items as events; it may rest after each. What it returns is the body.

    TooLargeError where no message holds them, WebhookError where one is unreadable."""
    events: list[bytes] = []
    size, bare = _BRACKETS, False
    for index, item in enumerate(items):
        event = _bare(item) if bare else _event(item, _attributes(cell, name, digest, index, item, now))
        events.append(event)
        size += len(event) + _COMMA
        if size > MESSAGE_BYTES_MAX and not bare:
            events[1:] = [_bare(one) for one in items[1 : index + 1]]
            size, bare = _size(events) + _BRACKETS, True
        if size > MESSAGE_BYTES_MAX:
            raise TooLargeError(["its signals fit in no message of the log: send fewer alerts at once"])
        yield
    wrong: list[str] = []
    for event, item in zip(events, items, strict=True):
        wrong += _unreadable(subjects.signal(cell, name), event, item, now)
        yield
    if wrong:
        raise WebhookError(wrong)
    return Body(digest, events, _size(events))


def bodies_in(message: StoredMessage) -> Iterator[BodyRead]:
    """The bodies that a stored message holds. What other publishers wrote there is not ours to name."""
    try:
        items = _items.decode(message.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    current, first = b"", 0
    for index, item in enumerate(items):
        digest = _digest_in(item)
        if digest is None or digest == current:  # A bare event belongs to the body before it.
            continue
        if current:
            yield BodyRead(current, first, index - first)
        current, first = digest, index
    if current:
        yield BodyRead(current, first, len(items) - first)


def frame_of(bodies: Sequence[Body]) -> bytes:
    """Gather bodies into one message."""
    return join_frame([event for body in bodies for event in body.events])


def fits(size: int, body: Body) -> bool:
    """Whether a body still fits in a frame whose bodies have this size."""
    return size + body.size + _BRACKETS <= MESSAGE_BYTES_MAX


def _attributes(cell: CellName, name: str, digest: Digest, index: int, item: Kept, now: datetime) -> Attributes:
    caused = f"{BODY}{digest.hex()}"
    if isinstance(item, Refused):
        return Attributes(f"{digest.hex()}-{index}", source(cell, f"gateway/{name}"), now, causationid=caused)
    signal = item.signal
    given = item.attributes
    return Attributes(
        id=given.id if given else f"{digest.hex()}-{index}",
        source=given.source if given else source(cell, f"gateway/{name}"),
        time=given.time if given else now,
        subject=signal.fingerprint or fingerprint_of(signal.target, signal.name),
        causationid=caused,
        correlationid=given.correlationid if given else "",
        traceparent=given.traceparent if given else "",
    )


def _event(item: Kept, attributes: Attributes) -> bytes:
    if isinstance(item, Found):
        return encode(item.signal, attributes)
    return msgspec.json.encode(
        {
            "specversion": SPECVERSION,
            "id": attributes.id,
            "source": attributes.source,
            "type": "SignalReceived.v1",
            "time": attributes.time,
            "datacontenttype": CONTENT_TYPE,
            "causationid": attributes.causationid,
            "data": item.data(),
        }
    )


def _bare(item: Kept) -> bytes:
    return msgspec.json.encode(item.signal if isinstance(item, Found) else item.data())


def _size(events: Sequence[bytes]) -> int:
    return sum(len(event) + _COMMA for event in events)


def _unreadable(subject: str, event: bytes, item: Kept, now: datetime) -> list[str]:
    """Read an event as the log's readers will: nobody's signal may spoil a frame that it shares with others'."""
    (record,) = decode(StoredMessage(1, now, subject, join_frame([event])))
    if isinstance(record, Recorded) == isinstance(item, Found):
        return []
    return [f"{item.where}: {getattr(record, 'message', 'a refused item that reads as a signal')}"]


def _digest_in(item: msgspec.Raw) -> Digest | None:
    try:
        caused = _probe.decode(item).causationid
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(caused, str) or not caused.startswith(BODY):
        return None
    try:
        digest = bytes.fromhex(caused.removeprefix(BODY))
    except ValueError:
        return None
    return digest if len(digest) == DIGEST_BYTES else None
