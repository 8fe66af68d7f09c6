"""A burst at a pair of orchestrators: many signals in arrays, or arrays of nothing. How soon it is decided, how
much memory each takes at most, and how often one replaced the other, which ought to be never.

The clock runs from the stamp of the first signal to that of the frame that covers the last."""

import argparse
import asyncio
from datetime import datetime

from msgspec import Struct, to_builtins
from nats.aio.client import Client

from benchmarks import report
from benchmarks.cast import cast
from benchmarks.publisher import publish
from benchmarks.stage import server
from benchmarks.workload import MIXES, signals
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import (
    CellName,
    Recorded,
    RoutingDecided,
    SignalRejected,
    decode,
    subjects,
)
from remediation_orchestrator.events.codec import join_frame

PAIR = 2
# Arrays of about 40 kB of the shortest signals, and as large as a fact may be of what is none.
TOGETHER = 400
NOTHING = b"[" + b",".join([b"1"] * 131_000) + b"]"
PATIENCE_SECONDS = 1_200.0
LOOK_SECONDS = 0.5


class Outcome(Struct):
    """What became of one burst."""

    what: str
    signals: int
    seconds: float
    answered: int
    """Signals that have a verdict, or messages that are rejected."""
    takeovers: int
    peaks: list[float]
    """Of each orchestrator, in MB."""


def shortest(count: int, problems: int) -> list[bytes]:
    """Arrays of the shortest signals, about so many problems in turn."""
    drawn = [
        b'{"name":"Crash","target":{"name":"t%d"},"workflow":{"id":"r"}}' % (n % problems) for n in range(count)
    ]
    return [join_frame(drawn[start : start + TOGETHER]) for start in range(0, count, TOGETHER)]


def payloads(what: str, count: int) -> list[bytes]:
    """The messages of a burst."""
    match what:
        case "nothing":
            return [NOTHING] * count
        case "same":
            return shortest(count, 100)
        case "new":
            return shortest(count, count)
        case mix:
            drawn = signals(count, MIXES[mix])
            return [join_frame(drawn[start : start + TOGETHER]) for start in range(0, count, TOGETHER)]


async def burst(what: str, count: int) -> Outcome:
    """Have one decided."""
    async with server() as broker, connected(broker.url, name="bench") as connection:
        log = await JetStreamLog.ensure(connection, CellName("bench"))
        async with cast(connection, broker.url, log, PAIR) as everybody:
            drawn = payloads(what, count)
            await publish(connection, subjects.signal(log.cell, "bench"), drawn)
            last = await log.last(subjects.signal(log.cell, "bench"))
            assert last is not None
            async with asyncio.timeout(PATIENCE_SECONDS):
                seconds, answered = await _decided(log, last.sequence)
            await _read_by_both(connection, log)
            return Outcome(what, count, seconds, answered, len(everybody.leads) - 1, everybody.peaks())


async def _decided(log: JetStreamLog, last: int) -> tuple[float, int]:
    """Read until a frame covers the last signal; the seconds from the first, and what is answered."""
    began: datetime | None = None
    answered, decision = 0, subjects.decision(log.cell)
    async for message in log.read(follow=True):
        if message.subject != decision:
            began = began or message.recorded_at
            continue
        records = [one.event for one in decode(message) if isinstance(one, Recorded)]
        answered += sum(isinstance(event, RoutingDecided | SignalRejected) for event in records)
        if began is not None and getattr(records[0], "as_of", 0) >= last:
            return (message.recorded_at - began).total_seconds(), answered
    raise AssertionError("a log that is followed has no end")


async def _read_by_both(connection: Client, log: JetStreamLog) -> None:
    """Wait until the log grows no more: the commands still come."""
    before = 0
    while before != (newest := await log.last_sequence()):
        before = newest
        await asyncio.sleep(LOOK_SECONDS)


async def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.burst", description=__doc__)
    parser.add_argument("what", nargs="*", default=["same"], help=f"of same, new, nothing, {', '.join(MIXES)}")
    parser.add_argument("--count", type=int, default=1_000_000, help="signals; of nothing, messages")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    outcomes = [await burst(what, options.count) for what in options.what]
    report.say(
        "bursts",
        ("burst", "count", "seconds", "answered", "takeovers", "MB at most"),
        [_row(one) for one in outcomes],
        to_builtins(outcomes),
        as_json=options.json,
    )


def _row(one: Outcome) -> tuple[str, ...]:
    peaks = " and ".join(f"{peak:,.0f}" for peak in one.peaks)
    return one.what, f"{one.signals:,}", f"{one.seconds:.1f}", f"{one.answered:,}", f"{one.takeovers}", peaks


if __name__ == "__main__":
    asyncio.run(main())
