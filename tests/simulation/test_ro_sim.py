"""`ro-sim`: quiet in a pipe, loud about a failure, and its exit code says which."""

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


@pytest.mark.parametrize("arguments", [["--seeds", "0"], ["--seed", "x"], ["--from", "-1"]])
def test_a_bad_argument_exits_with_2(arguments: list[str]) -> None:
    """Before any day begins."""
    assert CliRunner().invoke(main, ["run", *arguments]).exit_code == 2
