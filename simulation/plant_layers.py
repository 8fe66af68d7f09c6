"""The layers that may notice a planted bug, the simulation first, each run against a copy of the tree.

What a layer may try is counted in days, lives and cases, and in processor time: never in seconds of a clock, which
on a busy machine say nothing. What each of its processes may keep in memory is bounded: a bug may have no end."""

import os
import re
import resource
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
KILLED = (-signal.SIGKILL, -signal.SIGXCPU)
# How often a running layer is looked at: a layer takes seconds.
LOOK_SECONDS = 0.1
# Of a clock, and far beyond what any load makes of a layer: somebody waits for what never comes, or sleeps.
HUNG_SECONDS = 1_800.0
# Ten times what any layer needs where nothing is planted, the address space of an embedded server counted.
MEMORY_BYTES = 2 * 1024**3


class Layer(StrEnum):
    """Who may notice, in the order in which they are asked: of the simulation, the cheapest first."""

    FUZZ = "fuzz"
    DAYS = "days"
    WORLDS = "worlds"
    UNIT = "unit"
    PROPERTIES = "properties"
    INTEGRATION = "integration"

    @property
    def is_simulated(self) -> bool:
        """Whether the same tree has it say the same, on a busy machine as on a quiet one."""
        return self in (Layer.DAYS, Layer.WORLDS, Layer.FUZZ)


class Bounds(Struct, frozen=True):
    """How much each layer may try."""

    days: int
    lives: int
    """Of each small world."""
    cases: int
    """Through each reader."""
    processor: int
    """Seconds of processor time that a layer may take; one that takes more has not come to an end."""


class Sight(Struct, frozen=True):
    """What a layer made of a plant. `found` is None where it had not come to an end."""

    layer: Layer
    found: bool | None
    processor: float
    """Seconds of processor time."""
    how: str = ""
    """The first line that tells what was noticed."""


def look(layer: Layer, plant: Plant, tree: Path, bounds: Bounds) -> Sight:
    """Run one layer against a tree in which a bug is planted, until it has said what is wrong."""
    command = COMMANDS[layer](plant, tree, bounds)
    if command is None:
        return Sight(layer, found=False, processor=0.0, how="no test names it")
    return run(layer, command, tree, bounds)


def run(layer: Layer, command: list[str], tree: Path, bounds: Bounds) -> Sight:
    """Run a layer's command in a tree until it has said what is wrong, or has had its processor time."""
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
        with suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_CPU, (bounds.processor, bounds.processor + 1))
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        try:
            said, took = _watch(process, output)
        finally:
            _end(process)
    failing = _FAILURE.search(said)
    if failing is not None:
        return Sight(layer, found=True, processor=took, how=_line(failing[0]))
    match process.returncode:
        case 0 | 5:  # Of pytest: nothing was collected.
            return Sight(layer, found=False, processor=took)
        case killed if killed in KILLED:
            return Sight(layer, found=None, processor=took, how="not done in its processor time")
        case _ if (starved := _STARVED.search(said)) is not None:  # Nothing that it lives through needs so much.
            how = f"more than {MEMORY_BYTES >> 30} GiB of memory: {starved[0]}"
            return Sight(layer, found=True, processor=took, how=_line(how))
        case code:  # A mistake that nothing runs with at all is none that anybody could make.
            return Sight(layer, found=None, processor=took, how=_line(f"ends with {code}: {said.strip()[-500:]}"))


def _watch(process: subprocess.Popen[bytes], output: BinaryIO) -> tuple[str, float]:
    """What a process says until it ends, has named a failure, or hangs; and what it took."""
    until, took = time.monotonic() + HUNG_SECONDS, 0.0
    while True:
        took = max(took, _processor(process.pid))
        ended = process.poll() is not None
        output.seek(0)
        said = output.read().decode(errors="replace")
        if ended or _FAILURE.search(said) or time.monotonic() > until:
            return said, round(took, 1)
        time.sleep(LOOK_SECONDS)


def _processor(pid: int) -> float:
    """Seconds of processor time that a process has taken, and those of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of it and of all that it has begun: it has a session of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


_FAILURE = re.compile(
    r"^(?:FAILED .*|ERROR .*|seed \d+ FAILED.*\n.*|world \S+ FAILED.*\n.*|\w+ .*STOPPED, again.*\n.*)\n",
    re.MULTILINE,
)
_STARVED = re.compile(r"^(?:MemoryError|.*out of memory|.*[Cc]annot allocate memory).*", re.MULTILINE)
_TEST = re.compile(r"^(?:FAILED|ERROR) (\S+)")


def surroundings(tree: Path) -> dict[str, str]:
    """An environment in which the tree's own code is imported, and not the code that runs this."""
    return {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"}


def _line(text: str) -> str:
    return " ".join(text.split())[:SHOWN_CHARACTERS_MAX]


def _pytest(files: list[str]) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *files]


def test_of(sight: Sight) -> list[str] | None:
    """The command that runs the one test again that has failed; None where no test has."""
    named = _TEST.match(sight.how) if sight.found and not sight.layer.is_simulated else None
    return _pytest([named[1]]) if named is not None else None


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
    return _ro_sim("explore", "--lives", str(bounds.lives), "--jobs", "1")


def _fuzz(_plant: Plant, _tree: Path, bounds: Bounds) -> list[str]:
    """All readers but the verbs as processes: the functions behind them read what the orchestrator has read."""
    chosen = ("decode", "histories", "leads", "catalogs", "orchestrator", "executor", "door")
    readers = [word for name in chosen for word in ("--reader", name)]
    return _ro_sim("fuzz", "--cases", str(bounds.cases), *readers)


COMMANDS: dict[Layer, Callable[[Plant, Path, Bounds], list[str] | None]] = {
    Layer.DAYS: _days,
    Layer.WORLDS: _worlds,
    Layer.FUZZ: _fuzz,
    Layer.UNIT: _tests_of("unit"),
    Layer.PROPERTIES: _properties,
    Layer.INTEGRATION: _tests_of("integration"),
}
