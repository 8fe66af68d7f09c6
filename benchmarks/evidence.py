"""The log as evidence: how fast an exported log is read, replayed and audited, and a broker's is exported.

The log is `benchmarks.history`'s. Every reading is a process of its own, so that its peak memory is its own; its
time is taken inside, without the imports. An event is one of a message or a frame.

An imported record carries its stamp and more in headers, and reading those costs a client as much as the rest of
a message. So a broker is read from a cell as a live one would have stored it; of a long log, its first part."""

import argparse
import asyncio
import gc
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins

from benchmarks import history, report, stage
from benchmarks.publisher import publish_records
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.file import FileLog, messages
from remediation_orchestrator.bus.imported import bring_in
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import ReadableLog
from remediation_orchestrator.events import CellName, StoredMessage, decode
from remediation_orchestrator.events.stored import export_line
from remediation_orchestrator.orchestrator.queries.audit import Auditor
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS, Finding, Report
from remediation_orchestrator.orchestrator.routing.fold import Fold

AIMS = {"audit": "300,000/s", "export": "100,000/s", "broker replay": "100,000/s"}
EVENTS = 200_000
# What a run with one round takes: only for turning `--seconds` into a count.
EVENTS_PER_SECOND = 5_000
# Each is synced by itself: ten seconds on a good disk, two minutes on a bad one.
LIVE_MESSAGES_MAX = 50_000


class Outcome(Struct):
    """What one way to read came to, a value for each round."""

    reading: str
    aim: str
    events: int
    per_second: list[float]
    busy: list[float]
    """Microseconds of a processor for an event."""
    peak: list[float]
    """MiB of the whole process at its largest."""


def main() -> None:
    """Make a log, and read it as often as asked for; or, as a child, read it once."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--seconds", type=float, help="sizes the log, instead of --count")
    parser.add_argument("--count", type=int, help=f"events in the log, {EVENTS:,} if nothing is said")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the log, or read the one that is there")
    parser.add_argument("--reading", choices=[*FROM_FILE, "broker"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reading is not None:
        print(json.dumps(_broker(options.keep) if options.reading == "broker" else _read(options)))
        return
    count = options.count or int((options.seconds or EVENTS / EVENTS_PER_SECOND) * EVENTS_PER_SECOND)
    with tempfile.TemporaryDirectory(prefix="ro-bench-") as folder:
        path = options.keep or Path(folder) / "log.jsonl"
        if not path.exists():
            write(path, history.messages(count))
        say(measure(path, options.rounds), as_json=options.json)


def write(path: Path, log: Iterable[StoredMessage]) -> None:
    """Export a log."""
    with path.open("wb") as file:
        file.writelines(export_line(message) + b"\n" for message in log)


def measure(path: Path, rounds: int) -> list[Outcome]:
    """Take every reading in turn, round after round."""
    sizes = [len(decode(message)) for message in messages(path)]
    events, live = sum(sizes), sum(sizes[:LIVE_MESSAGES_MAX])
    outcomes: dict[str, Outcome] = {}
    for _ in range(rounds):
        for reading in (*FROM_FILE, "broker"):
            for name, seconds, busy, peak in _child(path, reading):
                read = live if name in FROM_BROKER else events
                outcome = outcomes.setdefault(name, Outcome(name, AIMS.get(name, ""), read, [], [], []))
                outcome.per_second.append(read / seconds)
                outcome.busy.append(1_000_000 * busy / read)
                outcome.peak.append(peak)
    return list(outcomes.values())


# -- in a child ----------------------------------------------------------------------------------------

Figures = tuple[str, float, float, float]
"""The reading, its seconds, how many of them the processor was busy with it, and the peak memory."""


def _child(path: Path, reading: str) -> list[Figures]:
    command = [sys.executable, "-m", "benchmarks.evidence", "--reading", reading, "--keep", str(path)]
    ran = subprocess.run(command, cwd=stage.ROOT, stdout=subprocess.PIPE, check=True)
    figures: list[Figures] = json.loads(ran.stdout)
    return figures


def _read(options: argparse.Namespace) -> list[Figures]:
    return [_timed(options.reading, lambda: FROM_FILE[options.reading](options.keep))]


def _timed(name: str, action: Callable[[], None]) -> Figures:
    """As the verbs read: the collector rests meanwhile."""
    gc.disable()
    began, busy = time.perf_counter(), time.process_time()
    action()
    return _since(name, began, busy)


def _since(name: str, began: float, busy: float) -> Figures:
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    return name, seconds, busy, _peak()


def _peak() -> float:
    """MiB of this process at its largest; what getrusage says may be from before it was a program of its own."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def _lines(path: Path) -> None:
    for _ in messages(path):
        pass


def _decode(path: Path) -> None:
    for message in messages(path):
        decode(message)


def _replay(path: Path) -> None:
    asyncio.run(_fold(FileLog(path)))


def _audit(path: Path) -> None:
    asyncio.run(_look_into(FileLog(path)))


FROM_FILE: dict[str, Callable[[Path], None]] = {
    "read": _lines,
    "decode": _decode,
    "replay": _replay,
    "audit": _audit,
}


def _broker(path: Path) -> list[Figures]:
    """Import the log into a cell of an embedded server; export and replay it from another."""
    gc.disable()
    return asyncio.run(_from_broker(path))


async def _from_broker(path: Path) -> list[Figures]:
    async with stage.server() as server, connected(server.url, name="bench") as client:
        figures = [await _awaited("import", bring_in(client, CellName("imported"), 1, messages(path)))]
        log = await JetStreamLog.ensure(client, history.CELL)
        part = itertools.islice(messages(path), LIVE_MESSAGES_MAX)
        await publish_records(client, [(one.subject, one.payload, one.headers) for one in part])
        return figures + [await _awaited(name, reading(log)) for name, reading in FROM_BROKER.items()]


async def _awaited(name: str, action: Coroutine[Any, Any, object]) -> Figures:
    began, busy = time.perf_counter(), time.process_time()
    await action
    return _since(name, began, busy)


async def _fold(log: ReadableLog) -> None:
    fold = Fold()
    async for message in log.read():
        fold.take(message)


async def _look_into(log: ReadableLog) -> None:
    """What `ro audit` does. The log must hold."""
    auditor = Auditor(Report())
    findings: list[Finding] = []
    async for message in log.read():
        findings += auditor.take(message)
    findings = [one for one in (*findings, *auditor.end()) if one.drift not in HARMLESS]
    if findings:
        raise RuntimeError(f"{len(findings)} findings, the first: {findings[0]}")


async def _export(log: ReadableLog) -> None:
    with tempfile.TemporaryFile() as file:
        async for message in log.read():
            file.write(export_line(message) + b"\n")


FROM_BROKER = {"export": _export, "broker replay": _fold}


# -- what came of it -----------------------------------------------------------------------------------


def say(outcomes: list[Outcome], *, as_json: bool) -> None:
    """Print what was measured."""
    columns = ("reading", "events", "events/s", "from–to", "busy µs", "peak MiB", "aim")
    rows = [
        (
            one.reading,
            f"{one.events:,}",
            f"{report.median(one.per_second):,.0f}",
            report.spread(one.per_second),
            f"{report.median(one.busy):.2f}",
            f"{max(one.peak):,.0f}",
            one.aim,
        )
        for one in outcomes
    ]
    report.say("evidence", columns, rows, [to_builtins(one) for one in outcomes], as_json=as_json)


if __name__ == "__main__":
    main()
