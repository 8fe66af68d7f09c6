"""A log that has decisions, judged again: as it was, and as another policy would have had it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from facts import told
from written import WrittenLog

from remediation_orchestrator.cli.main import main
from remediation_orchestrator.events import RemediationCancelled, RemediationId, Target

STEADY = "routing: {jitter: 0.0%s}\n"


def ladder() -> WrittenLog:
    """Three failures, an hour's block, a probe that fails, another that repairs it; beside it another target."""
    written = WrittenLog()
    written.signal(0, fingerprint="f1")
    written.fails(1, "wfe-2")
    written.signal(1.5, "Other", target=Target("cart"), fingerprint="f2")
    for run, at in ((2, 2), (3, 5), (4, 66)):
        written.decide(at)
        written.fails(at + 1, f"wfe-2-r{run}")
    written.decide(127)
    return written


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The ladder, exported."""
    return ladder().export(tmp_path / "log.jsonl")


def ro(*arguments: object) -> Result:
    """Run a verb here."""
    return CliRunner().invoke(main, [str(one) for one in arguments])


def rows(result: Result) -> list[dict[str, Any]]:
    """Read what was written for programs."""
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def policy(folder: Path, name: str = "policy.yaml", **keys: object) -> Path:
    """A policy file without jitter."""
    path = folder / name
    path.write_text(STEADY % "".join(f", {key}: {value}" for key, value in keys.items()))
    return path


def test_under_the_policy_in_force_nothing_differs(log: Path) -> None:
    """Every verdict comes again, at its own moment, and no other."""
    found = rows(ro("backtest", "--log", log, "--json"))
    assert len(found) == 10
    assert all(row["verdict"] == row["recorded"] and not row["counterfactual"] for row in found)


def test_a_higher_threshold_lets_the_ladder_climb_to_four_and_eight_minutes(log: Path, tmp_path: Path) -> None:
    """The probe's failure is the log's: under this policy it is the fourth of the ladder."""
    file = policy(tmp_path, consecutive_failure_threshold=5)
    found = rows(ro("backtest", "--log", log, "--policy", file, "--json"))
    ours = [row for row in found if row["fingerprint"] == "f1"]
    assert [row for row in told(ours) if "Block" in row[3]][2:4] == [
        ("2", 6, "10:06:00", "Block ExponentialBackoff until 10:10:00"),
        ("2", 8, "11:07:00", "Block ExponentialBackoff until 11:15:00"),
    ]
    assert [row["counterfactual"] for row in ours[:5]] == [False] * 5
    assert all(row["counterfactual"] for row in ours[5:])
    assert not any(row["counterfactual"] for row in found if row["fingerprint"] == "f2")


def test_a_run_that_the_log_does_not_know_ends_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    """Its target is free, and no count, cooldown or previous failure changes."""
    written = WrittenLog()
    written.signal(0, fingerprint="f1")
    written.fails(1, "wfe-2")
    written.fact(1.5, "ro.main.operator.cancel.ann", RemediationCancelled(RemediationId("rr-2"), "ann"))
    written.signal(3, fingerprint="f1")
    written.signal(3.5, fingerprint="f1")
    log = written.export(tmp_path / "log.jsonl")
    file = policy(tmp_path, backoff_base="10s", backoff_cap="10s")
    found = told(rows(ro("backtest", "--log", log, "--policy", file, "--json")))
    assert found[2] == ("2", 3, "10:01:10", "Proceed")
    assert [row[3] for row in found[3:]] == ["Proceed", "Duplicate DuplicateInProgress of rr-10"]


def test_a_run_that_the_log_has_told_already_ends_at_once(log: Path, tmp_path: Path) -> None:
    """A longer wait: the second run would begin after the log's second run has failed."""
    file = policy(tmp_path, backoff_base="5m", backoff_cap="10m")
    found = told(rows(ro("backtest", "--log", log, "--policy", file, "--json")))
    ours = [row for row in found if row[0] == "2"]
    assert ours[1] == ("2", 2, "10:01:00", "Block ExponentialBackoff until 10:06:00")
    assert ours[2:] == [("2", 3, "10:06:00", "Proceed")]


@pytest.mark.parametrize("told_of", [True, False])
def test_facts_that_no_decision_answers_are_judged_as_they_came(tmp_path: Path, told_of: bool) -> None:
    """At their own stamps and at each wake-up between them, exactly; a run that no fact tells of ends at once."""
    written = WrittenLog()
    written.signal(0, fingerprint="f1")
    written.fails(1, "wfe-2")
    body = b'{"name":"A","target":{"name":"cart"},"workflow":{"id":"w"},"fingerprint":"f2"}'
    written.store(2.5, "ro.main.signal.test", body)
    if told_of:
        started = b'{"specversion":"1.0","type":"WorkflowStarted.v1","data":{"execution":"wfe-8"}}'
        written.store(2.75, "ro.main.execution.wfe-8", started)
    last = written.store(3, "ro.main.signal.test", body)
    found = rows(ro("backtest", "--log", written.export(tmp_path / "log.jsonl"), "--json"))
    assert told(found[2:]) == [
        ("2", 3, "10:02:00", "Proceed"),
        ("8", 1, "10:02:30", "Proceed"),
        (last, 1, "10:03:00", "Duplicate DuplicateInProgress of rr-8" if told_of else "Proceed"),
    ]
    assert [(row["recorded"], row["counterfactual"]) for row in found[2:]] == [(None, False)] * 3


@pytest.mark.parametrize("verb", ["backtest", "replay"])
def test_a_decision_of_an_unknown_type_is_not_left_out_of_what_is_judged_again(log: Path, verb: str) -> None:
    """What it decided would be left out."""
    log.write_bytes(log.read_bytes().replace(b"RoutingDecided.v1", b"Pondered.v2"))
    result = ro(verb, "--log", log)
    assert result.exit_code == 2
    assert "unknown event type Pondered.v2" in result.stderr


def test_people_see_what_differs_and_what_it_comes_to(log: Path, tmp_path: Path) -> None:
    """The first divergence of each fingerprint, and the runs saved or added."""
    result = ro("backtest", "--log", log, "--policy", policy(tmp_path, consecutive_failure_threshold=2))
    assert result.exit_code == 0
    assert "first divergence of each fingerprint" in result.stdout
    assert "Block ConsecutiveFailures" in result.stdout
    assert "instead of" in result.stdout


def test_the_policy_in_force_is_named_as_such_and_works(log: Path, tmp_path: Path) -> None:
    """One line beside the answer."""
    result = ro("backtest", "--log", log, "--policy", policy(tmp_path))
    assert result.exit_code == 0
    assert result.stderr == "ro: this policy is the one in force\n"
    assert "0 differ" in result.stdout


def test_two_policies_are_held_against_each_other(log: Path, tmp_path: Path) -> None:
    """What one of them alone came to is a difference too."""
    first = policy(tmp_path, "a.yaml", consecutive_failure_threshold=5)
    second = policy(tmp_path, "b.yaml", consecutive_failure_threshold=2)
    found = rows(ro("backtest", "--log", log, "--policy", first, "--policy", second, "--json"))
    assert (found[0]["position"], found[0]["attempt"]) == ("2", 4)
    assert found[0]["first"]["verdict"]["reason"] == "ExponentialBackoff"
    assert found[0]["second"]["verdict"]["reason"] == "ConsecutiveFailures"
    same = rows(ro("backtest", "--log", log, "--policy", first, "--policy", first, "--json"))
    assert same == []


def test_a_sweep_is_one_row_a_value(log: Path) -> None:
    """In the order in which they were written."""
    found = rows(ro("backtest", "--log", log, "--sweep", "backoff_base=30s,1m,2m", "--json"))
    assert [(row["key"], row["value"]) for row in found] == [
        ("backoff_base", value) for value in ("30s", "1m", "2m")
    ]
    assert [row["differing"] > 0 for row in found] == [True, False, True]
    assert len(ro("backtest", "--log", log, "--sweep", "backoff_base=30s,1m").stdout.splitlines()) == 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--sweep", "backof=1m"], "no key of a policy: 'backof'"),
        (["--sweep", "backoff_base="], "no values to try"),
        (["--sweep", "backoff_base=soon"], "--sweep backoff_base=soon"),
        (["--sweep", "retry_limit=0"], "--sweep retry_limit=0"),
        (["--until", "yesterday"], "neither a sequence nor a time"),
        (["--until", "2026-11-21T10:00:00"], "a time needs its zone"),
        (["--policy", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
    ],
)
def test_a_bad_argument_is_exit_two_and_one_line(log: Path, options: list[str], says: str) -> None:
    """Naming what is wrong."""
    result = ro("backtest", "--log", log, *options)
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
