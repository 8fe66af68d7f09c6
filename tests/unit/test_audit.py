"""A log that somebody edited by hand: caught, and the first place named."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from story import CELL, minute
from written import WrittenLog

from remediation_orchestrator.cli.main import main
from remediation_orchestrator.events import StoredMessage, Target, subjects
from remediation_orchestrator.events.stored import EXPECTED, export_line
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.findings import Drift, Finding
from remediation_orchestrator.orchestrator.routing.chain import Chain


@pytest.fixture
def log() -> list[StoredMessage]:
    """1 start, 2 signal, 3 its frame, 4 its command, 5 started, 6 failed, 7 frame, 8 another's signal and on."""
    written = WrittenLog()
    written.signal(0)
    written.fails(1, "wfe-2")
    written.signal(1.5, "HighLatency")
    written.signal(30, "Late")
    return written.messages


def edited(log: list[StoredMessage], sequence: int, old: bytes, new: bytes) -> list[StoredMessage]:
    """The log with some bytes of one record replaced."""
    at = sequence - 1
    assert old in log[at].payload, log[at].payload
    changed = msgspec.structs.replace(log[at], payload=log[at].payload.replace(old, new))
    return [*log[:at], changed, *log[at + 1 :]]


def found(log: list[StoredMessage]) -> list[Finding]:
    """What an audit finds."""
    return list(audit(log))


def sequences(log: list[StoredMessage], part: str) -> list[int]:
    """Where the records of a kind stand."""
    return [message.sequence for message in log if part in message.subject]


def frames(log: list[StoredMessage]) -> list[int]:
    """Where the frames stand."""
    return sequences(log, ".decision")


def test_a_log_as_a_cell_writes_it_is_equal(log: list[StoredMessage]) -> None:
    """Nothing to find."""
    assert found(log) == []


def test_a_changed_digit_in_a_fact_breaks_the_chain_at_the_next_frame(log: list[StoredMessage]) -> None:
    """And says which records the broken digest covers."""
    failed = sequences(log, ".execution.")[1]
    first, *_ = found(edited(log, failed, b"exit code 3", b"exit code 4"))
    following = next(frame for frame in frames(log) if frame > failed)
    assert (first.position, first.drift) == (f"{following}-0", Drift.CHAIN)
    assert f"something from {frames(log)[1]} to {following - 1}" in first.message


def test_a_field_that_is_not_known_changes_nothing_and_is_covered() -> None:
    """What a newer version says beside what is known; who changes it afterwards is found."""
    written = WrittenLog()
    written.signal(0, mood="grim")
    written.signal(1, "Other")
    assert found(written.messages) == []
    assert Drift.CHAIN in {one.drift for one in found(edited(written.messages, 2, b"grim", b"glum"))}


def test_a_changed_digit_in_a_decision_is_named_itself(log: list[StoredMessage]) -> None:
    """A count that the log does not give, before the chain breaks at the next frame."""
    frame = frames(log)[2]
    findings = found(edited(log, frame, b'"failures":1', b'"failures":2'))
    assert [one.drift for one in findings[:2]] == [Drift.PROJECTION, Drift.JUDGEMENT]
    assert findings[0].position == f"{frame}-1"
    assert "failures is recorded as 2, and the log gives 1" in findings[0].message
    assert Drift.CHAIN in {one.drift for one in findings}


def test_a_changed_verdict_is_judgement_drift(log: list[StoredMessage]) -> None:
    """The situation is the log's; the verdict is not the situation's."""
    frame = frames(log)[2]
    first, *_ = found(edited(log, frame, b'"until":"2026-11-21T10:02:00Z"', b'"until":"2026-11-21T10:03:00Z"'))
    assert (first.position, first.drift) == (f"{frame}-1", Drift.JUDGEMENT)


@pytest.mark.parametrize("kind", [".signal.", ".execution.", ".decision", ".command."])
def test_a_removed_line_leaves_a_gap(log: list[StoredMessage], kind: str) -> None:
    """Of whatever kind; the gap is the first place."""
    gone = sequences(log, kind)[1]
    first, *_ = found([message for message in log if message.sequence != gone])
    assert (first.position, first.drift) == (str(gone), Drift.GAP)


def test_a_removed_command_is_missed_by_the_run_that_began_without_it(log: list[StoredMessage]) -> None:
    """And by the gap that it leaves, and the digest of the next frame."""
    gone = sequences(log, ".command.")[0]
    findings = found([one for one in log if one.sequence != gone])
    missed = [one.position for one in findings if one.drift is Drift.EXECUTION]
    assert missed == [str(sequences(log, ".execution.")[0])]


def test_a_command_that_was_never_sent_is_missed(log: list[StoredMessage]) -> None:
    """Still owed long after its decision, although the cell went on."""
    gone = sequences(log, ".command.")[1]
    late = [one for one in found([one for one in log if one.sequence != gone]) if one.drift is Drift.UNANSWERED]
    assert [one.message for one in late] == ["the command workflow.wfe-8 that it owes never came"]


def test_two_records_in_each_others_place_break_the_chain(log: list[StoredMessage]) -> None:
    """Each fact is covered in its order."""
    started, failed = sequences(log, ".execution.")[:2]
    swapped = list(log)
    swapped[started - 1] = msgspec.structs.replace(log[failed - 1], sequence=started)
    swapped[failed - 1] = msgspec.structs.replace(log[started - 1], sequence=failed)
    first, *_ = found(swapped)
    following = next(frame for frame in frames(log) if frame > failed)
    assert first.position in (str(started), str(failed), f"{following}-0")
    assert any(one.drift is Drift.CHAIN for one in found(swapped))


def test_a_forged_decision_has_no_cause(log: list[StoredMessage]) -> None:
    """A verdict more in a frame, on a signal that has one."""
    frame = frames(log)[2]
    items = msgspec.json.decode(log[frame - 1].payload)
    forged = msgspec.json.encode([*items, items[1]])
    whole = [*log[: frame - 1], msgspec.structs.replace(log[frame - 1], payload=forged), *log[frame:]]
    first, *_ = found(whole)
    assert (first.position, first.drift) == (f"{frame}-2", Drift.CAUSE)


def test_a_forged_command_has_no_decision(log: list[StoredMessage]) -> None:
    """One more than was decided, at the end."""
    command = next(one for one in log if ".command." in one.subject)
    run = command.subject.rpartition(".")[2]
    forged = msgspec.structs.replace(
        command,
        sequence=len(log) + 1,
        subject=command.subject + "-r2",
        payload=command.payload.replace(f'"{run}"'.encode(), f'"{run}-r2"'.encode()),
        recorded_at=minute(31),
    )
    assert [(one.position, one.drift) for one in found([*log, forged])] == [(str(len(log) + 1), Drift.COMMAND)]


def test_a_changed_command_does_not_say_what_its_decision_says(log: list[StoredMessage]) -> None:
    """Before the digest of the next frame says that something was changed."""
    command = sequences(log, ".command.")[0]
    first, *_ = found(edited(log, command, b'"id":"restart"', b'"id":"destroy"'))
    assert (first.position, first.drift) == (str(command), Drift.RECORD)


def test_a_consistent_rewrite_of_the_middle_is_caught_where_it_ends(log: list[StoredMessage]) -> None:
    """Every digest of the middle recomputed: the first frame that was left alone does not fit."""
    failed = sequences(log, ".execution.")[1]
    changed = edited(log, failed, b"exit code 3", b"exit code 4")
    middle = next(frame for frame in frames(log) if frame > failed)
    first, *_ = found(rechained(changed, through=middle))
    following = next(frame for frame in frames(log) if frame > middle)
    assert (first.position, first.drift) == (f"{following}-0", Drift.CHAIN)
    assert found(rechained(changed, through=len(log))) == []  # Rewritten to its end it is another log.


def rechained(log: list[StoredMessage], through: int) -> list[StoredMessage]:
    """The log with the digests of its frames computed anew, up to one of them."""
    chain, whole = Chain(), list[StoredMessage]()
    for message in log:
        if message.subject == subjects.decision(CELL) and message.sequence <= through:
            items = msgspec.json.decode(message.payload)
            head = items[0]["data"]
            head["previous"] = chain.previous(head["read"])
            items[0]["id"] = f"frame.{head['previous'][:16]}"
            message = msgspec.structs.replace(message, payload=msgspec.json.encode(items))
            chain.frame(message.sequence, head["previous"], message.payload, read=head["read"])
        chain.record(message)
        whole.append(message)
    return whole


def test_the_first_start_has_to_name_the_policy_that_it_carries(log: list[StoredMessage]) -> None:
    """A changed threshold is named at once, not only by the chain."""
    old = b'"consecutive_failure_threshold":3'
    first, *_ = found(edited(log, 1, old, b'"consecutive_failure_threshold":4'))
    assert (first.position, first.drift) == ("1-1", Drift.RECORD)


def test_a_stray_is_shown_and_harms_nothing(tmp_path: Path) -> None:
    """Somebody else's mistake."""
    written = WrittenLog()
    written.fails(1, "wfe-99")
    written.signal(2)
    result = ro_audit(written.messages, tmp_path)
    assert result.exit_code == 0
    assert "stray" in result.stdout
    assert "equal" in result.stdout


def test_what_was_due_and_never_judged_is_missed() -> None:
    """A blocked remediation whose moment has passed, while later decisions were made."""
    written = WrittenLog()
    written.signal(0)
    written.fails(1, "wfe-2")
    honest = written.messages[:]
    assert found(honest) == []
    written.fold.view.timers.heap.clear()  # As if this orchestrator had forgotten it.
    written.signal(9, "Other", target=Target("elsewhere"))
    assert [(one.position, one.drift) for one in found(written.messages)] == [
        ("9-1", Drift.ORDER),
        ("2", Drift.UNANSWERED),
    ]


# -- on the command line -------------------------------------------------------------------------------


def ro_audit(log: list[StoredMessage], folder: Path, *options: str) -> Result:
    """Audit a log that was exported."""
    path = folder / "log.jsonl"
    path.write_bytes(b"".join(export_line(message) + b"\n" for message in log))
    return CliRunner().invoke(main, ["audit", "--log", str(path), *options])


def test_equal_is_exit_zero_with_a_summary(log: list[StoredMessage], tmp_path: Path) -> None:
    """For people a table, for programs one object."""
    assert "equal" in ro_audit(log, tmp_path).stdout
    result = ro_audit(log, tmp_path, "--json")
    assert result.exit_code == 0
    summary = msgspec.json.decode(result.stdout)
    assert (summary["kind"], summary["messages"], summary["findings"]) == ("summary", len(log), 0)
    assert len(summary["chain_digest"]) == 64


def test_drift_is_exit_one_and_names_the_first(log: list[StoredMessage], tmp_path: Path) -> None:
    """And counts all."""
    wrong = edited(log, frames(log)[2], b'"failures":1', b'"failures":2')
    result = ro_audit(wrong, tmp_path)
    assert result.exit_code == 1
    assert f"the first at {frames(log)[2]}-1: projection" in result.stdout
    rows = [msgspec.json.decode(line) for line in ro_audit(wrong, tmp_path, "--json").stdout.splitlines()]
    assert [row["kind"] for row in rows] == ["finding"] * (len(rows) - 1) + ["summary"]
    assert rows[-1]["findings"] == len(rows) - 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: [], "an empty file is no log"),
        (lambda lines: [b"a,b,c\n"], "line 1: "),
        (lambda lines: [*lines[:4], lines[4][:40]], "line 5: "),
        (lambda lines: [lines[0], lines[2], lines[1]], "line 3: sequence 2 after 3"),
        (lambda lines: [lines[0], lines[1].replace(b"ro.main.", b"ro.other.")], "line 2: a record of the cell"),
    ],
    ids=["empty", "no JSON Lines", "cut in mid-line", "out of order", "mixed cells"],
)
def test_an_unreadable_file_is_exit_two_and_one_line(
    log: list[StoredMessage], tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], says: str
) -> None:
    """Naming the line."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(change([export_line(message) + b"\n" for message in log])))
    result = CliRunner().invoke(main, ["audit", "--log", str(path)])
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("record", ["RoutingDecided.v1", "CreateWorkflow.v1"])
def test_a_log_of_a_newer_version_is_exit_two_and_names_the_type(
    log: list[StoredMessage], tmp_path: Path, record: str
) -> None:
    """It may hold, but not by this version's word."""
    at = next(one.sequence for one in log if record.encode() in one.payload)
    result = ro_audit(edited(log, at, record.encode(), b"Pondered.v2"), tmp_path)
    assert result.exit_code == 2
    assert "unknown event type 'Pondered.v2'" in result.stderr
    assert "newer version" in result.stderr


def test_a_fact_of_an_unknown_type_is_fine_where_it_was_rejected(tmp_path: Path) -> None:
    """And needs a newer version where it was not."""
    pondered = b'{"specversion":"1.0","type":"Pondered.v2","data":{}}'
    written = WrittenLog()
    written.store(1, "ro.main.operator.ponder.ann", pondered, {EXPECTED: "0"})
    written.decide(1)
    assert ro_audit(written.messages, tmp_path).exit_code == 0
    written = WrittenLog()
    written.store(1, "ro.main.operator.ponder.ann", pondered, {EXPECTED: "0"})
    written.fold.fold_facts()
    written.fold.view.task_list.tasks.clear()  # As a version does that knows it.
    written.signal(2)
    result = ro_audit(written.messages, tmp_path)
    assert result.exit_code == 2
    assert "Pondered.v2" in result.stderr
