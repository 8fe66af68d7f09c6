"""Several cells on one server: durable decisions a second in all, beside what it stores, and latency.

One orchestrator process a cell, all cells fresh in every round, as many signals in all whatever the number of
cells. Publisher, orchestrators and server share this machine's processors and its disk, so this shows what cells
cost on one server, and not what they give on several."""

import argparse
import asyncio
import itertools
import selectors
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct, field, to_builtins
from nats.aio.client import Client

from benchmarks import latency, report, rounds, stage
from benchmarks.memory import resident_mb
from benchmarks.rounds import Drawing, Result
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import CellName

CELLS = (1, 4, 16)
FRAME = 50
# Of all cells together.
IN_FRAMES, SINGLES = 24_000, 8_000
LATENCY_RATE, LATENCY_SECONDS = 320, 8.0


class Outcome(Struct):
    """What so many cells came to together, a value for each round."""

    cells: int
    stored: list[Result] = field(default_factory=list)
    """Single signals, where nothing decides."""
    singles: list[Result] = field(default_factory=list)
    frames: list[Result] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    """Of the cell in the middle."""
    p99_ms: list[float] = field(default_factory=list)
    """Of the worst cell."""
    resident_mb: float = 0.0
    """All orchestrators together."""

    @property
    def ratios(self) -> list[float]:
        """Deciding singles by storing them alone, round by round."""
        return [this.per_second / that.per_second for this, that in zip(self.singles, self.stored, strict=True)]


async def main() -> None:
    """Measure each number of cells as asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cells", description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=list(CELLS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, help="signals of one run in all, instead of a few seconds' worth")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    outcomes = {number: Outcome(number) for number in options.cells}
    names = (CellName(f"bench-{number}") for number in itertools.count(1))
    async with stage.server() as server, connected(server.url, name="bench") as connection:
        for _ in range(options.rounds):
            for outcome in outcomes.values():
                await measure(connection, server, names, outcome, options.count)
    say(list(outcomes.values()), as_json=options.json)


async def measure(
    connection: Client, server: EmbeddedServer, names: Iterator[CellName], outcome: Outcome, count: int | None
) -> None:
    """Take one round: store alone, then decide singles, frames, and a steady trickle."""
    url, cells = server.url, outcome.cells
    singles, frames = (Drawing((count or one) // cells, size) for one, size in ((SINGLES, 1), (IN_FRAMES, FRAME)))
    outcome.stored.append(await rounds.stored(url, await _fresh(connection, names, cells), singles))
    for drawing, results in ((singles, outcome.singles), (frames, outcome.frames)):
        logs = await _fresh(connection, names, cells)
        async with _led(url, logs) as leaders:
            results.append(await rounds.decided(url, logs, leaders, drawing, server.pid))
            outcome.resident_mb = sum(map(resident_mb, leaders))
    logs = await _fresh(connection, names, cells)
    async with _led(url, logs):
        await _latency(connection, logs, outcome, count)


async def _fresh(connection: Client, names: Iterator[CellName], cells: int) -> list[JetStreamLog]:
    return [await JetStreamLog.ensure(connection, next(names)) for _ in range(cells)]


@asynccontextmanager
async def _led(url: str, logs: list[JetStreamLog]) -> AsyncIterator[list[int]]:
    """An orchestrator for each cell; yields their process ids."""
    async with AsyncExitStack() as stack:
        children = [stage.child("benchmarks.orchestrator", url, log.cell) for log in logs]
        yield [(await stack.enter_async_context(one)).pid for one in children]


async def _latency(connection: Client, logs: list[JetStreamLog], outcome: Outcome, count: int | None) -> None:
    rate = max(LATENCY_RATE // len(logs), 1)
    signals = (count // len(logs)) if count else int(rate * LATENCY_SECONDS)
    found = [latency.Outcome(rate, 0, [], [], [], [], []) for _ in logs]
    asked = zip(logs, found, strict=True)
    await asyncio.gather(*(latency.measure(connection, log, one, signals) for log, one in asked))
    outcome.p50_ms.append(report.median([one.p50[0] for one in found]))
    outcome.p99_ms.append(max(one.p99[0] for one in found))


def say(outcomes: list[Outcome], *, as_json: bool) -> None:
    """Print what was measured."""
    columns = (
        "cells",
        "stored/s",
        "singles/s",
        "of it",
        "busy µs",
        "server",
        "frames/s",
        "busy µs",
        "server",
        "p50 ms",
        "p99",
        "MB",
    )
    rows = [
        (
            f"{one.cells}",
            f"{_middle(one.stored):,.0f}",
            f"{_middle(one.singles):,.0f}",
            f"{report.median(one.ratios):.2f}",
            f"{report.median([run.busy_microseconds for run in one.singles]):.0f}",
            f"{report.median([run.server_microseconds for run in one.singles]):.0f}",
            f"{_middle(one.frames):,.0f}",
            f"{report.median([run.busy_microseconds for run in one.frames]):.0f}",
            f"{report.median([run.server_microseconds for run in one.frames]):.0f}",
            f"{report.median(one.p50_ms):.2f}",
            f"{report.median(one.p99_ms):.2f}",
            f"{one.resident_mb:,.0f}",
        )
        for one in outcomes
    ]
    report.say("cells", columns, rows, [to_builtins(one) for one in outcomes], as_json=as_json)


def _middle(results: list[Result]) -> float:
    return report.median([one.per_second for one in results])


if __name__ == "__main__":
    # The usual loop waits in whole milliseconds, which is what a latency is measured in.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(main())
