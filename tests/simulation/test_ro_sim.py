"""`ro-sim`: quiet in a pipe, loud about a failure, and its exit code says which."""

import json
import sys

import pytest
from click.testing import CliRunner

from remediation_orchestrator.simulation import checkers
from remediation_orchestrator.simulation.main import main


def test_a_good_run_says_what_was_injected_and_exits_with_0() -> None:
    """No progress bar where nobody looks at a terminal."""
    done = CliRunner().invoke(main, ["run", "--seeds", "2", "--short", "--jobs", "1"])
    assert done.exit_code == 0
    assert "orchestrator crashed" in done.stdout
    assert "2 days" in done.stdout
    assert "0 with a violation" in done.stdout
    assert done.stderr == ""


def test_a_failing_seed_is_named_with_the_way_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A promise that nothing keeps."""
    monkeypatch.setattr(checkers, "CHECKERS", (lambda day: iter([f"seed {day.seed} is unlucky"]),))
    done = CliRunner().invoke(main, ["run", "--seed", "5", "--short"])
    assert done.exit_code == 1
    assert "ro-sim run --seed 5 --short" in done.stdout
    assert "seed 5 is unlucky" in done.stdout


def test_a_run_for_machines_is_an_object_a_day_and_a_sum() -> None:
    """Nothing else on standard output."""
    done = CliRunner().invoke(main, ["run", "--seeds", "2", "--short", "--jobs", "1", "--json"])
    *days, whole = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(day["seed"], day["violations"]) for day in days] == [(0, []), (1, [])]
    assert whole["days"] == 2
    assert whole["failed"] == []
    assert whole["facts"] == sum(day["facts"] for day in days)
    crashed = "orchestrator crashed"
    assert whole["struck"][crashed] == sum(day["struck"][crashed] for day in days)


def test_what_no_day_has_reached_is_listed_file_by_file_within_80_columns() -> None:
    """A day reaches judging, and not every branch of everything."""
    asked = ["coverage", "--seeds", "1"]
    told = CliRunner().invoke(main, asked).stdout
    assert max(map(len, told.splitlines())) <= 80
    objects = CliRunner().invoke(main, [*asked, "--json"]).stdout.splitlines()
    files = {one["file"]: one for one in map(json.loads, objects)}
    judged = files["orchestrator/routing/judge.py"]
    assert 0 < len(judged["lines"]) < judged["statements"] / 2
    assert all(one in told for one in files)


def test_without_coverage_the_verb_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and exit code 2."""
    monkeypatch.setitem(sys.modules, "coverage", None)
    done = CliRunner().invoke(main, ["coverage", "--seeds", "1"])
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert "not installed" in done.stderr


@pytest.mark.parametrize("arguments", [["--seeds", "0"], ["--seed", "x"], ["--from", "-1"]])
def test_a_bad_argument_exits_with_2(arguments: list[str]) -> None:
    """Before any day begins."""
    assert CliRunner().invoke(main, ["run", *arguments]).exit_code == 2
