"""The reading verbs, on exported logs: what people and programs see, and what is answered with "no"."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from story import CELL
from written import WrittenLog

from remediation_orchestrator.cli.main import main
from remediation_orchestrator.events import (
    ExecutionId,
    Target,
    WorkflowCompleted,
    WorkflowRevoked,
    WorkflowStarted,
    subjects,
)

DEMO = Path(__file__).parents[2] / "examples" / "demo.jsonl"


def ro(*arguments: object) -> Result:
    """Run a verb here."""
    return CliRunner().invoke(main, [str(one) for one in arguments])


def objects(result: Result) -> list[dict[str, Any]]:
    """Read what a verb wrote for programs; anything else on standard output fails."""
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """One problem that failed once and waits, its repetition, and another target's that nobody has begun."""
    written = WrittenLog()
    assert written.signal(0) == "2"
    written.fails(1, "wfe-2")
    written.signal(1.5)
    written.signal(1.75, "HighLatency", target=Target("cart", namespace="shop"))
    return written.export(tmp_path / "log.jsonl")


def test_the_list_names_every_remediation_and_why_it_waits(log: Path) -> None:
    """Blocked by the backoff until a minute after the failure."""
    first, second = objects(ro("list", "--log", log, "--json"))
    assert (first["id"], first["phase"], first["reason"]) == ("rr-2", "Blocked", "ExponentialBackoff")
    assert (first["until"], first["attempts"], first["runs"]) == ("2026-11-21T10:02:00Z", 2, 1)
    assert (second["name"], second["phase"], second["reason"]) == ("HighLatency", "Executing", "not begun")


def test_a_run_that_nobody_begins_is_shown_so_until_somebody_does(tmp_path: Path) -> None:
    """Revoked after five minutes and asked for again: no failure, and neither running nor waiting for a target."""
    written = WrittenLog()
    written.signal(0)
    first, second = ExecutionId("wfe-2"), ExecutionId("wfe-2-r2")
    written.fact(5.1, subjects.execution(CELL, first), WorkflowRevoked(first, reason="nobody started it in time"))
    (row,) = objects(ro("list", "--log", written.export(tmp_path / "log.jsonl"), "--json"))
    assert (row["phase"], row["reason"], row["attempts"]) == ("Executing", "not begun", 2)
    shown = ro("explain", "rr-2", "--log", written.export(tmp_path / "log.jsonl")).stdout
    assert "no failures in a row" in shown
    assert shown.startswith(
        "rr-2 is to run restart on eu-1/shop/Deployment/checkout: nobody has begun wfe-2-r2 yet, "
    )
    written.fact(6, subjects.execution(CELL, second), WorkflowStarted(second, "e1"))
    (row,) = objects(ro("list", "--log", written.export(tmp_path / "log.jsonl"), "--json"))
    assert (row["phase"], row["reason"]) == ("Executing", None)


def test_the_list_is_a_table_for_people_told_as_of_the_logs_end(log: Path) -> None:
    """Ages in an exported log do not grow."""
    lines = ro("list", "--log", log).stdout.splitlines()
    assert lines[0].split()[:3] == ["ID", "NAME", "TARGET"]
    assert lines[1].split()[-3:] == ["10:02:00Z", "2", "1m45s"]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--active"], 2),
        (["--phase", "blocked"], 1),
        (["--phase", "Blocked", "--phase", "Executing"], 2),
        (["--target", "cart"], 1),
        (["--target", "nobody"], 0),
    ],
)
def test_the_list_is_filtered(log: Path, options: list[str], count: int) -> None:
    """By phase, and by a part of the target."""
    assert len(objects(ro("list", "--log", log, "--json", *options))) == count


def test_a_fact_that_no_frame_covers_yet_is_shown(tmp_path: Path) -> None:
    """A file of facts alone is a log too."""
    written = WrittenLog()
    written.store(0, f"ro.{CELL}.signal.test", b'{"name":"X","target":{"name":"t"}}')
    (only,) = objects(ro("list", "--json", "--log", written.export(tmp_path / "log.jsonl")))
    assert (only["id"], only["phase"], only["attempts"]) == ("rr-2", "Pending", 0)


def test_a_compressed_log_is_read_as_well(log: Path, tmp_path: Path) -> None:
    """By its ending."""
    packed = tmp_path / "log.jsonl.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    assert len(objects(ro("list", "--log", packed, "--json"))) == 2


def test_a_remediation_is_shown_with_every_record_in_order(log: Path) -> None:
    """The signal, the verdicts, the command, the run, and the repetition that was counted on it."""
    (shown,) = objects(ro("show", "rr-2", "--log", log, "--json"))
    assert [one["type"] for one in shown["records"]] == [
        "SignalReceived.v1",
        "RoutingDecided.v1",
        "CreateWorkflow.v1",
        "WorkflowStarted.v1",
        "WorkflowFailed.v1",
        "RoutingDecided.v1",
        "SignalReceived.v1",
        "RoutingDecided.v1",
    ]
    assert [one["position"] for one in shown["records"]][:3] == ["2", "3-1", "4"]
    (run,) = shown["runs"]
    assert (run["execution"], run["outcome"], run["executor"], run["reason"]) == (
        "wfe-2",
        "failed",
        "e1",
        "TaskFailed",
    )


@pytest.mark.parametrize("name", ["rr-2", "wfe-2", "wfe-2-r2", "2", "3-1", "3", "4", "5"])
def test_a_remediation_is_found_by_its_id_a_run_or_any_of_its_records(log: Path, name: str) -> None:
    """Its signal, a verdict, a frame, a command, a fact."""
    (shown,) = objects(ro("show", name, "--log", log, "--json"))
    assert shown["remediation"]["id"] == "rr-2"


def test_a_remediation_is_shown_to_people(log: Path) -> None:
    """Its state, its runs, its records."""
    text = ro("show", "rr-2", "--log", log).stdout
    assert "Block ExponentialBackoff until 2026-11-21 10:02:00Z" in text
    assert "failed (TaskFailed)" in text


def test_the_end_of_a_problem_is_shown_behind_its_repair(tmp_path: Path) -> None:
    """Of which alert it was; what comes after its next firing is another remediation's."""
    written = WrittenLog()
    written.signal(0, alert="a")
    run = ExecutionId("wfe-2")
    for fact in (WorkflowStarted(run, "e1"), WorkflowCompleted(run)):
        written.fact(1, subjects.execution(CELL, run), fact)
    end = written.signal(2, alert="a", status="resolved")
    written.signal(10, alert="a")
    written.signal(11, alert="a", status="resolved")
    (shown,) = objects(ro("show", "rr-2", "--log", written.export(tmp_path / "log.jsonl"), "--json"))
    last = shown["records"][-1]
    assert (last["position"], last["type"]) == (end, "SignalResolved.v1")
    assert last["says"].endswith("checkout alert a")


def test_what_fires_for_a_problem_is_named(tmp_path: Path) -> None:
    """Four of them, what was heard of longest ago first, and how many more."""
    written = WrittenLog()
    for number, alert in enumerate(("b", "a", "c", "d", "e", "f", "b")):
        written.signal(number / 10, alert=alert)
    log = written.export(tmp_path / "log.jsonl")
    (row,) = objects(ro("list", "--log", log, "--json"))
    (shown,) = objects(ro("fingerprint", row["fingerprint"], "--log", log, "--json"))
    assert shown["firing"] == ["a", "c", "d", "e", "f", "b"]
    assert "a, c, d, e and 2 more" in ro("fingerprint", row["fingerprint"], "--log", log).stdout


def test_what_is_not_there_is_answered_with_its_neighbours(log: Path) -> None:
    """Exit 1, one line."""
    result = ro("show", "rr-4", "--log", log)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("ro: rr-4: no such remediation; near it: rr-2, ")
    assert result.stderr.count("\n") == 1


def test_a_repeated_signal_is_told_from_a_remediation(log: Path) -> None:
    """It was counted on the one that is at it."""
    repeated = next(json.loads(line)["sequence"] for line in log.read_text().splitlines() if "10:01:30" in line)
    assert "counted on rr-2" in ro("show", f"rr-{repeated}", "--log", log).stderr


def test_what_is_no_id_at_all_is_a_bad_argument(log: Path) -> None:
    """Exit 2."""
    assert ro("show", "what", "--log", log).exit_code == 2


def test_a_fingerprint_shows_its_count_and_its_next_allowed_time(log: Path) -> None:
    """The beginning of it is enough."""
    fingerprint = objects(ro("list", "--log", log, "--json"))[0]["fingerprint"]
    (shown,) = objects(ro("fingerprint", fingerprint[:8], "--log", log, "--json"))
    assert (shown["fingerprint"], shown["failures"], shown["objection"], shown["active"]) == (
        fingerprint,
        1,
        "ExponentialBackoff",
        "rr-2",
    )
    assert shown["next_allowed_at"] == "2026-11-21T10:02:00Z"
    assert [one["id"] for one in shown["remediations"]] == ["rr-2"]


def test_an_unknown_fingerprint_is_a_no(log: Path) -> None:
    """Exit 1."""
    result = ro("fingerprint", "zzz", "--log", log)
    assert (result.exit_code, result.stderr) == (1, "ro: zzz: no such fingerprint\n")


def test_a_beginning_that_several_share_is_a_no(tmp_path: Path) -> None:
    """It is not guessed."""
    written = WrittenLog()
    written.signal(0, fingerprint="same-a")
    written.signal(1, "Other", fingerprint="same-b")
    result = ro("fingerprint", "same", "--log", written.export(tmp_path / "log.jsonl"))
    assert (result.exit_code, "2 fingerprints begin so" in result.stderr) == (1, True)


def test_after_the_last_allowed_failure_only_a_person_can_help(tmp_path: Path) -> None:
    """Five in a row: no next time."""
    written = WrittenLog()
    written.signal(0, fingerprint="f")
    for run, at in enumerate((1, 3, 6, 70, 140)):
        written.decide(at)
        written.fails(at, "wfe-2" if run == 0 else f"wfe-2-r{run + 1}")
    (shown,) = objects(ro("fingerprint", "f", "--log", written.export(tmp_path / "log.jsonl"), "--json"))
    assert (shown["failures"], shown["next_allowed_at"], shown["objection"]) == (5, None, "ExhaustedRetries")


def test_what_was_rejected_is_listed_with_its_reason(tmp_path: Path) -> None:
    """What is no event, and an item of an array that is none, each with its place."""
    written = WrittenLog()
    written.store(0, subjects.signal(CELL, "mail"), b"no JSON")
    written.store(0, subjects.signal(CELL, "door"), b'[{"name":"A","target":{"name":"b"}},{"name":5}]')
    written.decide(1)
    log = written.export(tmp_path / "log.jsonl")
    first, second = objects(ro("list", "--rejected", "--log", log, "--json"))
    assert (first["position"], first["subject"], first["reason"]) == ("2", "ro.main.signal.mail", "Undecodable")
    assert (second["position"], second["subject"]) == ("3-1", "ro.main.signal.door")
    assert "name" in second["message"]
    assert "3-1" in ro("list", "--rejected", "--log", log).stdout
    assert ro("list", "--rejected", "--active", "--log", log).exit_code == 2


@pytest.mark.parametrize("verb", ["adopt", "shadow"])
def test_a_file_that_need_not_be_given_is_shown_so(verb: str) -> None:
    """In brackets, as everything that may be left out."""
    assert "[FILE]" in ro("policy", verb, "--help").stdout


def test_names_cannot_command_the_terminal(tmp_path: Path) -> None:
    """An escape is shown, not sent."""
    written = WrittenLog()
    written.signal(0, "\x1b[2Jgone\n")
    out = ro("list", "--log", written.export(tmp_path / "log.jsonl")).stdout
    assert "\x1b" not in out
    assert r"\x1b[2Jgone\n" in out


@pytest.mark.parametrize("verb", [["list"], ["show", "rr-2"], ["fingerprint", "a"], ["policy", "show"]])
def test_a_file_that_is_no_log_is_unreadable_for_every_reading_verb(verb: list[str], tmp_path: Path) -> None:
    """Exit 2, one line that says where."""
    path = tmp_path / "log.jsonl"
    path.write_text("what\n")
    result = ro(*verb, "--log", path)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "line 1" in result.stderr


def test_a_log_of_another_cell_is_not_taken_for_it(log: Path) -> None:
    """Exit 2."""
    assert ro("list", "--log", log, "--cell", "other").exit_code == 2
    assert ro("list", "--log", log, "--cell", CELL).exit_code == 0


def test_an_explanation_tells_of_the_policy_in_force_and_of_who_holds_the_target(log: Path) -> None:
    """What the verb prints is of the log that it reads, not of the defaults."""
    second = next(one["id"] for one in objects(ro("list", "--log", log, "--json")) if one["name"] == "HighLatency")
    (explained,) = objects(ro("explain", second, "--log", log, "--json"))
    (shown,) = objects(ro("policy", "show", "--log", log, "--json"))
    assert explained["policy"] == shown["digest"]
    assert explained["policy"] == explained["decided"]["situation"]["policy"]


def test_what_nobody_has_decided_is_said_of_whatever_is_shown(tmp_path: Path) -> None:
    """The verbs show what follows from it, and say that nobody leads who would have it so."""
    written = WrittenLog()
    written.signal(0)
    written.store(1, subjects.signal(CELL, "test"), b'{"name":"Later","target":{"name":"t"}}')
    for verb in (("list",), ("policy", "show"), ("show", "rr-2"), ("timeline", "rr-2")):  # Some read twice.
        shown = ro(*verb, "--log", written.export(tmp_path / "log.jsonl"))
        assert shown.exit_code == 0
        assert shown.stderr == (
            "ro: nobody has decided yet: SignalReceived at 5. What is shown is as if that were in force.\n"
        )


def test_a_command_to_type_finds_the_log_that_its_reader_has_found(log: Path) -> None:
    """As far as it takes the options: who reads a file can explain from it, and retry nothing in it."""
    waiting = ro("show", "rr-2", "--log", log, "--cell", CELL).stdout
    hints = [one.strip() for one in waiting.splitlines() if one.startswith("    ro ")]
    assert hints
    assert all(one.endswith(f" --reason WHY --cell {CELL}") for one in hints)


@pytest.mark.parametrize(
    ("named", "attempt", "at"),
    [
        ("rr-4", 10, "53-1"),
        ("4", 10, "53-1"),
        ("wfe-4", 2, "8-1"),
        ("wfe-4-r2", 4, "19-1"),
        ("5", 1, "5-1"),
        ("5-1", 1, "5-1"),
        ("28", 7, "28-1"),
        ("13-1", 1, "13-1"),
    ],
)
def test_explain_gives_the_verdict_that_is_named_by_its_run_or_its_position(
    named: str, attempt: int, at: str
) -> None:
    """A remediation's and a signal's is the newest; a duplicate's is its own."""
    (found,) = objects(ro("explain", named, "--log", DEMO, "--json"))
    assert (found["about"], found["decided"]["attempt"], found["position"]) == ("rr-4", attempt, at)


def test_explain_names_no_run_that_there_was_not_and_what_is_near_where_there_is_nothing() -> None:
    """Also of what the log has forgotten."""
    assert ro("explain", "wfe-4-r9", "--log", DEMO).stderr == "ro: wfe-4-r9: rr-4 has no such run\n"
    assert ro("explain", "3", "--log", DEMO).stderr == "ro: 3: no verdict on it; near it: rr-4, rr-29, rr-36\n"


def test_replay_says_of_a_policy_which_was_in_force_and_which_is() -> None:
    """By the digests that `ro policy show` begins with."""
    said = ro("replay", "--diff", "1", "3", "--log", DEMO).stdout.splitlines()
    (policy,) = [one.split() for one in said if one.startswith("policy")]
    assert policy[:3] == ["policy", "in", "force"]
    assert policy[4] == "fe670abc58d8"
