"""The layers that may notice a planted bug, the cheapest first, each run against a copy of the tree."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from .plant_file import Plant

SHOWN_CHARACTERS_MAX = 160
KILLED = signal.SIGKILL
# How often a running layer is looked at: a layer takes seconds.
LOOK_SECONDS = 0.1


class Layer(StrEnum):
    """Who may notice."""

    UNIT = "unit"
    PROPERTIES = "properties"
    DAYS = "days"
    WORLDS = "worlds"
    FUZZ = "fuzz"
    INTEGRATION = "integration"


class Bounds(Struct, frozen=True):
    """How much each layer may try."""

    seconds: float
    """Of wall time a layer; what takes longer has found nothing."""
    days: int
    worlds: float
    """Seconds that small worlds are explored, and others that readers are sent mutated records."""


class Sight(Struct, frozen=True):
    """What a layer made of a plant. `found` is None where it had not come to an end in its time."""

    layer: Layer
    found: bool | None
    seconds: float
    how: str = ""
    """The first line that tells what was noticed."""


def look(layer: Layer, plant: Plant, tree: Path, bounds: Bounds) -> Sight:
    """Run one layer against a tree in which a bug is planted, until it has said what is wrong."""
    command = COMMANDS[layer](plant, tree, bounds)
    if command is None:
        return Sight(layer, found=False, seconds=0.0, how="no test names it")
    begun = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=tree,
            env=surroundings(tree),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            said = _watch(process, output, begun + bounds.seconds)
        finally:
            _end(process)
    took = time.monotonic() - begun
    failing = _FAILURE.search(said)
    if failing is not None:
        return Sight(layer, found=True, seconds=took, how=_line(failing[0]))
    match process.returncode:
        case 0 | 5:  # Of pytest: nothing was collected.
            return Sight(layer, found=False, seconds=took)
        case killed if killed == -KILLED:
            return Sight(layer, found=None, seconds=took, how="not done in time")
        case code:  # A mistake that nothing runs with at all is none that anybody could make.
            return Sight(layer, found=None, seconds=took, how=_line(f"ends with {code}: {said.strip()[-500:]}"))


def _watch(process: subprocess.Popen[bytes], output: BinaryIO, until: float) -> str:
    """What a process says until it ends, has named a failure, or has had its time."""
    while True:
        ended = process.poll() is not None
        output.seek(0)
        said = output.read().decode(errors="replace")
        if ended or _FAILURE.search(said) or time.monotonic() > until:
            return said
        time.sleep(LOOK_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of it and of all that it has begun: it has a session of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, KILLED)
    process.wait()


_FAILURE = re.compile(
    r"^(?:FAILED .*|ERROR .*|seed \d+ FAILED.*\n.*|world \S+ FAILED.*\n.*|\w+ .*STOPPED, again.*\n.*)\n",
    re.MULTILINE,
)


def surroundings(tree: Path) -> dict[str, str]:
    """An environment in which the tree's own code is imported, and not the code that runs this."""
    return {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"}


def _line(text: str) -> str:
    return " ".join(text.split())[:SHOWN_CHARACTERS_MAX]


def _pytest(files: list[str]) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *files]


def _tests_of(folder: str) -> Callable[[Plant, Path, Bounds], list[str] | None]:
    def command(plant: Plant, tree: Path, _bounds: Bounds) -> list[str] | None:
        files = tests_about(plant.file, tree, folder)
        return _pytest(files) if files else None

    return command


def tests_about(file: str, tree: Path, folder: str) -> list[str]:
    """The tests of a folder that import a file's module, or have its name or its folder's in their own."""
    path = Path(file)
    module = ".".join(["remediation_orchestrator", *path.with_suffix("").parts])
    package, _, name = module.rpartition(".")
    imported = re.compile(
        rf"{re.escape(module)}\b|from {re.escape(package)} import [^\n]*\b{name}\b", re.MULTILINE
    )
    words = {path.stem, path.parent.name, path.parts[0]}
    chosen = []
    for test in sorted((tree / "tests" / folder).glob("test_*.py")):
        named = words & set(test.stem.split("_"))
        if named or path.stem in test.stem or imported.search(test.read_text()):
            chosen.append(test.relative_to(tree).as_posix())
    return chosen


def _ro_sim(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "remediation_orchestrator.simulation.main", *arguments]


def _properties(_plant: Plant, _tree: Path, _bounds: Bounds) -> list[str]:
    return _pytest(["tests/properties"])


def _days(_plant: Plant, _tree: Path, bounds: Bounds) -> list[str]:
    return _ro_sim("run", "--short", "--seeds", str(bounds.days), "--jobs", "1")


def _worlds(_plant: Plant, _tree: Path, bounds: Bounds) -> list[str]:
    return _ro_sim("explore", "--seconds", str(bounds.worlds), "--jobs", "1")


def _fuzz(_plant: Plant, _tree: Path, bounds: Bounds) -> list[str]:
    return _ro_sim("fuzz", "--seconds", str(bounds.worlds))


COMMANDS: dict[Layer, Callable[[Plant, Path, Bounds], list[str] | None]] = {
    Layer.UNIT: _tests_of("unit"),
    Layer.PROPERTIES: _properties,
    Layer.DAYS: _days,
    Layer.WORLDS: _worlds,
    Layer.FUZZ: _fuzz,
    Layer.INTEGRATION: _tests_of("integration"),
}
