"""Whatever anybody has stored, an exported log holds it to the byte, and the chain says the same of it."""

from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from remediation_orchestrator.bus.connection import parse_headers
from remediation_orchestrator.bus.imported import restore_record, wrap_record
from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.events.stored import export_line, import_line
from remediation_orchestrator.orchestrator.routing.chain import record_digest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JSON = st.sampled_from([b"{}", b'{"a":1}', b'{ "a" : 1.0 }', b'"\\u0061"', b"[1,\n2]", b"null", b"1e5"])


@st.composite
def stored(draw: st.DrawFn) -> StoredMessage:
    """A record as a reader has it of any bytes that were published."""
    names = st.from_regex(rb"[!-9;-~]{1,8}", fullmatch=True)
    lines = draw(st.lists(st.tuples(names, st.binary(max_size=12)), max_size=4))
    block = b"NATS/1.0\r\n" + b"".join(b"%b: %b\r\n" % line for line in lines)
    subject = draw(st.binary(max_size=12)).decode(errors="replace")
    stamp = EPOCH + timedelta(microseconds=draw(st.integers(0, 4 * 10**15)))
    payload = draw(st.binary(max_size=40) | JSON)
    return StoredMessage(draw(st.integers(1, 2**53)), stamp, subject, payload, parse_headers(block))


@given(stored())
@example(StoredMessage(1, EPOCH, "", b"{}", {"a": "\udcff", "b": "text"}))
def test_whatever_the_bytes_a_record_is_the_same_after_export_and_import(message: StoredMessage) -> None:
    """In a file, and in the stream that a file is brought into, whose own headers are text."""
    again = import_line(export_line(message))
    assert again == message
    assert record_digest(again) == record_digest(message)
    headers = wrap_record(again)
    assert "".join(headers.values()).isascii()
    carried = StoredMessage(message.sequence, EPOCH, message.subject, message.payload, headers)
    assert restore_record(carried) == message
