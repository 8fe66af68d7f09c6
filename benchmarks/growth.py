"""How deciding changes as a cell grows: durable decisions a second, and latency, on top of what is live.

What is live is made by `benchmarks.live` and poured into a server that syncs nothing; then the embedded server
runs on that store, syncing every message, with an orchestrator for each size. Rounds go from size to size, so that
a figure held against the smallest of its own round stands on a noisy machine. Of ten signals on top four repeat
what is live, and one proceeds. `--core` is the same without a broker: fold, judge and encode, in the processor's
own time."""

import argparse
import asyncio
import gc
import selectors
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct, field, to_builtins

from benchmarks import latency, report, rounds, stage
from benchmarks.live import Population, fill, patient
from benchmarks.memory import resident_mb
from benchmarks.rounds import Drawing, Result
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import CellName

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SHAPE = "mixed"
FRAME = 50
# Signals of one run: two seconds or so, and few enough that what runs on top stays small beside what is live.
IN_FRAMES, SINGLES = 20_000, 8_000
ROUND_SIGNALS = 1_000
LATENCY_RATE, LATENCY_SECONDS = 200, 10.0
# Until there are snapshots, an orchestrator folds everything before it is ready.
START_SECONDS = 900.0


class Outcome(Struct):
    """What one size came to, a value for each round."""

    live: int
    frames: list[Result] = field(default_factory=list)
    singles: list[Result] = field(default_factory=list)
    latency_p50_ms: float = 0.0
    latency_p99_ms: float = 0.0
    start_seconds: float = 0.0
    """Of the orchestrator's process, until it was active."""
    resident_mb: float = 0.0


class CoreOutcome(Struct):
    """What one size came to without a broker, a value for each round."""

    live: int
    made_per_second: float
    """Fingerprints brought to life in a second."""
    per_second: list[float] = field(default_factory=list)
    longest_ms: list[float] = field(default_factory=list)
    """The longest of its rounds of a thousand signals: the collector strikes in some."""
    collecting: list[float] = field(default_factory=list)
    """The share of the time that the collector took."""


async def main() -> None:
    """Measure each size as asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--live", type=int, nargs="+", default=list(SIZES), help="live fingerprints")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, help="signals of one run, instead of about two seconds' worth")
    parser.add_argument("--core", action="store_true", help="without a broker")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.core:
        found = [core(live, options.rounds, options.count or IN_FRAMES) for live in options.live]
        say_core(found, as_json=options.json)
        return
    with tempfile.TemporaryDirectory(prefix="ro-bench-") as folder:
        await fill(Path(folder), {_cell(live): ("live", str(live), SHAPE) for live in options.live})
        say(await measure(Path(folder), options.live, options.rounds, options.count), as_json=options.json)


# -- with a broker -------------------------------------------------------------------------------------


async def measure(folder: Path, sizes: list[int], turns: int, count: int | None) -> list[Outcome]:
    """Start everything, and take the sizes in turn."""
    stage.READY_SECONDS = START_SECONDS
    outcomes, logs, pids = [Outcome(live) for live in sizes], {}, {}
    async with (
        EmbeddedServer(folder) as server,
        connected(server.url, name="bench") as connection,
        AsyncExitStack() as stack,
    ):
        for one in outcomes:
            began, cell = time.monotonic(), _cell(one.live)
            leading = stage.child("benchmarks.orchestrator", server.url, cell)
            pids[one.live] = (await stack.enter_async_context(leading)).pid
            one.start_seconds = time.monotonic() - began
            logs[one.live] = await JetStreamLog.open(connection, cell)
        for turn in range(turns):
            for one in outcomes:
                where = server.url, [logs[one.live]], [pids[one.live]]
                drawing = Drawing(count or IN_FRAMES, FRAME, 2 * turn, one.live, SHAPE)
                one.frames.append(await rounds.decided(*where, drawing))
                drawing = Drawing(count or SINGLES, 1, 2 * turn + 1, one.live, SHAPE)
                one.singles.append(await rounds.decided(*where, drawing))
        for one in outcomes:
            found = latency.Outcome(LATENCY_RATE, 0, [], [], [], [], [])
            signals = count or int(LATENCY_RATE * LATENCY_SECONDS)
            await latency.measure(connection, logs[one.live], found, signals)
            one.latency_p50_ms, one.latency_p99_ms = found.p50[0], found.p99[0]
            one.resident_mb = resident_mb(pids[one.live])
    return outcomes


def _cell(live: int) -> CellName:
    return CellName(f"live-{live}")


# -- without one ---------------------------------------------------------------------------------------


def core(live: int, turns: int, count: int) -> CoreOutcome:
    """Bring so many to life in this process, and decide signals on top of them."""
    began = time.process_time()
    cell = Population(datetime.now(UTC), patient())
    for _ in cell.live(live, SHAPE):
        pass
    outcome = CoreOutcome(live, live / (time.process_time() - began))
    for turn in range(turns):
        payloads = Drawing(count, FRAME, turn, live, SHAPE).payloads()
        with collector() as pauses:
            lasted = list(_rounds(cell, payloads))
        outcome.per_second.append(count / sum(lasted))
        outcome.longest_ms.append(1_000 * max(lasted))
        outcome.collecting.append(sum(pauses) / sum(lasted))
    return outcome


def _rounds(cell: Population, payloads: list[bytes]) -> Iterator[float]:
    """Yield how long each round took, in seconds."""
    messages = ROUND_SIGNALS // FRAME
    for start in range(0, len(payloads), messages):
        began = time.process_time()
        for _ in cell.arrive(payloads[start : start + messages]):
            pass
        yield time.process_time() - began


@contextmanager
def collector() -> Iterator[list[float]]:
    """Note how long each collection takes, in seconds."""
    pauses: list[float] = []
    began = 0.0

    def on_collection(phase: str, _: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.process_time()
        else:
            pauses.append(time.process_time() - began)

    gc.callbacks.append(on_collection)
    try:
        yield pauses
    finally:
        gc.callbacks.remove(on_collection)


# -- what came of it -----------------------------------------------------------------------------------


def say(outcomes: list[Outcome], *, as_json: bool) -> None:
    """Print what was measured."""
    columns = (
        "live",
        "frames/s",
        "of first",
        "busy µs",
        "singles/s",
        "of first",
        "busy µs",
        "p50 ms",
        "p99 ms",
        "start s",
        "MB",
    )
    rows = [
        (
            f"{one.live:,}",
            f"{report.median([run.per_second for run in one.frames]):,.0f}",
            f"{report.median(_against(one.frames, outcomes[0].frames)):.2f}",
            f"{report.median([run.busy_microseconds for run in one.frames]):.0f}",
            f"{report.median([run.per_second for run in one.singles]):,.0f}",
            f"{report.median(_against(one.singles, outcomes[0].singles)):.2f}",
            f"{report.median([run.busy_microseconds for run in one.singles]):.0f}",
            f"{one.latency_p50_ms:.2f}",
            f"{one.latency_p99_ms:.2f}",
            f"{one.start_seconds:.1f}",
            f"{one.resident_mb:,.0f}",
        )
        for one in outcomes
    ]
    report.say("growth", columns, rows, [to_builtins(one) for one in outcomes], as_json=as_json)


def _against(these: list[Result], those: list[Result]) -> list[float]:
    """Round by round."""
    return [this.per_second / that.per_second for this, that in zip(these, those, strict=True)]


def say_core(outcomes: list[CoreOutcome], *, as_json: bool) -> None:
    """Print what was measured without a broker."""
    columns = ("live", "made/s", "signals/s", "from–to", "µs a signal", "collecting", "longest round ms")
    rows = [
        (
            f"{one.live:,}",
            f"{one.made_per_second:,.0f}",
            f"{report.median(one.per_second):,.0f}",
            report.spread(one.per_second),
            f"{1_000_000 / report.median(one.per_second):.1f}",
            f"{report.median(one.collecting):.0%}",
            f"{max(one.longest_ms):,.0f}",
        )
        for one in outcomes
    ]
    report.say("growth-core", columns, rows, [to_builtins(one) for one in outcomes], as_json=as_json)


if __name__ == "__main__":
    # The usual loop waits in whole milliseconds, which is what a latency is measured in.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(main())
