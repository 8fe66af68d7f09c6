"""What the log holds: one stored message, as the broker gives it and as an exported log writes it."""

import base64
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

MESSAGE_ID = "Nats-Msg-Id"

MESSAGE_BYTES_MAX = 256 * 1024
"""A larger fact stays in the log and is answered by `SignalRejected`, so whatever follows from one fits."""

RECORD_BYTES_MAX = 1024 * 1024
"""What the orchestrator writes stays below this, which is what a broker takes where nobody says otherwise."""

CLOCKS_DIFFER_MAX = timedelta(seconds=5)
"""Clocks that agree within this are called one: whoever keeps them keeps them closer, and nobody waits longer for
nothing. Beyond, the broker's or the writer's was set wrong, or has stepped."""

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
"""The header by which the server holds a publisher to what it expects to be the last record on the subject."""
# With this beside it the expectation is of another subject, and says nothing of this one.
_OF_ANOTHER = f"{EXPECTED}-Subject"
# A sequence has 64 bits.
_DIGITS_MAX = 20


class StoredMessage(Struct, frozen=True, gc=False):
    """One message of the log. `recorded_at` is the broker's stamp, in whole microseconds, UTC.

    Bytes of a header that are no UTF-8 are its surrogates, as `surrogateescape` makes them."""

    sequence: int
    recorded_at: datetime
    subject: str
    payload: bytes
    headers: dict[str, str] | None = None


def expectation(message: StoredMessage) -> int | None:
    """The sequence that a record's writer expected to be the last on its subject; None where it expected none."""
    headers = message.headers
    if headers is None or _OF_ANOTHER in headers:
        return None
    said = headers.get(EXPECTED, "")
    return int(said) if said.isascii() and said.isdigit() and len(said) <= _DIGITS_MAX else None


class _Line(Struct, omit_defaults=True, gc=False):
    sequence: Annotated[int, Meta(ge=1)]
    recorded_at: Annotated[datetime, Meta(tz=True)]
    subject: str
    message: Raw = Raw(b"")
    base64: str | None = None
    headers: dict[str, str] | None = None
    headers_base64: dict[str, str] | None = None


_BEGINNING, _SPACE = b'{"sequence":', ord(" ")
_decoder = msgspec.json.Decoder(_Line)
_encoder = msgspec.json.Encoder()


def export_line(message: StoredMessage) -> bytes:
    """Write a stored message as one line of an exported log, without the newline."""
    head = _encoder.encode(
        {"sequence": message.sequence, "recorded_at": message.recorded_at, "subject": message.subject}
    )
    tail = (
        b',"message":' + message.payload
        if _is_compact(message.payload)
        else (b',"base64":' + _encoder.encode(base64.b64encode(message.payload).decode()))
    )
    headers = _written_headers(message.headers) if message.headers else b""
    return head[:-1] + tail + headers + b"}"


def import_line(line: bytes) -> StoredMessage:
    """Read a line of an exported log. Raises ValueError saying what is wrong with it."""
    try:
        read = _decoder.decode(line)
        payload = (
            base64.b64decode(read.base64, validate=True)
            if read.base64 is not None
            else _compact(bytes(read.message), line)
        )
        headers = _read_headers(read)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not payload and read.base64 is None:
        raise ValueError("neither `message` nor `base64`")
    return StoredMessage(read.sequence, read.recorded_at, read.subject, payload, headers)


def _written_headers(headers: dict[str, str]) -> bytes:
    """Where bytes of a value are no text JSON has no word for them, so that value is written in base64."""
    try:
        return b',"headers":' + _encoder.encode(headers)
    except UnicodeEncodeError:
        raw = {name: value.encode(errors="surrogateescape") for name, value in headers.items()}
    odd = {name: base64.b64encode(raw[name]).decode() for name in raw if not _is_text(raw[name])}
    text = {name: value for name, value in headers.items() if name not in odd}
    written = b',"headers":' + _encoder.encode(text) if text else b""
    return written + b',"headers_base64":' + _encoder.encode(odd)


def _read_headers(read: _Line) -> dict[str, str] | None:
    if read.headers_base64 is None:
        return read.headers
    odd = {
        name: base64.b64decode(value, validate=True).decode(errors="surrogateescape")
        for name, value in read.headers_base64.items()
    }
    return {**(read.headers or {}), **odd}


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_compact(payload: bytes) -> bool:
    try:
        return _encoder.encode(msgspec.json.decode(payload)) == payload
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _compact(message: bytes, line: bytes) -> bytes:
    """Undo the spaces and escapes that a person's editor or another program may have put into a line.

    To encode every message again would take longer than all else that is read of it: a line that begins as ours
    do, without a space, and in which nothing is escaped, holds what was stored."""
    if line.startswith(_BEGINNING) and line[len(_BEGINNING)] != _SPACE and b"\\" not in message:
        return message
    return message if not message or _is_compact(message) else _encoder.encode(msgspec.json.decode(message))
