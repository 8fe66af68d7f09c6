"""One copy of a log and three: what a cluster of three servers stores and decides of single signals a second.

All three servers are on this machine, one disk and its processors shared, and sync every message. Where there is
one copy its leader syncs each message by itself; three agree by a log of their own, which shares its syncs."""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from msgspec import Struct, field, to_builtins
from nats.aio.client import Client

from benchmarks import report, rounds, stage
from benchmarks.broker_cluster import Cluster
from benchmarks.rounds import Drawing, Result
from benchmarks.workload import fresh
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogUnreachableError, StaleWriteError, UnknownOutcomeError
from remediation_orchestrator.events import CellName, subjects

REPLICAS = (1, 3)
SINGLES, ALONE = 6_000, 200
# An election takes up to seven seconds.
ELECTED_SECONDS = 30.0
OVER = b'{"name":"first","target":{"name":"first"},"status":"resolved"}'


class Outcome(Struct):
    """What so many copies came to, a value for each round."""

    replicas: int
    stored: list[Result] = field(default_factory=list)
    decided: list[Result] = field(default_factory=list)
    append_ms: list[float] = field(default_factory=list)
    """One append after another, on average."""


async def main() -> None:
    """Take both in turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replicas", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=SINGLES, help="signals of one run")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    outcomes = [Outcome(replicas) for replicas in REPLICAS]
    with tempfile.TemporaryDirectory(prefix="ro-bench-") as folder, Cluster(Path(folder), 3) as cluster:
        await cluster.ready()
        async with connected(cluster.url, name="bench") as connection:
            for turn in range(options.rounds):
                for outcome in outcomes:
                    await measure(connection, cluster.url, outcome, turn, options.count)
    say(outcomes, as_json=options.json)


async def measure(connection: Client, url: str, outcome: Outcome, turn: int, count: int) -> None:
    """Store alone, then decide."""
    drawing = Drawing(count, 1)
    log = await _log(connection, outcome.replicas, f"stored-{turn}")
    began = time.monotonic()
    for number in range(ALONE):
        await log.append(subjects.signal(log.cell, rounds.SOURCE), fresh(number, prefix="alone"))
    outcome.append_ms.append(1_000 * (time.monotonic() - began) / ALONE)
    outcome.stored.append(await rounds.stored(url, [log], drawing))
    log = await _log(connection, outcome.replicas, f"decided-{turn}")
    async with stage.child("benchmarks.orchestrator", url, log.cell) as leader:
        outcome.decided.append(await rounds.decided(url, [log], [leader.pid], drawing))


async def _log(connection: Client, replicas: int, name: str) -> JetStreamLog:
    """A log whose copies have elected who leads them. It holds one record, on which there is no verdict."""
    log = await JetStreamLog.ensure(connection, CellName(f"{name}-{replicas}"), replicas=replicas)
    first = subjects.signal(log.cell, "first")
    async with asyncio.timeout(ELECTED_SECONDS):
        while True:
            try:
                await log.append(first, OVER, expect=0)
            except (LogUnreachableError, UnknownOutcomeError):
                await asyncio.sleep(0.1)
            except StaleWriteError:  # Stored before, and the answer was lost.
                return log
            else:
                return log


def say(outcomes: list[Outcome], *, as_json: bool) -> None:
    """Print what was measured."""
    columns = ("copies", "stored/s", "from–to", "decided/s", "from–to", "busy µs", "one append ms")
    rows = []
    for one in outcomes:
        stored, decided = ([run.per_second for run in runs] for runs in (one.stored, one.decided))
        rows.append(
            (
                f"{one.replicas}",
                f"{report.median(stored):,.0f}",
                report.spread(stored),
                f"{report.median(decided):,.0f}",
                report.spread(decided),
                f"{report.median([run.busy_microseconds for run in one.decided]):.0f}",
                f"{report.median(one.append_ms):.2f}",
            )
        )
    report.say("replicas", columns, rows, [to_builtins(one) for one in outcomes], as_json=as_json)


if __name__ == "__main__":
    asyncio.run(main())
