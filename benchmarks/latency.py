"""From publishing a signal to its command being visible at a subscriber, at a steady rate.

Open loop: each signal is published at a time that was fixed before, whatever became of the ones before it, and
its latency counts from that time. So a stall is seen by all the signals that it keeps waiting. The subscriber
reads the log, where a command is visible when it is stored; one process publishes and subscribes, by one clock."""

import argparse
import asyncio
import selectors
import statistics

import msgspec
from msgspec import Struct, to_builtins
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import DeliverPolicy

from benchmarks import report
from benchmarks.stage import child, server
from benchmarks.workload import fresh
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import CellName, subjects

RATES = (200, 1_000)
AIMS = {200: "p50 < 2 ms", 1_000: "p50 < 3 ms, p99 < 20 ms"}
PROCEEDING = 10
"""One in so many proceeds; the others repeat the one before them."""
WARM_UP_SECONDS = 0.5
PATIENCE_SECONDS = 30.0


class _Command(Struct):
    data: "_About"


class _About(Struct):
    fingerprint: str


_commands = msgspec.json.Decoder(_Command)


class Outcome(Struct):
    """What one rate came to, a value for each round, in milliseconds."""

    rate: int
    commands: int
    p50: list[float]
    p90: list[float]
    p99: list[float]
    worst: list[float]
    late: list[float]
    """By how much the publisher missed its own times, p99: a share of the latency that is not ours."""


async def main() -> None:
    """Measure each rate as asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument(
        "rates", nargs="*", type=int, metavar="RATE", help="signals a second; 200 and 1000 if none"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to publish at each rate")
    parser.add_argument("--count", type=int, help="signals at each rate, instead of --seconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rates = options.rates or RATES
    outcomes = {rate: Outcome(rate, 0, [], [], [], [], []) for rate in rates}
    async with server() as running, connected(running.url, name="bench") as connection:
        for turn in range(options.rounds):
            for rate in rates:
                cell = CellName(f"bench-{rate}-{turn}")
                log = await JetStreamLog.ensure(connection, cell)
                async with child("benchmarks.orchestrator", running.url, cell):
                    await measure(connection, log, outcomes[rate], options.count or int(rate * options.seconds))
    say(list(outcomes.values()), as_json=options.json)


async def measure(connection: Client, log: JetStreamLog, outcome: Outcome, count: int) -> None:
    """Publish so many signals at the outcome's rate, and add what came of them to it."""
    clock = asyncio.get_running_loop().time
    seen: dict[str, float] = {}
    arrived = asyncio.Event()

    async def on_command(message: Msg) -> None:
        seen[_commands.decode(message.data).data.fingerprint] = clock()
        arrived.set()

    subscription = await connection.jetstream().subscribe(
        subjects.commands(log.cell, "workflow"),
        ordered_consumer=True,
        deliver_policy=DeliverPolicy.NEW,
        cb=on_command,
    )
    warming_up = int(WARM_UP_SECONDS * outcome.rate)
    due, late = await publish(connection, log.cell, outcome.rate, warming_up + count)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(seen) < len(due):
            arrived.clear()
            await arrived.wait()
    await subscription.unsubscribe()
    kept = list(due)[warming_up // PROCEEDING :]
    add(outcome, [1_000 * (seen[one] - due[one]) for one in kept], [1_000 * one for one in late[warming_up:]])


async def publish(
    connection: Client, cell: CellName, rate: int, count: int
) -> tuple[dict[str, float], list[float]]:
    """Publish at fixed times. Return when each problem was due, and how late each signal went out (seconds)."""
    loop = asyncio.get_running_loop()
    subject = subjects.signal(cell, "bench")
    drawn = [fresh(number) for number in range((count + PROCEEDING - 1) // PROCEEDING)]
    due: dict[str, float] = {}
    late = []
    start = loop.time() + 0.1
    for number in range(count):
        problem, repetition = divmod(number, PROCEEDING)
        moment = start + number / rate
        if (wait := moment - loop.time()) > 0:
            await asyncio.sleep(wait)
        late.append(loop.time() - moment)
        if repetition == 0:
            due[f"fresh-{problem}"] = moment
        await connection.publish(subject, drawn[problem])
    return due, late


def add(outcome: Outcome, latencies: list[float], late: list[float]) -> None:
    """Add one round's percentiles."""
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    outcome.commands += len(latencies)
    outcome.p50.append(cuts[49])
    outcome.p90.append(cuts[89])
    outcome.p99.append(cuts[98])
    outcome.worst.append(max(latencies))
    outcome.late.append(statistics.quantiles(late, n=100, method="inclusive")[98])


def say(outcomes: list[Outcome], *, as_json: bool) -> None:
    """Print what was measured."""
    columns = (
        "signals/s",
        "commands",
        "p50 ms",
        "from–to",
        "p90",
        "p99",
        "from–to",
        "worst",
        "publisher late p99",
        "aim",
    )
    rows = [
        (
            f"{one.rate:,}",
            f"{one.commands:,}",
            f"{report.median(one.p50):.2f}",
            report.spread(one.p50),
            f"{report.median(one.p90):.2f}",
            f"{report.median(one.p99):.2f}",
            report.spread(one.p99),
            f"{max(one.worst):.1f}",
            f"{report.median(one.late):.2f}",
            AIMS.get(one.rate, ""),
        )
        for one in outcomes
    ]
    report.say("latency", columns, rows, [to_builtins(one) for one in outcomes], as_json=as_json)


def _precise_loop() -> asyncio.AbstractEventLoop:
    """The usual loop waits in whole milliseconds, which is what is measured here."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_precise_loop) as runner:
        runner.run(main())
