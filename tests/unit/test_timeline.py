"""`ro timeline`: a story in order, for people and programs, and as a picture."""

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from written import WrittenLog

from remediation_orchestrator.bus.file import messages
from remediation_orchestrator.cli.main import main
from remediation_orchestrator.events import Target
from remediation_orchestrator.orchestrator.queries.timeline import Timeline, bars
from remediation_orchestrator.orchestrator.routing.fold import Fold

GOLDEN = Path(__file__).parents[1] / "golden"


def ro(*arguments: object) -> Result:
    """Run a verb here."""
    return CliRunner().invoke(main, [str(one) for one in arguments])


def told(result: Result, kind: str) -> list[dict[str, Any]]:
    """The rows of one kind that a verb wrote for programs."""
    assert result.exit_code == 0, result.stderr
    return [row for row in map(json.loads, result.stdout.splitlines()) if row["kind"] == kind]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A problem that fails twice and waits, with a repetition between, and another target's that runs."""
    written = WrittenLog()
    written.signal(0, "Costs $x$ 高", fingerprint="cafe")
    written.fails(0.5, "wfe-2")
    written.signal(1, "Costs $x$", fingerprint="cafe")
    written.decide(1.5)
    written.fails(2, "wfe-2-r2")
    written.signal(3, "HighLatency", target=Target("cart", namespace="shop"))
    return written.export(tmp_path / "log.jsonl")


def test_what_lasted_is_told_in_its_order_with_its_ends(log: Path) -> None:
    """Runs wait for their executor, fail, and are followed by the ladder; the last wait goes on."""
    lasted = told(ro("timeline", "rr-2", "--log", log, "--json"), "bar")
    assert [(one["what"], one["begin"][14:19], (one["end"] or "-")[14:19], one["outcome"]) for one in lasted] == [
        ("start", "00:00", "00:30", ""),
        ("run", "00:30", "00:30", "failed: TaskFailed"),
        ("block", "00:30", "01:30", ""),
        ("start", "01:30", "02:00", ""),
        ("run", "02:00", "02:00", "failed: TaskFailed"),
        ("block", "02:00", "", ""),
    ]


def test_a_program_is_told_the_present_first_as_people_are(log: Path) -> None:
    """By the same words."""
    (first,) = told(ro("timeline", "rr-2", "--log", log, "--json"), "present")
    said = ro("timeline", "rr-2", "--log", log).stdout
    assert first["remediation"] == "rr-2"
    assert first["present"]["what"] in said


def test_the_steps_are_those_of_the_problem_while_it_lived(log: Path) -> None:
    """Its repetition too, and nothing of another target."""
    steps = told(ro("timeline", "rr-2", "--log", log, "--json"), "step")
    assert [one["type"] for one in steps].count("SignalReceived.v1") == 2
    assert {one["remediation"] for one in steps} == {"rr-2", None}
    assert "cart" not in json.dumps(steps)


@pytest.mark.parametrize("name", ["rr-2", "wfe-2-r2", "2", "3-1", "cafe", "ca", "eu-1/shop/Deployment/checkout"])
def test_a_story_is_found_by_every_name_that_it_has(log: Path, name: str) -> None:
    """Ids, positions, the beginning of a fingerprint, the target."""
    result = ro("timeline", name, "--log", log, "--json")
    assert result.stdout == ro("timeline", "rr-2", "--log", log, "--json").stdout


def test_people_see_the_bars_on_one_axis(log: Path) -> None:
    """Twenty-four characters from the first beginning to the last end."""
    lines = ro("timeline", "checkout", "--log", log).stdout.splitlines()
    assert lines[0] == "rr-2: Costs $x$ 高 on eu-1/shop/Deployment/checkout, Blocked"
    axes = [line for line in lines if "█" in line]
    assert len(axes) == 6
    assert {sum(line.count(one) for one in "█·") for line in axes} == {24}


def test_only_the_newest_of_many_remediations_are_told(tmp_path: Path) -> None:
    """As many as are asked for."""
    written = WrittenLog()
    for at in range(3):
        written.signal(at, "Crash", fingerprint=f"f{at}")
    path = written.export(tmp_path / "log.jsonl")
    said = told(ro("timeline", "checkout", "--last", 2, "--log", path, "--json"), "step")
    assert "rr-2" not in {one["remediation"] for one in said}
    assert len({one["remediation"] for one in said} - {None}) == 2


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("rr-99", "near it: rr-"),
        ("wfe-99", "near it: rr-"),
        ("nothing", "no such remediation, fingerprint or target"),
        ("99999", "no such"),
    ],
)
def test_what_is_not_there_is_a_no(log: Path, name: str, complaint: str) -> None:
    """Exit 1, one line."""
    result = ro("timeline", name, "--log", log)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert complaint in result.stderr


def test_the_picture_names_every_bar_and_is_the_same_every_time(log: Path, tmp_path: Path) -> None:
    """A dollar in a name is a dollar, a glyph that the font lacks no complaint; the file is XML."""
    first, second = tmp_path / "1.svg", tmp_path / "2.svg"
    for path in (first, second):
        assert ro("timeline", "rr-2", "--log", log, "--svg", path).exit_code == 0
    assert first.read_bytes() == second.read_bytes()
    text = "".join(ElementTree.parse(first).getroot().itertext())
    for word in ("Costs $x$ 高", "wfe-2-r2", "ExponentialBackoff", "1m00s", "failed: TaskFailed", "fires"):
        assert word in text


def test_a_picture_without_its_library_is_one_clear_line(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the log is read."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = ro("timeline", "rr-2", "--log", log, "--svg", tmp_path / "1.svg")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "pip install 'remediation-orchestrator[plot]'" in result.stderr


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.jsonl*")), ids=lambda path: path.name.partition(".")[0])
def test_no_bar_of_a_recorded_story_ends_before_it_begins(path: Path) -> None:
    """And no run has two bars."""
    fold = Fold()
    for message in messages(path):
        fold.take(message)
    fold.fold_facts()
    timeline = Timeline(fold.view.remediations.values())
    again = Fold(timeline)
    for message in messages(path):
        again.take(message)
    again.fold_facts()
    shown = bars(timeline.steps)
    assert [bar for bar in shown if bar.end is not None and bar.end < bar.begin] == []
    runs = [bar.says for bar in shown if bar.what == "run"]
    assert len(runs) == len(set(runs))
