"""`ro-sim coverage`: which lines and branches of what decides and runs no simulated day has reached.

A thousand clean days say nothing about a line that none of them reached. This measures, and judges nothing."""

import ast
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise, repeat
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from .world import FULL, SHORT, Size, simulate

if TYPE_CHECKING:
    from coverage import Coverage

ROOT = Path(__file__).resolve().parents[1]
SHELL = [
    "service",
    "lead",
    "dispatch",
    "snapshots",
    "whole",
    "marks",
    "watch",
    "archiving",
    "archive",
    "succession",
    "appending",
]
EXECUTOR = ["worker", "claim", "lease", "assignment", "analyser"]
WIDTH = 80

Ways = dict[str, list[tuple[int, int]]]
"""From which line to which, by file."""


@dataclass(frozen=True)
class Unreached:
    """What no day has reached in a file."""

    file: str
    statements: int
    lines: list[int]
    branches: list[tuple[int, int]]
    """From a line that was reached to one (behind the file's end: out of a function) that was not from there."""


def measured() -> list[Path]:
    """The files whose every line a day ought to reach, or somebody say why not."""
    routing = sorted((ROOT / "orchestrator/routing").glob("*.py"))
    shell = [ROOT / "orchestrator" / f"{name}.py" for name in SHELL]
    return [*routing, *shell, *(ROOT / "executor" / f"{name}.py" for name in EXECUTOR)]


def unreached(seeds: Iterable[int], size: Size, jobs: int = 1) -> Iterator[Unreached]:
    """Live through the days of the seeds, several at a time, and tell file by file what was not reached.

    Only what a day runs counts: not what runs at import, which was done before, nor what a checker calls."""
    whole = _coverage()
    with ProcessPoolExecutor(jobs) as pool:
        for ways in pool.map(reached, seeds, repeat(size)):
            whole.get_data().add_arcs(ways)
    for path in measured():
        yield _of(path, whole)


def reached(seed: int, size: Size) -> Ways:
    """From which line to which a day has gone, by file: it is measured at a fifth of the pace."""
    day = _coverage()
    day.start()
    try:
        simulate(seed, size)
    finally:
        day.stop()
    data = day.get_data()
    return {path: data.arcs(path) or [] for path in data.measured_files()}


def _coverage() -> "Coverage":
    from coverage import Coverage  # Whoever never asks needs it not.

    whole = Coverage(branch=True, data_file=None, include=[str(path) for path in measured()], config_file=False)
    whole.exclude(r"if TYPE_CHECKING:|assert_never|class .*Protocol\):")
    return whole


def _of(path: Path, whole: "Coverage") -> Unreached:
    """What is missing of a file; what runs at its import was reached, or no day would run at all."""
    _, statements, _, missing, _ = whole.analysis2(str(path))
    late = _bodies(path)
    lines = [line for line in missing if line in late]
    missed = whole._analyze(str(path)).missing_branch_arcs()  # No public way but a report on disk.
    branches = [(line, to) for line, ends in missed.items() for to in ends if line in late and line not in lines]
    return Unreached(str(path.relative_to(ROOT)), len(late & set(statements)), lines, sorted(branches))


def _bodies(path: Path) -> set[int]:
    """The lines that run when a function is called, and not when its module is imported."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.update(range(node.body[0].lineno, (node.end_lineno or 0) + 1))
    return found


def spans(lines: list[int]) -> str:
    """Lines as people write them: 3-5, 9."""
    starts = [line for before, line in pairwise([-1, *lines]) if line != before + 1]
    ends = [line for line, after in pairwise([*lines, sys.maxsize]) if after != line + 1]
    return ", ".join(
        f"{start}" if start == end else f"{start}-{end}" for start, end in zip(starts, ends, strict=True)
    )


def table(found: Iterable[Unreached]) -> Iterator[str]:
    """Each file with what is missing, within the width of a terminal."""
    for one in found:
        reached = one.statements - len(one.lines)
        yield f"{one.file:44} {reached:5,} of {one.statements:5,} lines"
        said = spans(one.lines)
        said += "; " * bool(said and one.branches) + ", ".join(f"{line}->{_end(to)}" for line, to in one.branches)
        if said:
            yield click.wrap_text(said, WIDTH, "    ", "    ")


def _end(line: int) -> str:
    return "end" if line < 0 else str(line)


@click.command("coverage")
@click.option("--seeds", type=click.IntRange(min=1), default=40, help="How many days.")
@click.option("--from", "first", type=click.IntRange(min=0), default=0, help="The first seed.")
@click.option("--full", is_flag=True, help="Whole days, which take ten times as long.")
@click.option("--jobs", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="How many at a time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
def coverage(seeds: int, first: int, full: bool, jobs: int, as_json: bool) -> None:
    """List what no simulated day reaches of routing, the orchestrator and the executor.

    A line alone was never run; 12->15 is a way from a line that was run to another."""
    try:
        found = list(unreached(range(first, first + seeds), FULL if full else SHORT, jobs))
    except ModuleNotFoundError as missing:
        if missing.name != "coverage":
            raise
        click.echo("ro-sim coverage needs coverage.py, which is not installed: pip install coverage", err=True)
        sys.exit(2)
    for line in _objects(found) if as_json else table(found):
        click.echo(line)


def _objects(found: list[Unreached]) -> Iterator[str]:
    return (msgspec.json.encode(asdict(one)).decode() for one in found)
