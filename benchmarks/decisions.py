"""Durable decisions per second, beside what the same server stores when nothing decides.

Every message is synced (`sync_interval: always`). The clock is the broker's: from the stamp of the first signal
to the stamp of the frame with the last verdict, so it stops when every signal has its verdict. Storing alone
and deciding take turns in one run, each in a cell of its own, so that their ratio stands on a noisy machine."""

import argparse
import asyncio
import itertools
from datetime import datetime

from msgspec import Struct, to_builtins
from nats.aio.client import Client

from benchmarks import report
from benchmarks.stage import child, server
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import Cause, CellName, Recorded, RoutingDecided, decode, subjects

# What this kind of machine stores: only for turning `--seconds` into a count.
SINGLES_PER_SECOND, IN_FRAMES_PER_SECOND = 5_000, 20_000
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.05


class Path(Struct, frozen=True):
    """One way for signals to come."""

    name: str
    mix: str
    size: int
    aim: str

    @property
    def per_second(self) -> int:
        """About how many a second this machine takes."""
        return SINGLES_PER_SECOND if self.size == 1 else IN_FRAMES_PER_SECOND


PATHS = {
    "single": Path("single", "one-in-ten", 1, "90 % of storing"),
    "storm": Path("storm, 99 % duplicates", "storm", 1, "no slower than single"),
    "frames": Path("frames of 50", "one-in-ten", 50, "20,000/s"),
}


class Times(Struct):
    """The broker's stamps of one run."""

    signals: int
    first: datetime
    last_signal: datetime
    verdicts: int
    last_verdict: datetime | None
    busy_seconds: float = 0.0
    """What the orchestrator took of a processor."""

    def stored_per_second(self) -> float:
        """Signals by the time it took to store them."""
        return self.signals / (self.last_signal - self.first).total_seconds()

    def decided_per_second(self) -> float:
        """Signals by the time it took until the last of them had its verdict."""
        assert self.last_verdict is not None
        return self.signals / (self.last_verdict - self.first).total_seconds()


class Outcome(Struct):
    """What one path came to, a value for each round."""

    path: str
    aim: str
    count: int
    stored: list[float]
    decided: list[float]
    busy_microseconds: list[float]
    """Of a processor, by the orchestrator, for a signal."""

    @property
    def ratios(self) -> list[float]:
        """Deciding by storing alone, round by round."""
        return [decided / stored for decided, stored in zip(self.decided, self.stored, strict=True)]


async def main() -> None:
    """Measure each path as asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions", description=__doc__)
    parser.add_argument("paths", nargs="*", metavar="PATH", help=f"of {', '.join(PATHS)}; all, if none is named")
    parser.add_argument("--seconds", type=float, default=4.0, help="about how long one run is to store signals")
    parser.add_argument("--count", type=int, help="signals of one run, instead of --seconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.paths) - set(PATHS):
        parser.error(f"no such path: {', '.join(sorted(unknown))}")
    cells = (CellName(f"bench-{number}") for number in itertools.count(1))
    async with server() as running, connected(running.url, name="bench") as connection:
        outcomes = []
        for path in [PATHS[name] for name in options.paths or PATHS]:
            count = options.count or int(options.seconds * path.per_second)
            outcome = Outcome(path.name, path.aim, count, [], [], [])
            for _ in range(options.rounds):
                stored = await run(connection, running.url, next(cells), path, count, deciding=False)
                outcome.stored.append(stored.stored_per_second())
                decided = await run(connection, running.url, next(cells), path, count, deciding=True)
                outcome.decided.append(decided.decided_per_second())
                outcome.busy_microseconds.append(1_000_000 * decided.busy_seconds / decided.signals)
            outcomes.append(outcome)
    say(outcomes, as_json=options.json)


async def run(connection: Client, url: str, cell: CellName, path: Path, count: int, *, deciding: bool) -> Times:
    """Have so many signals stored in a fresh cell, with an orchestrator at work or without."""
    log = await JetStreamLog.ensure(connection, cell)
    publishing = child("benchmarks.publisher", url, cell, path.mix, str(count), str(path.size))
    if not deciding:
        async with publishing as publisher:
            await _let_publish(publisher)
        return await times(log)
    async with child("benchmarks.orchestrator", url, cell) as orchestrator, publishing as publisher:
        await _let_publish(publisher)
        await _decided_through(log, await _last_signal(log))
    assert orchestrator.stdout is not None
    found = await times(log)
    found.busy_seconds = float(await orchestrator.stdout.read())
    if found.verdicts != found.signals:
        raise RuntimeError(f"{found.signals} signals, and {found.verdicts} verdicts on them")
    return found


async def times(log: JetStreamLog) -> Times:
    """Read a log and note when its signals and their last verdict were stored."""
    signal, decision = subjects.signal(log.cell, "bench"), subjects.decision(log.cell)
    stamps: list[datetime] = []
    verdicts = signals = 0
    last_verdict = None
    async for message in log.read():
        if message.subject == signal:
            stamps.append(message.recorded_at)
            signals += len(decode(message))
        elif message.subject == decision:
            found = sum(_is_first_verdict(one) for one in decode(message))
            last_verdict = message.recorded_at if found else last_verdict
            verdicts += found
    return Times(signals, stamps[0], stamps[-1], verdicts, last_verdict)


def _is_first_verdict(one: object) -> bool:
    return (
        isinstance(one, Recorded)
        and isinstance(one.event, RoutingDecided)
        and one.event.because.kind is Cause.SIGNAL
    )


async def _let_publish(publisher: asyncio.subprocess.Process) -> None:
    assert publisher.stdin is not None
    publisher.stdin.write(b"go\n")
    if await publisher.wait() != 0:
        raise RuntimeError("the publisher failed")


async def _last_signal(log: JetStreamLog) -> int:
    newest = await log.last(subjects.signal(log.cell, "bench"))
    assert newest is not None
    return newest.sequence


async def _decided_through(log: JetStreamLog, sequence: int) -> None:
    """Wait for a frame that stands behind a record of it: only the last round can still be at work then."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await _covers(log, sequence):  # noqa: ASYNC110 - to read along would cost what is measured
            await asyncio.sleep(LOOK_SECONDS)


async def _covers(log: JetStreamLog, sequence: int) -> bool:
    newest = await log.last(subjects.decision(log.cell))
    head = decode(newest)[0] if newest is not None else None
    return isinstance(head, Recorded) and getattr(head.event, "as_of", 0) >= sequence


def say(outcomes: list[Outcome], *, as_json: bool) -> None:
    """Print what was measured."""
    columns = ("path", "stored/s", "decided/s", "from–to", "ratio", "from–to", "busy µs/signal", "aim")
    rows = [
        (
            one.path,
            f"{report.median(one.stored):,.0f}",
            f"{report.median(one.decided):,.0f}",
            report.spread(one.decided),
            f"{report.median(one.ratios):.2f}",
            report.spread(one.ratios),
            f"{report.median(one.busy_microseconds):.0f}",
            one.aim,
        )
        for one in outcomes
    ]
    data = [{**to_builtins(one), "ratios": one.ratios} for one in outcomes]
    report.say("decisions", columns, rows, data, as_json=as_json)


if __name__ == "__main__":
    asyncio.run(main())
