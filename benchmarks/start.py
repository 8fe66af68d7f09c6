"""From a process's first connection to its first decision, on logs of several lengths, and its peak memory.

Each log is a cell's life as in `benchmarks.history`, poured into a server that syncs nothing. Then the embedded
server runs on that store, and an orchestrator once, which settles what has become due meanwhile. In every round
each cell gets a signal, and then an orchestrator in a process of its own, wired as `ro orchestrator` is. Its time
runs from the moment in which it connects, by this machine's clock, to the stamp of the frame with the verdict."""

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct, field, to_builtins

from benchmarks import report, stage
from benchmarks.live import fill
from benchmarks.workload import fresh
from remediation_orchestrator.bus import api, topology
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.cli.services import run_orchestrator
from remediation_orchestrator.events import Cause, CellName, Recorded, RoutingDecided, decode, subjects
from remediation_orchestrator.events.identity import cell_name
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT

EVENTS = (10_000, 100_000, 1_000_000)
AIMS = {1_000_000: "0.5 s, twice that of 10,000"}
# A fold of a million events; snapshots need less.
START_SECONDS = 300.0
LOOK_SECONDS, QUIET_SECONDS = 0.02, 1.0


class Start(Struct, frozen=True):
    """What a process says of itself at its end."""

    connecting: datetime
    active_seconds: float
    """From connecting to deciding."""
    busy_seconds: float
    peak_mb: float


class Outcome(Struct):
    """What one log came to, a value for each round."""

    events: int
    messages: int = 0
    log_mb: float = 0.0
    seconds: list[float] = field(default_factory=list)
    """From connecting to the first verdict."""
    active_seconds: list[float] = field(default_factory=list)
    busy_seconds: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)


async def main() -> None:
    """Measure each log as asked for, or, as a child, lead one cell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=list(EVENTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--lead", nargs=2, metavar=("URL", "CELL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.lead:
        await lead(*options.lead)
        return
    with tempfile.TemporaryDirectory(prefix="ro-bench-") as folder:
        await fill(Path(folder), {_cell(events): ("life", str(events)) for events in options.events})
        say(await measure(Path(folder), options.events, options.rounds), as_json=options.json)


async def measure(folder: Path, lengths: list[int], turns: int) -> list[Outcome]:
    """Take the logs in turn, round after round."""
    stage.READY_SECONDS = START_SECONDS
    outcomes = {events: Outcome(events) for events in lengths}
    async with EmbeddedServer(folder) as server, connected(server.url, name="bench") as connection:
        logs = {events: await JetStreamLog.open(connection, _cell(events)) for events in lengths}
        for events, log in logs.items():
            async with stage.child("benchmarks.start", "--lead", server.url, log.cell):
                await _quiet(log)
            found = await api.stream_info(connection, topology.stream_name(log.cell))
            assert found is not None
            outcomes[events].messages = found.state.messages
            outcomes[events].log_mb = found.state.bytes / 1_000_000
        for turn in range(turns):
            for events, log in logs.items():
                await _start(server.url, log, outcomes[events], turn)
    return list(outcomes.values())


def _cell(events: int) -> CellName:
    return CellName(f"life-{events}")


async def _quiet(log: JetStreamLog) -> None:
    """Wait until the log grows no more: what was due while nobody led is decided, and its commands are sent."""
    last = 0
    while last != (newest := await log.last_sequence()):
        last = newest
        await asyncio.sleep(QUIET_SECONDS)


async def _start(url: str, log: JetStreamLog, outcome: Outcome, turn: int) -> None:
    """Let one process begin, and see how long a waiting signal has to wait for it."""
    waiting = await log.append(subjects.signal(log.cell, "bench"), fresh(turn, prefix="waiting"))
    async with stage.child("benchmarks.start", "--lead", url, log.cell) as leader:
        decided_at = await _verdict(log, waiting)
    assert leader.stdout is not None
    said = msgspec.json.decode(await leader.stdout.read(), type=Start)
    outcome.seconds.append((decided_at - said.connecting).total_seconds())
    outcome.active_seconds.append(said.active_seconds)
    outcome.busy_seconds.append(said.busy_seconds)
    outcome.peak_mb.append(said.peak_mb)


async def _verdict(log: JetStreamLog, signal: int) -> datetime:
    """When the verdict on a signal was stored."""
    decision = subjects.decision(log.cell)
    async with asyncio.timeout(START_SECONDS):
        async for message in log.read(signal + 1, follow=True):
            if message.subject == decision and any(_answers(one, signal) for one in decode(message)):
                return message.recorded_at
    raise AssertionError("a log that is followed has no end")


def _answers(one: object, signal: int) -> bool:
    if not isinstance(one, Recorded) or not isinstance(one.event, RoutingDecided):
        return False
    return one.event.because.kind is Cause.SIGNAL and one.event.because.position == str(signal)


async def lead(url: str, cell: str) -> None:
    """Lead a cell until the input closes, and say how it went."""
    stopping, active = asyncio.Event(), asyncio.Event()
    connecting, began, busy = datetime.now(UTC), time.monotonic(), time.process_time()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_orchestrator(url, cell_name(cell), DEFAULT, stopping, active))
        await active.wait()
        active_seconds = time.monotonic() - began
        await stage.said_to_go_on()
        stopping.set()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1_000_000
    said = Start(connecting, active_seconds, time.process_time() - busy, peak)
    sys.stdout.write(msgspec.json.encode(said).decode())


def say(outcomes: list[Outcome], *, as_json: bool) -> None:
    """Print what was measured."""
    first = outcomes[0]
    columns = (
        "events",
        "messages",
        "log MB",
        "to the verdict s",
        "from–to",
        "of first",
        "active s",
        "busy s",
        "peak MB",
        "aim",
    )
    rows = [
        (
            f"{one.events:,}",
            f"{one.messages:,}",
            f"{one.log_mb:,.0f}",
            f"{report.median(one.seconds):.2f}",
            report.spread(one.seconds),
            f"{report.median(one.seconds) / report.median(first.seconds):.1f}",
            f"{report.median(one.active_seconds):.2f}",
            f"{report.median(one.busy_seconds):.2f}",
            f"{max(one.peak_mb):,.0f}",
            AIMS.get(one.events, ""),
        )
        for one in outcomes
    ]
    report.say("start", columns, rows, [to_builtins(one) for one in outcomes], as_json=as_json)


if __name__ == "__main__":
    asyncio.run(main())
