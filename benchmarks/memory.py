"""What a live fingerprint takes of memory: a process that has folded so many, before and after.

Each figure is of a process of its own, which has loaded what an orchestrator loads. Another one makes the log by
the real core and hands it over through a pipe, so that nothing of the making is in the figure."""

import argparse
import gc
import os
import resource
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct, to_builtins

from benchmarks import orchestrator, report, stage
from benchmarks.live import SHAPES, Population
from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.orchestrator.routing.fold import Fold

COUNTS = (100_000, 1_000_000)
# What has ended still counts: for most of a day after a failure, for minutes after a success.
DAY = timedelta(hours=20)
OVER = {"completed": timedelta(minutes=4)}
AIMS = {(100_000, "mixed"): "120 MB", (1_000_000, "mixed"): "700 MB"}
SAYS = {
    "mixed": "1 executing, 3 waiting behind it, 6 failed within a day",
    "failed": "ended, its run failed within a day",
    "completed": "ended, its run completed within the cooldowns",
    "executing": "its run holds its target",
    "blocked": "9 of 10 wait in a target's queue",
}
# What the process has loaded when it begins: the shell with its client of the broker, as every orchestrator has.
LOADED = orchestrator
_LENGTH = struct.Struct("<I")


class Outcome(Struct):
    """What so many fingerprints of one kind came to."""

    kind: str
    live: int
    histories: int
    """Fingerprints that the projection still holds at the end."""
    remediations: int
    before_mb: float
    after_mb: float
    """Resident, in millions of bytes: before the first record and after the last."""
    peak_mb: float
    messages: int
    busy_seconds: float

    @property
    def bytes_each(self) -> float:
        """What one more fingerprint takes."""
        return 1_000_000 * (self.after_mb - self.before_mb) / self.live


def main() -> None:
    """Measure each kind, or, as a child, make or fold one log."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--count", type=int, nargs="+", default=list(COUNTS), help="live fingerprints")
    parser.add_argument(
        "--kind", choices=SHAPES, nargs="+", help="all, but the largest count mixed alone, if none"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--role", choices=("make", "fold"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "make":
        make(options.count[0], options.kind[0], sys.stdout.buffer)
    elif options.role == "fold":
        print(msgspec.json.encode(fold(options.count[0], options.kind[0])).decode())
    else:
        say([_in_a_process(*one) for one in _asked(options.count, options.kind)], as_json=options.json)


def _asked(counts: list[int], kinds: list[str] | None) -> Iterator[tuple[int, str]]:
    for count in counts:
        for kind in kinds or (["mixed"] if count == max(COUNTS) else SHAPES):
            yield count, kind


def _command(role: str, count: int, kind: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.memory", "--role", role, "--count", str(count), "--kind", kind]


def _in_a_process(count: int, kind: str) -> Outcome:
    ran = subprocess.run(_command("fold", count, kind), cwd=stage.ROOT, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(ran.stdout, type=Outcome)


# -- in the children -----------------------------------------------------------------------------------


def make(count: int, kind: str, out: IO[bytes]) -> None:
    """Write a log that ends now, each message behind its length."""
    over = OVER.get(kind, DAY)
    for message in Population(datetime.now(UTC) - over).live(count, kind, over):
        packed = msgspec.msgpack.encode(message)
        out.write(_LENGTH.pack(len(packed)))
        out.write(packed)
    out.flush()


def fold(count: int, kind: str) -> Outcome:
    """Fold what another process makes."""
    making = subprocess.Popen(_command("make", count, kind), cwd=stage.ROOT, stdout=subprocess.PIPE)
    assert making.stdout is not None
    gc.collect()
    before, busy = resident_mb(os.getpid()), time.process_time()
    folded = Fold()
    messages = 0
    for message in _messages(making.stdout):
        folded.take(message)
        folded.view.next_wakeup()  # As a round does, which drops the timers of what has ended.
        messages += 1
    folded.fold_facts()
    busy = time.process_time() - busy
    if making.wait() != 0:
        raise RuntimeError("the log was not made")
    gc.collect()
    return Outcome(
        kind=kind,
        live=count,
        histories=len(folded.view.histories),
        remediations=len(folded.view.remediations),
        before_mb=before,
        after_mb=resident_mb(os.getpid()),
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1_000_000,
        messages=messages,
        busy_seconds=busy,
    )


def _messages(pipe: IO[bytes]) -> Iterator[StoredMessage]:
    decoder = msgspec.msgpack.Decoder(StoredMessage)
    while length := pipe.read(_LENGTH.size):
        yield decoder.decode(pipe.read(_LENGTH.unpack(length)[0]))


def resident_mb(pid: int) -> float:
    """What a process has in memory now, in millions of bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    kibibytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(kibibytes) * 1024 / 1_000_000


# -- what came of it -----------------------------------------------------------------------------------


def say(outcomes: list[Outcome], *, as_json: bool) -> None:
    """Print what was measured."""
    columns = ("kind", "live", "bytes each", "process MB", "peak MB", "at the start", "aim", "of ten")
    rows = [
        (
            one.kind,
            f"{one.live:,}",
            f"{one.bytes_each:,.0f}",
            f"{one.after_mb:,.0f}",
            f"{one.peak_mb:,.0f}",
            f"{one.before_mb:,.0f}",
            AIMS.get((one.live, one.kind), ""),
            SAYS[one.kind],
        )
        for one in outcomes
    ]
    data = [{**to_builtins(one), "bytes_each": one.bytes_each} for one in outcomes]
    report.say("memory", columns, rows, data, as_json=as_json)


if __name__ == "__main__":
    main()
