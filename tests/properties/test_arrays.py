"""Whatever an array holds: it is read in one pass where it can be, and always as each item would be read alone."""

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from remediation_orchestrator.events import (
    Decoded,
    Recorded,
    SignalReceived,
    StoredMessage,
    Target,
    Undecodable,
    decode,
    encode,
)
from remediation_orchestrator.events.bounds import NESTING_MAX
from remediation_orchestrator.events.codec import Attributes, join_frame
from remediation_orchestrator.events.stored import EXPECTED

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SIGNAL = SignalReceived(name="Crash", target=Target("checkout"))
BARE = b'{"name":"Crash","target":{"name":"checkout"}}'
CLOUD_EVENT = encode(SIGNAL, Attributes(id="1", source="/test", time=NOW))
ITEMS = [
    BARE,
    CLOUD_EVENT,
    b'{"name":"Crash","target":{"name":"checkout"},"status":"resolved"}',
    b'{"name":"Crash","target":{"name":"checkout"},"severity":null,"workflow":null}',
    b'{"name":"Crash","target":{"name":"checkout"},"annotations":{"a":"\\"specversion\\" \\n"}}',
    b'{"name":"Crash","target":{"name":"checkout"},"labels":{"specversion":"1.0"}}',
    b'{"name":"Crash","target":{"name":"checkout"},"labels":{"a":"]}{[","b":"}"}}',
    b'{"name":"Crash","target":{"name":"checkout"},"workflow":{"id":"w","parameters":{"a":[[1]]}}}',
    CLOUD_EVENT.replace(b"specversion", b"spec\\u0076ersion"),
    CLOUD_EVENT.replace(b"SignalReceived", b"SignalResolved"),
    CLOUD_EVENT.replace(b"SignalReceived", b"WorkflowStarted"),
    CLOUD_EVENT.replace(b"1.0", b"2.0"),
    b'{"name":"Crash","target":{}}',
    b"{}",
    b"5",
    b"null",
]


@given(st.lists(st.sampled_from(ITEMS), max_size=6))
def test_an_array_is_read_as_each_of_its_items_is_alone(items: list[bytes]) -> None:
    """Bare signals, CloudEvents, and what is neither, in any mixture."""
    together = decode(StoredMessage(1, NOW, "ro.main.signal.test", join_frame(items)))
    alone = [one for item in items for one in decode(StoredMessage(1, NOW, "ro.main.signal.test", item))]
    assert [one.position for one in together] == [f"1-{index}" for index in range(len(items))]
    assert list(map(said, together)) == list(map(said, alone))


def said(one: Decoded) -> object:
    """What was read, wherever it stands."""
    return one.event if isinstance(one, Recorded) else (one.reason, one.message, one.unknown_type)


nested = st.recursive(
    st.sampled_from([1, "", "[", "{{", "]", '"', "\\", "a]b[c"]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.sampled_from('[]"\\a'), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(nested, st.integers(min_value=NESTING_MAX - 12, max_value=NESTING_MAX + 2), st.booleans())
def test_nesting_is_counted_outside_of_strings(value: object, more: int, in_list: bool) -> None:
    """Whatever brackets, quotation marks and escapes the strings hold."""
    for _ in range(more):
        value = [value] if in_list else {"[": value}
    body = {"name": "Crash", "target": {"name": "checkout"}, "junk": value}
    (read,) = decode(StoredMessage(1, NOW, "ro.main.signal.test", msgspec.json.encode(body)))
    assert isinstance(read, Recorded) is (depth(body) <= NESTING_MAX)


def depth(value: object) -> int:
    """How deep arrays and objects stand in one another."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


pieces = st.sampled_from([b'"', b"\\", b"[", b"]", b"{", b"}", b"n", b"_", b'"a"', b'\\"', b"\\\\"])


@given(st.lists(pieces, max_size=25).map(b"".join), st.integers(min_value=NESTING_MAX - 5, max_value=NESTING_MAX))
def test_nesting_is_counted_in_what_is_no_json_too(rubbish: bytes, more: int) -> None:
    """It decides of what a record is accused, so it may never change."""
    payload = b"[" * more + b"[]" * NESTING_MAX + rubbish
    (read,) = decode(StoredMessage(1, NOW, "ro.main.operator.clear.ann", payload, {EXPECTED: "0"}))
    assert isinstance(read, Undecodable)
    assert (read.message == f"nested deeper than {NESTING_MAX}") is (deepest(payload) > NESTING_MAX)


def deepest(payload: bytes) -> int:
    """How deep brackets stand in one another, read byte by byte; an escape is one within a string only."""
    deep = most = 0
    in_string = escaped = False
    for byte in map(chr, payload):
        if in_string:
            in_string = escaped or byte != '"'
            escaped = not escaped and byte == "\\"
        else:
            in_string = byte == '"'
            deep += (byte in "[{") - (byte in "]}")
            most = max(most, deep)
    return most
