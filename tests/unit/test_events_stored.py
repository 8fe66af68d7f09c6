"""The exported log: one stored message a line, and back to the same bytes."""

import json
from datetime import UTC, datetime

import pytest

from remediation_orchestrator.bus.connection import parse_headers
from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.events.stored import export_line, import_line

NOW = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
SUBJECT = "ro.main.signal.cli"


def stored(payload: bytes, headers: dict[str, str] | None = None) -> StoredMessage:
    """A message of the log."""
    return StoredMessage(41, NOW, SUBJECT, payload, headers)


def test_a_line_is_as_the_contract_writes_it() -> None:
    """Sequence, stamp in microseconds, subject, and the message itself."""
    line = export_line(stored(b'{"name":"x"}'))
    assert line == (
        b'{"sequence":41,"recorded_at":"2026-11-21T10:00:00.123456Z","subject":"ro.main.signal.cli",'
        b'"message":{"name":"x"}}'
    )


def test_headers_stand_there_where_there_are_any() -> None:
    """And only there."""
    with_headers = export_line(stored(b"{}", {"Nats-Msg-Id": "1"}))
    assert json.loads(with_headers)["headers"] == {"Nats-Msg-Id": "1"}
    assert "headers" not in json.loads(export_line(stored(b"{}")))
    assert import_line(with_headers) == stored(b"{}", {"Nats-Msg-Id": "1"})


@pytest.mark.parametrize("payload", [b'{"a":1}', b"[]", b"null", b'"x"', b'{"a":0.1,"b":[1,2],"c":"\xc3\xa9"}'])
def test_compact_json_is_written_as_it_is(payload: bytes) -> None:
    """Readable, and the same bytes when it is read."""
    line = export_line(stored(payload))
    assert "base64" not in json.loads(line)
    assert b"\n" not in line
    assert import_line(line) == stored(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not json",
        b"\xff",
        b'{"a": 1}',
        b'{"a":1,"a":2}',
        b'{"a":1.0e3}',
        b'{"a":"\\u00e9"}',
        b"{}\n",
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_anything_else_is_written_in_base64(payload: bytes) -> None:
    """Because encoding it again would not give the stored bytes."""
    line = export_line(stored(payload))
    assert "message" not in json.loads(line)
    assert import_line(line) == stored(payload)


def test_a_line_that_a_person_has_spaced_out_is_read() -> None:
    """Spaces of the editor are not part of the message."""
    line = b'{ "sequence": 1, "recorded_at": "2026-11-21T10:00:00Z", "subject": "s", "message": { "a": [1, 2] } }'
    assert import_line(line).payload == b'{"a":[1,2]}'


@pytest.mark.parametrize(
    ("message", "stored_as"),
    [
        (b'"\\u00e9"', b'"\xc3\xa9"'),
        (b'{"a":"b, c"}', b'{"a":"b, c"}'),
        (b'{"a":"\\n"}', b'{"a":"\\n"}'),
    ],
)
def test_what_another_program_has_escaped_is_read_as_it_was_stored(message: bytes, stored_as: bytes) -> None:
    """Also where the rest of the line is as we write it."""
    line = b'{"sequence":1,"recorded_at":"2026-11-21T10:00:00Z","subject":"s","message":' + message + b"}"
    assert import_line(line).payload == stored_as


HEAD = b'{"sequence":1,"recorded_at":"2026-11-21T10:00:00Z","subject":"s"'


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "truncated"),
        (b"x", "malformed"),
        (b"[]", "Expected `object`"),
        (b"{}", "sequence"),
        (HEAD + b"}", "neither `message` nor `base64`"),
        (HEAD + b',"base64":"?"}', "base64"),
        (HEAD + b',"message":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion"),
        (b'{"sequence":0,"recorded_at":"2026-11-21T10:00:00Z","subject":"s","message":1}', "sequence"),
        (b'{"sequence":1,"recorded_at":"2026-11-21T10:00:00","subject":"s","message":1}', "timezone"),
        (b'{"sequence":1,"recorded_at":"2026-11-21T10:00:00Z","message":1}', "subject"),
    ],
)
def test_a_line_that_is_none_is_refused_with_a_reason(line: bytes, says: str) -> None:
    """A stamp without a zone and a sequence before the first belong to no log."""
    with pytest.raises(ValueError, match=says):
        import_line(line)


def test_headers_that_are_no_text_are_read_as_their_bytes() -> None:
    """Two that differ in one byte are two, in a file too."""
    one, other = (parse_headers(b"NATS/1.0\r\nX: a%b\r\nY: b\r\n" % byte) for byte in (b"\xff", b"\xfe"))
    assert one != other
    line = export_line(stored(b"{}", one))
    assert b'"headers":{"Y":"b"},"headers_base64":{"X":"Yf8="}' in line
    assert import_line(line).headers == one
