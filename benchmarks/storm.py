"""A storm: 99 of 100 signals are duplicates, and they come in arrays. How fast it is decided durably, what it
leaves in the log for each signal, and how fast that log is replayed and audited.

Storing and deciding are measured as in `benchmarks.decisions`; reading is of the same log, from memory, with the
collector at rest. To hold two versions against each other, run it in both trees in turn, a round each."""

import argparse
import asyncio
import gc
import itertools
import time
from collections.abc import Callable, Iterator

from msgspec import Struct, field, to_builtins
from nats.aio.client import Client

from benchmarks import report
from benchmarks.decisions import Path, run
from benchmarks.stage import server
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import CellName, StoredMessage, decode
from remediation_orchestrator.events.stored import MESSAGE_BYTES_MAX
from remediation_orchestrator.events.subjects import Family, parse
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.routing.fold import Fold

# Of these signals each has fewer bytes than this.
FULL = MESSAGE_BYTES_MAX // 512
PATHS = {
    "single": (Path("single", "storm", 1, ""), 10_000),
    "fifty": (Path("arrays of 50", "storm", 50, ""), 60_000),
    "full": (Path(f"arrays of {FULL}", "storm", FULL, ""), 60_000),
}


class Outcome(Struct):
    """What one path came to, a value for each round."""

    path: str
    count: int
    stored: list[float] = field(default_factory=list)
    decided: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    """Microseconds of a processor, by the orchestrator, for a signal."""
    facts: list[float] = field(default_factory=list)
    """Bytes for a signal, of signals, and below of decisions."""
    decisions: list[float] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    """Microseconds of a processor for an event, as those of replay and audit."""
    replay: list[float] = field(default_factory=list)
    audit: list[float] = field(default_factory=list)


async def main() -> None:
    """Measure each path as asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storm", description=__doc__)
    parser.add_argument("paths", nargs="*", metavar="PATH", help=f"of {', '.join(PATHS)}; all, if none is named")
    parser.add_argument("--count", type=int, help="signals of one run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.paths) - set(PATHS):
        parser.error(f"no such path: {', '.join(sorted(unknown))}")
    cells = (CellName(f"bench-{number}") for number in itertools.count(1))
    outcomes = []
    async with server() as running, connected(running.url, name="bench") as connection:
        for name in options.paths or PATHS:
            path, count = PATHS[name]
            outcome = Outcome(path.name, options.count or count)
            for _ in range(options.rounds):
                await _decide(connection, running.url, cells, path, outcome)
            outcomes.append(outcome)
    say(outcomes, as_json=options.json)


async def _decide(connection: Client, url: str, cells: Iterator[CellName], path: Path, outcome: Outcome) -> None:
    alone = await run(connection, url, next(cells), path, outcome.count, deciding=False)
    outcome.stored.append(alone.stored_per_second())
    cell = next(cells)
    decided = await run(connection, url, cell, path, outcome.count, deciding=True)
    outcome.decided.append(decided.decided_per_second())
    outcome.busy.append(1_000_000 * decided.busy_seconds / decided.signals)
    log = await JetStreamLog.ensure(connection, cell)
    _read(outcome, [message async for message in log.read()])


def _read(outcome: Outcome, log: list[StoredMessage]) -> None:
    sizes = dict.fromkeys(Family, 0)
    for message in log:
        sizes[parse(message.subject).family] += len(message.payload)
    outcome.facts.append(sizes[Family.SIGNAL] / outcome.count)
    outcome.decisions.append(sizes[Family.DECISION] / outcome.count)
    events = sum(len(decode(message)) for message in log)
    outcome.events.append(events)
    gc.disable()
    outcome.decode.append(_busy(_decode, log) / events)
    outcome.replay.append(_busy(_replay, log) / events)
    outcome.audit.append(_busy(_audit, log) / events)
    gc.enable()
    gc.collect()


def _busy(reading: Callable[[list[StoredMessage]], None], log: list[StoredMessage]) -> float:
    began = time.process_time()
    reading(log)
    return 1_000_000 * (time.process_time() - began)


def _decode(log: list[StoredMessage]) -> None:
    for message in log:
        decode(message)


def _replay(log: list[StoredMessage]) -> None:
    fold = Fold()
    for message in log:
        fold.take(message)


def _audit(log: list[StoredMessage]) -> None:
    findings = list(audit(log))
    if findings:
        raise RuntimeError(f"{len(findings)} findings, the first: {findings[0]}")


def say(outcomes: list[Outcome], *, as_json: bool) -> None:
    """Print what was measured."""
    columns = (
        "path",
        "decided/s",
        "of storing",
        "busy µs",
        "bytes: signal",
        "decision",
        "decode µs",
        "replay",
        "audit",
    )
    rows = [
        (
            one.path,
            f"{report.median(one.decided):,.0f}",
            f"{report.median(one.decided) / report.median(one.stored):.2f}",
            *(f"{report.median(figures):,.1f}" for figures in (one.busy, one.facts, one.decisions)),
            *(f"{report.median(figures):.2f}" for figures in (one.decode, one.replay, one.audit)),
        )
        for one in outcomes
    ]
    report.say("storm", columns, rows, [to_builtins(one) for one in outcomes], as_json=as_json)


if __name__ == "__main__":
    asyncio.run(main())
