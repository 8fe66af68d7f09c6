"""The comparison with others: who is missing is skipped, who is here makes our verdicts, the charts are drawn."""

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "benchmarks" / "peers"
FIGURES = ROOT / "docs" / "figures"
COUNT = 100


def test_peers_that_are_not_installed_are_skipped_with_a_line_each(tmp_path: Path) -> None:
    """And we are measured all the same."""
    ran = _measured("--environments", str(tmp_path), "--measure", "frames")
    skipped = [line for line in ran.stderr.splitlines() if line.startswith("skipped ")]
    assert len(skipped) == 5
    assert all("not installed in" in line for line in skipped)
    (ours,) = _results(ran)
    assert ours["system"] == "ro"
    assert ours["in_frames"]


@pytest.mark.parametrize(
    ("peer", "environment", "measure"),
    [
        ("eventsourcing", "eventsourcing", "frames"),
        ("faststream", "faststream", "frames"),
        ("dbos", "dbos", "frames"),
        ("rulebook", "ansible-rulebook", "throughput"),
    ],
)
def test_a_peer_lets_as_many_signals_proceed_as_we_do(peer: str, environment: str, measure: str) -> None:
    """A run fails where it does not: whoever is faster must not be so by deciding otherwise."""
    if not (ROOT / ".peers" / environment).exists():
        pytest.skip(f"{peer} is not installed: python -m benchmarks.peers {peer}")
    (found,) = _results(_measured(peer, "--measure", measure))
    assert found["version"]
    assert found["in_frames" if measure == "frames" else "decided"]


def test_the_rules_that_peers_are_given_make_our_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten drawn signals one proceeds, one waits for its target, eight are duplicates."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.workload import ONE_IN_TEN, signals

    memory = _rules().Memory()
    verdicts = Counter(memory.decide(json.loads(one), 0.0) for one in signals(1_000, ONE_IN_TEN))
    assert verdicts == {"Proceed": 100, "Busy": 100, "Duplicate": 800}


def test_the_rules_that_peers_are_given_cool_down_after_failures_in_a_row() -> None:
    """Three of them, for an hour."""
    judge = _rules().judge
    failed = {"active": False, "held": False, "last_failure": 0.0}
    assert judge(**failed, failures=2, now=1.0) == "Proceed"
    assert judge(**failed, failures=3, now=3_599.0) == "Cooldown"
    assert judge(**failed, failures=3, now=3_600.0) == "Proceed"


def test_the_charts_can_be_drawn_again_from_the_committed_figures(tmp_path: Path) -> None:
    """The same ones, so none is left behind by a chart that is no longer drawn."""
    (tmp_path / "results.json").write_bytes((FIGURES / "results.json").read_bytes())
    drawn = [sys.executable, "-m", "benchmarks.charts", str(tmp_path)]
    subprocess.run(drawn, cwd=ROOT, capture_output=True, check=True)
    names = {path.name for path in tmp_path.glob("*.svg")}
    assert {"throughput.svg", "latency.svg", "start.svg", "memory.svg"} <= names
    assert names <= {path.name for path in FIGURES.glob("*.svg")}


def test_the_table_of_the_page_says_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody copies figures by hand."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.suite import with_table

    page = (ROOT / "docs" / "peers.md").read_text()
    assert with_table(page, json.loads((FIGURES / "results.json").read_text())["peers"]) == page


def _rules() -> ModuleType:
    """Load them by their file, as a peer's environment does: nothing of ours is there."""
    spec = importlib.util.spec_from_file_location("peer_rules", PEERS / "inside" / "rules.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _measured(*options: str) -> subprocess.CompletedProcess[str]:
    tiny = ("--count", str(COUNT), "--rounds", "1", "--no-install", "--json")
    command = [sys.executable, "-m", "benchmarks.peers", *options, *tiny]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)


def _results(ran: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = json.loads(ran.stdout)["results"]
    return results
