"""From a process's first connection to its first decision, on logs of several lengths, and its peak memory.

Each log is a cell's life as in `benchmarks.history`, poured into a server that syncs nothing. Then the embedded
server runs on that store, and an orchestrator once, which settles what has become due meanwhile. In every round
each cell gets a signal, and then an orchestrator in a process of its own, wired as `ro orchestrator` is. Its time
runs from the moment in which it connects, by this machine's clock, to the stamp of the frame with the verdict.
Where snapshots are kept, every log is begun without one, by a whole fold, and with one; a short log has none."""

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
from nats.aio.client import Client

from benchmarks import report, stage
from benchmarks.live import fill
from benchmarks.orchestrator import lead_what_was_poured
from benchmarks.workload import fresh
from remediation_orchestrator.bus import api, topology
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import stream_name
from remediation_orchestrator.cli.support.services import run_orchestrator
from remediation_orchestrator.events import Cause, CellName, Recorded, RoutingDecided, decode, subjects
from remediation_orchestrator.events.identity import cell_name
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT

EVENTS = (10_000, 100_000, 1_000_000)
AIMS = {1_000_000: "0.5 s, twice that of 10,000"}
# A fold of a million events; snapshots need less.
START_SECONDS = 300.0
LOOK_SECONDS, QUIET_SECONDS = 0.1, 1.0
SNAPSHOTS = topology.SNAPSHOTS.stream
# A shorter log gets none.
SNAPSHOT_MESSAGES = 10_000
WAYS = ("fold", "snapshot")


class Start(Struct, frozen=True):
    """What a process says of itself at its end."""

    connecting: datetime
    active_seconds: float
    """From connecting to deciding."""
    busy_seconds: float
    peak_mb: float


class Outcome(Struct):
    """What one way to begin on one log came to, a value for each round."""

    events: int
    way: str
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
    """Take the logs in turn, round after round, first without snapshots and then with them."""
    stage.READY_SECONDS = START_SECONDS
    outcomes: list[Outcome] = []
    async with EmbeddedServer(folder) as server, connected(server.url, name="bench") as connection:
        logs = {events: await JetStreamLog.open(connection, _cell(events)) for events in lengths}
        for log in logs.values():
            async with stage.child("benchmarks.start", "--lead", server.url, log.cell):
                await _quiet(log)
        for way in WAYS:
            found = {events: await _described(connection, log, events, way) for events, log in logs.items()}
            outcomes += found.values()
            for turn in range(turns):
                for events, log in logs.items():
                    await _prepare(connection, server.url, log, way)
                    await _start(server.url, log, found[events], f"{way}-{turn}")
    return outcomes


def _cell(events: int) -> CellName:
    return CellName(f"life-{events}")


async def _described(connection: Client, log: JetStreamLog, events: int, way: str) -> Outcome:
    info = await api.stream_info(connection, stream_name(log.cell))
    assert info is not None
    return Outcome(events, way, info.state.messages, info.state.bytes / 1_000_000)


async def _prepare(connection: Client, url: str, log: JetStreamLog, way: str) -> None:
    """Take all snapshots away, or have one made if this log is long enough to get one."""
    if way == "fold":
        if await api.stream_info(connection, SNAPSHOTS) is not None:
            await api.call(connection, f"STREAM.DELETE.{SNAPSHOTS}", {}, api.Done)
        return
    if await _has_snapshot(connection, log) or await log.last_sequence() < SNAPSHOT_MESSAGES:
        return
    async with stage.child("benchmarks.start", "--lead", url, log.cell), asyncio.timeout(START_SECONDS):
        await log.append(subjects.signal(log.cell, "bench"), fresh(0, prefix="before"))
        while not await _has_snapshot(connection, log):  # noqa: ASYNC110 - it is written in the background
            await asyncio.sleep(LOOK_SECONDS)


async def _has_snapshot(connection: Client, log: JetStreamLog) -> bool:
    if await api.stream_info(connection, SNAPSHOTS) is None:
        return False
    newest = topology.SNAPSHOTS.subject(log.cell, "newest")
    return await api.last_message(connection, SNAPSHOTS, newest) is not None


async def _quiet(log: JetStreamLog) -> None:
    """Wait until the log grows no more: what was due while nobody led is decided, and its commands are sent."""
    last = 0
    while last != (newest := await log.last_sequence()):
        last = newest
        await asyncio.sleep(QUIET_SECONDS)


async def _start(url: str, log: JetStreamLog, outcome: Outcome, turn: str) -> None:
    """Let one process begin, and see how long a waiting signal has to wait for it."""
    waiting = await log.append(subjects.signal(log.cell, "bench"), fresh(0, prefix=f"waiting-{turn}"))
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
    lead_what_was_poured()
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
    first = {one.way: one for one in reversed(outcomes)}
    columns = ("events", "by", "messages", "log MB", "seconds", "from–to", "of first", "busy s", "peak MB", "aim")
    rows = [
        (
            f"{one.events:,}",
            one.way,
            f"{one.messages:,}",
            f"{one.log_mb:,.0f}",
            f"{report.median(one.seconds):.2f}",
            report.spread(one.seconds),
            f"{report.median(one.seconds) / report.median(first[one.way].seconds):.1f}",
            f"{report.median(one.busy_seconds):.2f}",
            f"{max(one.peak_mb):,.0f}",
            AIMS.get(one.events, ""),
        )
        for one in outcomes
    ]
    report.say("start", columns, rows, [to_builtins(one) for one in outcomes], as_json=as_json)


if __name__ == "__main__":
    asyncio.run(main())
