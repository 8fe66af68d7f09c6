"""Whatever the bytes, on whatever subject, under whatever headers: `decode` returns values, and boundedly many."""

from datetime import UTC, datetime

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remediation_orchestrator.bus.connection import parse_headers
from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    BlockCleared,
    Command,
    CreateWorkflow,
    Decoded,
    Event,
    ExecutionId,
    Fingerprint,
    PolicyAdopted,
    Recorded,
    RemediationId,
    RetryRequested,
    SignalReceived,
    SignalResolved,
    StoredMessage,
    Target,
    Undecodable,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRef,
    WorkflowRevoked,
    WorkflowStarted,
    decode,
    encode,
)
from remediation_orchestrator.events.bounds import REJECTIONS_MAX
from remediation_orchestrator.events.codec import Attributes, join_frame
from remediation_orchestrator.events.stored import EXPECTED

NOW = datetime(2026, 11, 22, tzinfo=UTC)
AROUND = Attributes(id="1", source="/test", time=NOW)
TARGET = Target("checkout", namespace="shop")
RESTART = WorkflowRef("restart", parameters={"grace": 5, "why": None})
RUN, OF = ExecutionId("wfe-1"), RemediationId("rr-1")
EVENTS: list[Event] = [
    SignalReceived(name="Crash", target=TARGET, workflow=RESTART, starts_at=NOW),
    SignalResolved(name="Crash", target=TARGET, status="resolved"),
    AnalysisCompleted(OF, target=TARGET, workflow=RESTART, confidence=0.5),
    AnalysisFailed(OF, reason="Unknown"),
    WorkflowStarted(RUN, executor="e1"),
    WorkflowCompleted(RUN, output="done"),
    WorkflowFailed(RUN, reason="TaskFailed", exit_code=1),
    WorkflowRevoked(RUN),
    BlockCleared(fingerprint=Fingerprint("f"), by="ann"),
    RetryRequested(OF, "ann"),
    PolicyAdopted({"routing": {"retry_limit": None, "alert_memory": "24h"}}, by="ann"),
]
COMMAND: Command = CreateWorkflow(RUN, OF, Fingerprint("f"), TARGET, RESTART, NOW, NOW, decided_at="1")  # type: ignore[arg-type]
BARE = b'{"name":"Crash","target":{"name":"checkout"},"severity":null}'
RECORDS = [BARE, *(encode(event, AROUND) for event in [*EVENTS, COMMAND])]
SUBJECTS = [
    "ro.main.signal.test",
    "ro.main.analysis.rr-1",
    "ro.main.execution.wfe-1",
    "ro.main.operator.clear.ann",
    "ro.main.operator.retry.ann",
    "ro.main.operator.adopt.ann",
    "ro.main.decision",
    "ro.main.command.workflow.wfe-1",
    "ro.main.elsewhere",
]
PIECES = [
    *(b"null", b"{}", b"[]", b"[", b"]", b"{", b"}", b'"', b"\\", b",", b":", b"\xff", b"\x00", b"\\ud800"),
    *(b"5", b"-", b"1e999", b"9" * 40, b"true", b'"x":null', b'"name":5', b"null,", b"[" * 200),
    *(b'"specversion"', b'"data":', b'"type":"WorkflowStarted.v1"', b'"\\u0073pecversion":"1.0"'),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A record of any kind, or an array of some, cut, doubled and patched in a few places."""
    payload = draw(st.sampled_from(RECORDS))
    if draw(st.booleans()):
        payload = join_frame(draw(st.lists(st.sampled_from(RECORDS), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 4))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(payload))] * 2)))
        end = min(end, start + draw(st.sampled_from([0, 1, 5, 1_000_000])))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=3) | st.just(payload[start:end] * 2))
        payload = payload[:start] + piece + payload[end:]
    return payload


@settings(max_examples=500)
@given(mutated(), st.sampled_from(SUBJECTS))
@example(b'{"name":5,"x":null', SUBJECTS[0])
@example(b'{"name":5,"x":null,"y":"\xff"}', SUBJECTS[0])
@example(b'[{"name":5,"x":null,"y":"\xff"},' + BARE + b"]", SUBJECTS[0])
def test_whatever_the_bytes_decode_returns_values(payload: bytes, subject: str) -> None:
    """An event that can be written again, or what is wrong; each at a place of its own, in order."""
    records = decode(StoredMessage(41, NOW, subject, payload, {EXPECTED: "40"}))
    for record in records:
        assert record.position.partition("-")[0] == "41"
        if isinstance(record, Recorded):
            assert encode(record.event, AROUND)
        else:
            assert msgspec.json.encode(record)
    if subject != "ro.main.decision":  # There one record may say many verdicts.
        assert len({record.position for record in records}) == len(records)
    assert sum(isinstance(record, Undecodable) for record in records) <= REJECTIONS_MAX


@given(st.lists(st.sampled_from([b"1", b"null", b'{"name":5,"x":null}', BARE]), max_size=60))
def test_good_elements_count_however_many_are_bad(items: list[bytes]) -> None:
    """Up to so many each is answered by itself; beyond, the last answer stands for all that follow."""
    records = decode(StoredMessage(41, NOW, SUBJECTS[0], join_frame(items)))
    good = [f"41-{index}" for index, item in enumerate(items) if item is BARE]
    bad = [f"41-{index}" for index, item in enumerate(items) if item is not BARE]
    assert positions(records, Recorded) == good
    assert positions(records, Undecodable) == bad[:REJECTIONS_MAX]
    if len(bad) > REJECTIONS_MAX:
        last = [record for record in records if isinstance(record, Undecodable)][-1]
        assert f"and {len(bad) - REJECTIONS_MAX} more elements up to {bad[-1]}" in last.message


def positions(records: list[Decoded], kind: type) -> list[str]:
    """Where the records of a kind stand."""
    return [record.position for record in records if isinstance(record, kind)]


@given(
    st.binary() | st.lists(st.sampled_from([b"NATS/1.0", b" 503", b"\r\n", b"a: b", b":", b"\xff"])).map(b"".join)
)
def test_whatever_the_bytes_headers_are_read(block: bytes) -> None:
    """Names are plain words; whatever else stands there is left out."""
    found = parse_headers(block)
    assert found is None or all(name.isascii() for name in found)
