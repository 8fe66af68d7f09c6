"""Bytes to events and back: what is tolerated, what is answered, and that nothing ever raises."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from remediation_orchestrator.events import (
    Decoded,
    ExecutionId,
    Recorded,
    SignalReceived,
    SignalResolved,
    StoredMessage,
    Target,
    Undecodable,
    WorkflowFailed,
    WorkflowRef,
    WorkflowStarted,
    decode,
    encode,
    encode_frame,
    fingerprint_of,
)
from remediation_orchestrator.events.bounds import NESTING_MAX
from remediation_orchestrator.events.codec import (
    Attributes,
    attributes_of,
    event_source,
    join_frame,
)
from remediation_orchestrator.events.identity import CellName
from remediation_orchestrator.events.stored import EXPECTED, MESSAGE_BYTES_MAX

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
SIGNALS = "ro.main.signal.test"
RUN = "ro.main.execution.wfe-1"
AROUND = Attributes(id="1", source="/test", time=NOW)
SMALLEST = {"name": "Crash", "target": {"name": "checkout"}}
STARTED = WorkflowStarted(ExecutionId("wfe-1"), executor="e1")


def read(payload: object, subject: str = SIGNALS) -> list[Decoded]:
    """Decode a message, given as bytes or as plain data."""
    stored = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return decode(StoredMessage(41, NOW, subject, stored, {EXPECTED: "40"}))


def one(payload: object, subject: str = SIGNALS) -> object:
    """The one event of a message."""
    (record,) = read(payload, subject)
    assert isinstance(record, Recorded), record
    return record.event


def refusal(payload: object, subject: str = SIGNALS) -> Undecodable:
    """Why the one event of a message was refused."""
    (record,) = read(payload, subject)
    assert isinstance(record, Undecodable), record
    return record


def cloud_event(kind: str = "SignalReceived.v1", data: object = SMALLEST, **more: object) -> dict[str, object]:
    """A CloudEvent, as another language would write it."""
    return {"specversion": "1.0", "id": "1", "source": "/x", "type": kind, "data": data, **more}


# -- what is accepted -------------------------------------------------------------------------------------


def test_the_smallest_bare_signal_has_a_name_and_a_target() -> None:
    """Everything else has its default, and the fingerprint is derived."""
    signal = one(SMALLEST)
    assert signal == SignalReceived(
        "Crash", Target("checkout"), fingerprint=fingerprint_of(Target("checkout"), "Crash")
    )


def test_the_contracts_example_is_read_whole() -> None:
    """Every field of the page."""
    signal = one(
        {
            "name": "KubePodCrashLooping",
            "status": "firing",
            "severity": "critical",
            "target": {"cluster": "eu-1", "namespace": "shop", "kind": "Deployment", "name": "checkout"},
            "labels": {},
            "annotations": {},
            "starts_at": "2026-11-21T10:00:00Z",
            "fingerprint": "optional",
            "resolves": True,
            "workflow": {"id": "restart-deployment", "parameters": {}},
        }
    )
    assert signal == SignalReceived(
        "KubePodCrashLooping",
        Target("checkout", "eu-1", "shop", "Deployment"),
        severity="critical",
        starts_at=NOW,
        fingerprint="optional",
        resolves=True,
        workflow=WorkflowRef("restart-deployment"),
    )


def test_a_position_counts_from_0_in_an_array_and_is_bare_without_one() -> None:
    """`41`, and `41-0`, `41-1`."""
    assert [record.position for record in read(SMALLEST)] == ["41"]
    assert [record.position for record in read([SMALLEST, SMALLEST])] == ["41-0", "41-1"]
    assert [record.position for record in read([SMALLEST])] == ["41-0"]


def test_a_cloud_event_and_a_bare_signal_say_the_same() -> None:
    """Attributes that we do not know are tolerated; so are those of another type than we would write."""
    assert one(cloud_event(dataschema="x", extension=[1], time=5, subject=None)) == one(SMALLEST)


def test_a_batch_may_mix_cloud_events_and_bare_signals() -> None:
    """Each element is read by itself."""
    first, second = read([cloud_event(), SMALLEST])
    assert isinstance(first, Recorded)
    assert isinstance(second, Recorded)
    assert first.event == second.event


@pytest.mark.parametrize("unknown", [{"type": 5}, {"type": None}, {"data": [1]}, {"x": {"y": []}}, {"id": 1}])
def test_unknown_fields_of_a_bare_signal_are_tolerated_whatever_their_names(unknown: dict[str, object]) -> None:
    """Even those that mean something in a CloudEvent."""
    assert one({**SMALLEST, **unknown}) == one(SMALLEST)


def test_unknown_data_fields_of_a_cloud_event_are_tolerated() -> None:
    """A newer writer may say more."""
    assert one(cloud_event(data={**SMALLEST, "type": 5, "later": {"a": 1}})) == one(SMALLEST)


@pytest.mark.parametrize(
    "absent", ["status", "severity", "labels", "starts_at", "fingerprint", "resolves", "workflow"]
)
def test_an_optional_value_may_be_null(absent: str) -> None:
    """Null says the same as nothing."""
    assert one({**SMALLEST, absent: None}) == one(SMALLEST)
    assert one(cloud_event(data={**SMALLEST, absent: None})) == one(SMALLEST)


def test_null_parts_of_a_target_are_absent_parts() -> None:
    """And have the same fingerprint."""
    parts = {"name": "checkout", "cluster": None, "namespace": None, "kind": None}
    assert one({"name": "Crash", "target": parts}) == one(SMALLEST)


def test_an_empty_fingerprint_is_derived_and_a_given_one_stands() -> None:
    """Resolved once, stored in the event."""
    derived = one({**SMALLEST, "fingerprint": ""})
    given = one({**SMALLEST, "fingerprint": "F"})
    assert isinstance(derived, SignalReceived)
    assert isinstance(given, SignalReceived)
    assert derived.fingerprint == fingerprint_of(Target("checkout"), "Crash")
    assert given.fingerprint == "F"


def test_a_resolved_signal_is_never_a_firing_one() -> None:
    """By its status or by its type; both are the same event."""
    by_status = one({**SMALLEST, "status": "resolved"})
    by_type = one(cloud_event("SignalResolved.v1"))
    by_both = one(cloud_event("SignalReceived.v1", {**SMALLEST, "status": "resolved"}))
    assert isinstance(by_status, SignalResolved)
    assert by_status == by_type == by_both


@pytest.mark.parametrize(
    "payload", [b" \n[%s]" % json.dumps(SMALLEST).encode(), b"\t" + json.dumps(SMALLEST).encode()]
)
def test_space_around_json_is_space(payload: bytes) -> None:
    """A person may have written it."""
    assert one(payload) == one(SMALLEST)


def test_a_signal_as_deep_as_allowed_is_read() -> None:
    """Brackets in strings are no nesting."""
    deep: object = "[{" * 500
    for _ in range(NESTING_MAX - 1):
        deep = [deep]
    assert one({**SMALLEST, "junk": deep}) == one(SMALLEST)


def test_many_brackets_are_not_deep() -> None:
    """Only what stands in one another counts; escaped quotes do not end a string."""
    junk = [{'\\"[': '\\"[{'}] * 1_000
    assert one({**SMALLEST, "junk": junk}) == one(SMALLEST)


# -- what is refused: as a value, naming what and where ------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", "not JSON"),
        (b"not json", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"name": "x"', "not JSON"),
        (b"[1,", "not JSON"),
        (b'{"name":"\\ud800","target":{"name":"y"}}', "not JSON"),
        (b'\xef\xbb\xbf{"name":"x","target":{"name":"y"}}', "not JSON"),
        (5, "Expected `object`, got `int`"),
        (None, "Expected `object`, got `null`"),
        ("text", "Expected `object`, got `str`"),
        ({}, "`name`"),
        ({"target": {"name": "y"}}, "missing required field `name`"),
        ({"name": "x"}, "missing required field `target`"),
        ({"name": "x", "target": {}}, "missing required field `name` - at `target`"),
        ({"name": "x", "target": "y"}, "Expected `object`, got `str` - at `target`"),
        ({"name": "", "target": {"name": "y"}}, "length >= 1 - at `name`"),
        ({"name": "x", "target": {"name": ""}}, "length >= 1 - at `target.name`"),
        ({"name": None, "target": {"name": "y"}}, "`name`"),
        ({"name": 5, "target": {"name": "y"}}, "Expected `str`, got `int` - at `name`"),
        ({"name": "x" * 1_025, "target": {"name": "y"}}, "length <= 1024 - at `name`"),
        ({**SMALLEST, "status": "burning"}, "Invalid enum value 'burning' - at `status`"),
        ({**SMALLEST, "resolves": "yes"}, "Expected `bool`, got `str` - at `resolves`"),
        ({**SMALLEST, "labels": {"a": 1}}, "Expected `str`, got `int` - at `labels[...]`"),
        ({**SMALLEST, "workflow": "restart"}, "got `str` - at `workflow`"),
        ({**SMALLEST, "workflow": {}}, "missing required field `id` - at `workflow`"),
        ({"name": 5, "target": {"name": "t"}, "starts_at": "yesterday"}, "`name`"),
        (cloud_event(specversion="0.3"), "specversion"),
        (cloud_event(specversion=1), "specversion"),
        (cloud_event(kind="SignalReceived.v2"), "unknown event type 'SignalReceived.v2'"),
        ({**cloud_event(), "type": 5}, "`type` is not a string"),
        ({"specversion": "1.0", "type": "SignalReceived.v1"}, "no `data`"),
        (cloud_event(data=None), "Expected `object`, got `null`"),
        (cloud_event("WorkflowCompleted.v1", {"execution": "wfe-1"}), "does not belong"),
        (cloud_event("RoutingDecided.v1", {}), "Object missing required field"),
    ],
)
def test_bad_input_is_answered_with_what_is_wrong_and_where(payload: object, says: str) -> None:
    """It is a value, never an exception."""
    answer = refusal(payload)
    assert answer.reason == "Undecodable"
    assert says in answer.message


def test_an_unknown_type_is_named_for_whoever_must_not_become_active() -> None:
    """Apart from the message."""
    assert refusal(cloud_event("SignalReceived.v2")).unknown_type == "SignalReceived.v2"
    assert refusal(SMALLEST, RUN).unknown_type is None


def test_an_array_is_read_element_by_element() -> None:
    """One bad element does not take the others with it, and is answered at its own position."""
    good, bad, last = read([SMALLEST, 5, SMALLEST])
    assert isinstance(good, Recorded)
    assert isinstance(bad, Undecodable)
    assert isinstance(last, Recorded)
    assert [good.position, bad.position, last.position] == ["41-0", "41-1", "41-2"]


@pytest.mark.parametrize("depth", [NESTING_MAX + 1, 950, 1_100, 60_000])
@pytest.mark.parametrize("subject", [SIGNALS, RUN])
def test_a_record_nested_too_deeply_is_answered_and_stops_nothing(depth: int, subject: str) -> None:
    """Otherwise one signal would end every orchestrator that reads it, again at every start."""
    arrays = b'{"name":"x","target":{"name":"y"},"junk":' + b"[" * depth + b"]" * depth + b"}"
    objects = b'{"name":"x","severity":null,"a":' + b'{"a":' * (depth // 2) + b"1" + b"}" * (depth // 2) + b"}"
    assert refusal(arrays, subject).message == f"nested deeper than {NESTING_MAX}"
    assert isinstance(refusal(objects, subject), Undecodable)
    assert isinstance(refusal(b"[" * depth, subject), Undecodable)


@pytest.mark.parametrize("subject", ["ro.main.decision", "ro.main.command.workflow.wfe-1"])
@pytest.mark.parametrize("payload", [b"[" * 60_000, b'{"a":' * 60_000, b'[{"a":' + b"[" * 60_000])
def test_a_decision_or_a_command_nested_without_end_is_a_value_too(payload: bytes, subject: str) -> None:
    """Whoever may write there could otherwise end everybody who reads the log."""
    assert isinstance(refusal(payload, subject), Undecodable)


@pytest.mark.parametrize(
    "payload", [b'"[' * 60_000, b'\\"[' * 60_000, b'["' + b"\\[" * 60_000, b"[]" * 60_000 + b'"\\']
)
def test_brackets_that_are_no_json_are_answered_too(payload: bytes) -> None:
    """In time that grows with the bytes, not with their square."""
    assert refusal(payload).reason == "Undecodable"


def test_a_fact_is_as_large_as_allowed_and_no_larger() -> None:
    """256 KiB to the byte; one more is `TooLarge`, whatever it says."""
    room = MESSAGE_BYTES_MAX - len(json.dumps({**SMALLEST, "labels": {"a": ""}}))
    full = {**SMALLEST, "labels": {"a": "x" * room}}
    assert len(json.dumps(full)) == MESSAGE_BYTES_MAX
    assert isinstance(one(full), SignalReceived)
    over = refusal({**SMALLEST, "labels": {"a": "x" * (room + 1)}})
    assert (over.reason, over.position) == ("TooLarge", "41")
    assert "262,145" in over.message


def test_an_event_counts_only_where_its_writers_may_publish() -> None:
    """Permissions are by subject."""
    started = encode(STARTED, AROUND)
    assert one(started, RUN) == STARTED
    assert "does not belong" in refusal(started, SIGNALS).message
    assert "'wfe-1'" in refusal(started, "ro.main.execution.wfe-2").message
    assert "does not belong" in refusal(started, "ro.main.decision").message
    assert "does not belong" in refusal(cloud_event(), RUN).message


def test_a_bare_signal_is_no_execution_event() -> None:
    """Bare JSON is for signals alone."""
    assert "specversion" in refusal(SMALLEST, RUN).message


def test_a_subject_that_is_not_of_the_log_is_refused() -> None:
    """It can only come from a file."""
    assert "not a subject of the log" in refusal(SMALLEST, "somewhere.else").message


# -- what is written ---------------------------------------------------------------------------------------


def test_an_event_is_written_as_a_cloud_event() -> None:
    """With exactly the attributes of the contract, empty ones left out."""
    source = event_source(CellName("main"), "executor/e1")
    around = Attributes(id="9", source=source, time=NOW, correlationid="rr-1")
    assert json.loads(encode(STARTED, around)) == {
        "specversion": "1.0",
        "id": "9",
        "source": "/ro/main/executor/e1",
        "type": "WorkflowStarted.v1",
        "time": "2026-11-21T10:00:00Z",
        "datacontenttype": "application/json",
        "data": {"execution": "wfe-1", "executor": "e1", "version": "", "digest": ""},
        "correlationid": "rr-1",
    }


def test_attributes_are_read_back_and_a_bare_signal_has_none() -> None:
    """Tracing depends on it."""
    around = Attributes(id="9", source="/x", time=NOW, subject="F", causationid="41", traceparent="00-1")
    assert attributes_of(encode(STARTED, around)) == around
    assert attributes_of(json.dumps(SMALLEST).encode()) is None
    assert attributes_of(b"x") is None


def test_a_frame_is_a_batch_however_it_was_put_together() -> None:
    """Stored together, read in its order."""
    failed = WorkflowFailed(ExecutionId("wfe-1"), exit_code=3)
    frame = encode_frame([(STARTED, AROUND), (failed, AROUND)])
    assert frame == join_frame([encode(STARTED, AROUND), encode(failed, AROUND)])
    records = read(frame, RUN)
    assert [record.event for record in records if isinstance(record, Recorded)] == [STARTED, failed]


def test_a_run_that_does_not_say_so_may_have_touched_its_target() -> None:
    """The careful default."""
    failed = one(cloud_event("WorkflowFailed.v1", {"execution": "wfe-1"}), RUN)
    assert failed == WorkflowFailed(ExecutionId("wfe-1"), was_execution_failure=True, idempotent=False)


def test_labels_and_parameters_survive_as_they_are() -> None:
    """Unicode, quotes, nested values."""
    body = {
        **SMALLEST,
        "labels": {'é"\\': "😀\u2028"},
        "workflow": {"id": "w", "parameters": {"a": [1, None, {"b": 0.1}]}},
    }
    signal = one(body)
    assert isinstance(signal, SignalReceived)
    assert msgspec.to_builtins(signal.labels) == body["labels"]
    assert signal.workflow == WorkflowRef("w", {"a": [1, None, {"b": 0.1}]})
