"""A body as the messages that it becomes: frames of CloudEvents, one or as many as it needs.

Each event says in `causationid` of which body it is, so the log itself knows which bodies it holds. What no reader
of the log could read, or is larger than a fact may be, stands in its place as an item that is refused."""

import hashlib
from collections.abc import Generator, Iterator, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from remediation_orchestrator.events import (
    CellName,
    Fingerprint,
    Recorded,
    StoredMessage,
    decode,
    encode,
    fingerprint_of,
    subjects,
)
from remediation_orchestrator.events.about import fingerprint_in
from remediation_orchestrator.events.codec import (
    CONTENT_TYPE,
    SPECVERSION,
    Attributes,
    event_source,
    join_frame,
)
from remediation_orchestrator.events.identity import position_key
from remediation_orchestrator.events.stored import MESSAGE_BYTES_MAX

from .items import STORED_BYTES_MAX, TOO_MUCH, BodyTooLargeError, Found, Kept, Refused, refuse

BODY = "body-"
# As CloudEvents' extension for it has it: whoever sends has shown a secret that has a name.
AUTHTYPE = "api_key"
# Half of SHA-256: two bodies with one digest will not be met, and a million of them fit in memory.
DIGEST_BYTES = 16
# The brackets of a frame, and the comma before an event.
_BRACKETS, _COMMA = 2, 1

Digest = bytes


class StoredBody(Struct, frozen=True):
    """What is stored of a body, together: its events, frame by frame, and which problems they are about."""

    digest: Digest
    frames: list[list[bytes]]
    problems: frozenset[Digest]
    size: int

    @property
    def fits(self) -> bool:
        """Whether one message holds it."""
        return len(self.frames) == 1


class BodyRead(Struct, frozen=True):
    """A body, or a part of one, found in a stored message. What others wrote there has the digest `b""`."""

    digest: Digest
    begins: int
    """Which of the body's events is the first here."""
    first: int
    """Where it stands in the message."""
    events: int
    problems: frozenset[Digest]


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
    cell: CellName, name: str, digest: Digest, items: list[Kept], now: datetime, sender: str = ""
) -> Generator[None, None, StoredBody]:
    """Write items as events of whoever sends them; it may rest after each. What it returns is the body.

    What cannot be written becomes an item that is refused, in `items` too. TooLargeError where it is too much."""
    writing = _Writing(cell, name, digest, now, sender)
    for index, item in enumerate(items):
        items[index] = writing.add(index, item)
        yield
    return StoredBody(digest, writing.frames, frozenset(writing.problems), writing.size)


class _Writing:
    """A body that is being written."""

    def __init__(self, cell: CellName, name: str, digest: Digest, now: datetime, sender: str) -> None:
        self.frames: list[list[bytes]] = [[]]
        self.problems: set[Digest] = set()
        self.size = 0
        self._of = (cell, name, digest, now)
        self._sender = {"authtype": AUTHTYPE, "authid": sender} if sender else {}
        self._caused = f"{BODY}{digest.hex()}"
        self._subject = subjects.signal(cell, name)
        self._frame_bytes = _BRACKETS

    def add(self, index: int, item: Kept) -> Kept:
        """Write an item behind the others, in their frame or in another; return it as it stands there."""
        item, event = self._written(index, item)
        if self._frame_bytes + len(event) + _COMMA > MESSAGE_BYTES_MAX:
            self._caused = f"{BODY}{self._of[2].hex()}-{index}"
            self.frames.append([])
            self._frame_bytes = _BRACKETS
            item, event = self._written(index, item)
        self.frames[-1].append(event)
        self._frame_bytes += len(event) + _COMMA
        self.size += len(event) + _COMMA
        if self.size > STORED_BYTES_MAX:
            raise BodyTooLargeError([TOO_MUCH])
        if isinstance(item, Found):
            self.problems.add(problem_of(_fingerprint(item)))
        return item

    def _written(self, index: int, item: Kept) -> tuple[Kept, bytes]:
        """An item and its event, read as the log's readers will: nobody's may spoil a frame that it shares."""
        attributes = _attributes(*self._of, self._caused, index, item)
        event = _event(item, msgspec.structs.replace(attributes, **self._sender))
        if isinstance(item, Refused):
            return item, event
        why = self._unreadable(event)
        if why is None:
            return item, event
        return self._written(index, refuse(item.where, [f"{item.where}: {why}"], msgspec.to_builtins(item.signal)))

    def _unreadable(self, event: bytes) -> str | None:
        if len(event) > MESSAGE_BYTES_MAX - _BRACKETS - _COMMA:
            return f"{len(event):,} bytes, and a fact has at most {MESSAGE_BYTES_MAX:,}"
        (record,) = decode(StoredMessage(1, self._of[3], self._subject, join_frame([event])))
        return None if isinstance(record, Recorded) else record.message


def problem_of(fingerprint: Fingerprint) -> Digest:
    """A fingerprint, which may be long, in a few bytes."""
    return hashlib.blake2b(fingerprint.encode(), digest_size=DIGEST_BYTES).digest()


def bodies_in(message: StoredMessage) -> Iterator[BodyRead]:
    """The bodies, and parts of such, that a stored message holds, in their order."""
    try:
        causes = [_cause(item) for item in _items.decode(message.payload)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        causes = []
    problems: dict[int, Digest] = {}
    for record in decode(message):
        if isinstance(record, Recorded):
            fingerprint = fingerprint_in(record.event)
            if fingerprint is not None:
                problems[position_key(record.position)[1]] = problem_of(fingerprint)
    if not causes:
        yield BodyRead(b"", 0, 0, 1, frozenset(problems.values()))
        return
    first = 0
    for index in range(1, len(causes) + 1):
        if index == len(causes) or causes[index] != causes[first]:
            about = frozenset(problems[one] for one in range(first, index) if one in problems)
            yield BodyRead(*causes[first], first, index - first, about)
            first = index


def frames_of(bodies: Sequence[StoredBody]) -> list[bytes]:
    """The messages that bodies become together: one, unless it is one body that is larger."""
    if len(bodies) == 1:
        return [join_frame(frame) for frame in bodies[0].frames]
    return [join_frame([event for body in bodies for event in body.frames[0]])]


def fits(size: int, body: StoredBody) -> bool:
    """Whether a body still fits in a message whose bodies have this size."""
    return body.fits and size + body.size + _BRACKETS <= MESSAGE_BYTES_MAX


def _fingerprint(item: Found) -> Fingerprint:
    signal = item.signal
    return Fingerprint(signal.fingerprint) if signal.fingerprint else fingerprint_of(signal.target, signal.name)


def _attributes(
    cell: CellName, name: str, digest: Digest, now: datetime, caused: str, index: int, item: Kept
) -> Attributes:
    if isinstance(item, Refused):
        return Attributes(
            f"{digest.hex()}-{index}", event_source(cell, f"gateway/{name}"), now, causationid=caused
        )
    given = item.attributes
    return Attributes(
        id=given.id if given else f"{digest.hex()}-{index}",
        source=given.source if given else event_source(cell, f"gateway/{name}"),
        time=given.time if given else now,
        subject=_fingerprint(item),
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
            **({"authtype": attributes.authtype, "authid": attributes.authid} if attributes.authid else {}),
            "data": item.data(),
        }
    )


def _cause(item: msgspec.Raw) -> tuple[Digest, int]:
    """Of which body an event is, and from which of its events on this message goes; `b""` where it is of none."""
    try:
        caused = _probe.decode(item).causationid
    except (msgspec.DecodeError, UnicodeDecodeError):
        return b"", 0
    if not isinstance(caused, str) or not caused.startswith(BODY):
        return b"", 0
    digest, _, begins = caused.removeprefix(BODY).partition("-")
    try:
        found = bytes.fromhex(digest), int(begins or 0)
    except ValueError:
        return b"", 0
    return found if len(found[0]) == DIGEST_BYTES else (b"", 0)
