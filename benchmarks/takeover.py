"""Who leads when: a leader that was killed or frozen is replaced, one that works or whose broker is away is not.

Three orchestrators of one cell as processes, on the embedded server, and a signal now and then. The time runs
from the kill to the moment in which the next leader's first frame is read here; each is at another place of the
lease's time. `--busy N` has N processes beside it that do nothing but compute."""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct, field, to_builtins
from nats.aio.client import Client

from benchmarks import report
from benchmarks.cast import PATIENCE_SECONDS, Cast, cast
from benchmarks.publisher import publish
from benchmarks.workload import ONE_IN_TEN, frames, signals
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.lease import JetStreamLease
from remediation_orchestrator.bus.port import TTL, LogError
from remediation_orchestrator.events import CellName, subjects
from remediation_orchestrator.events.codec import head_of

ORCHESTRATORS = 3
# What a leader is busy with for a while: arrays of about 100 kB.
BURST, TOGETHER = 10_000, 200
LOOK_SECONDS = 0.02


class Outcome(Struct):
    """What came of one kind of interruption."""

    kind: str
    seconds: list[float] = field(default_factory=list)
    """Until the next leader's first frame; of a burst, until it is decided; of an outage, until it is held."""
    takeovers: list[int] = field(default_factory=list)


class Stage(Struct):
    """A cell, and who is in it."""

    folder: Path
    broker: EmbeddedServer
    connection: Client
    log: JetStreamLog
    lease: JetStreamLease
    everybody: Cast
    chance: random.Random
    turn: int = 0

    async def decide(self, payloads: list[bytes]) -> None:
        """Publish, and wait for a frame that covers all of it."""
        await publish(self.connection, subjects.signal(self.log.cell, "bench"), payloads)
        newest = await self.log.last(subjects.signal(self.log.cell, "bench"))
        assert newest is not None
        pause = LOOK_SECONDS
        while not await self._covers(newest.sequence):
            await asyncio.sleep(pause)  # To look costs the broker a whole frame each time.
            pause = min(2 * pause, 0.5)

    async def _covers(self, sequence: int) -> bool:
        frame = await self.log.last(subjects.decision(self.log.cell))
        head = head_of(frame) if frame is not None else None
        return head is not None and head.as_of >= sequence

    async def decide_one(self) -> None:
        """One signal of a problem of its own."""
        self.turn += 1
        await self.decide(signals(1, ONE_IN_TEN, prefix=f"turn-{self.turn}-"))


async def killed(stage: Stage) -> tuple[float, int]:
    """The leader is killed with -9, at any moment of its renewals, right behind a frame or not."""
    await stage.everybody.add_standby()
    await stage.decide_one()
    await asyncio.sleep(stage.chance.uniform(0, TTL.total_seconds()))
    before, began = len(stage.everybody.leads), time.monotonic()
    await stage.everybody.kill(stage.everybody.leader)
    return await stage.everybody.next_lead(before) - began, 1


async def frozen(stage: Stage) -> tuple[float, int]:
    """The leader sleeps, and wakes when another leads: that one it leaves alone."""
    await stage.decide_one()
    await asyncio.sleep(stage.chance.uniform(0, TTL.total_seconds()))
    before, began, sleeper = len(stage.everybody.leads), time.monotonic(), stage.everybody.leader
    stage.everybody.freeze(sleeper)
    took = await stage.everybody.next_lead(before) - began
    stage.everybody.thaw(sleeper)
    await stage.decide_one()
    await asyncio.sleep(TTL.total_seconds())
    return took, len(stage.everybody.leads) - before


async def working(stage: Stage) -> tuple[float, int]:
    """The leader has much to do."""
    before, began = len(stage.everybody.leads), time.monotonic()
    stage.turn += 1
    await stage.decide(frames(BURST, ONE_IN_TEN, TOGETHER, prefix=f"turn-{stage.turn}-"))
    return time.monotonic() - began, len(stage.everybody.leads) - before


async def asleep(stage: Stage) -> tuple[float, int]:
    """The broker is frozen for longer than the lease lasts."""
    before, holder = len(stage.everybody.leads), await stage.lease.holder()
    os.kill(stage.broker.pid, signal.SIGSTOP)
    await asyncio.sleep(stage.chance.uniform(1.5, 4) * TTL.total_seconds())
    os.kill(stage.broker.pid, signal.SIGCONT)
    return await _held_again(stage, before, holder)


async def restarted(stage: Stage) -> tuple[float, int]:
    """The broker is away for longer than the lease lasts, and started again on its folder."""
    before, holder = len(stage.everybody.leads), await stage.lease.holder()
    port = stage.broker.port
    stage.broker.stop()
    await asyncio.sleep(stage.chance.uniform(1.5, 4) * TTL.total_seconds())
    stage.broker = EmbeddedServer(stage.folder, port=port).start()
    return await _held_again(stage, before, holder)


async def _held_again(stage: Stage, before: int, holder: str | None) -> tuple[float, int]:
    began = time.monotonic()
    held = None
    while held is None:
        try:
            held = await stage.lease.holder()
        except LogError:
            await asyncio.sleep(LOOK_SECONDS)
    took = time.monotonic() - began
    await asyncio.sleep(4 * TTL.total_seconds())  # Longer than anybody has to wait who would take it.
    await stage.decide_one()
    return took, len(stage.everybody.leads) - before + (held != holder)


KINDS: dict[str, Callable[[Stage], Awaitable[tuple[float, int]]]] = {
    "killed": killed,
    "frozen": frozen,
    "working": working,
    "asleep": asleep,
    "restarted": restarted,
}


async def measure(kind: str, times: int) -> Outcome:
    """Have one kind of thing happen, so many times in one cell."""
    outcome = Outcome(kind)
    async with staged(kind) as stage:
        for _ in range(times):
            async with asyncio.timeout(PATIENCE_SECONDS):
                seconds, takeovers = await KINDS[kind](stage)
            outcome.seconds.append(seconds)
            outcome.takeovers.append(takeovers)
    return outcome


@asynccontextmanager
async def staged(seed: str) -> AsyncIterator[Stage]:
    """A broker, a cell and its orchestrators."""
    with tempfile.TemporaryDirectory(prefix="ro-bench-") as name:
        folder = Path(name)
        broker = EmbeddedServer(folder).start()
        stage = None
        try:
            async with connected(broker.url, name="bench") as connection:
                log = await JetStreamLog.ensure(connection, CellName("bench"))
                lease = await JetStreamLease.open(connection, log.cell)
                async with cast(connection, broker.url, log, ORCHESTRATORS) as everybody:
                    stage = Stage(folder, broker, connection, log, lease, everybody, random.Random(seed))
                    yield stage
        finally:
            (stage.broker if stage is not None else broker).stop()


async def main() -> None:
    """Measure each kind as asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.takeover", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; all, if none is named")
    parser.add_argument("--times", type=int, default=5, help="how often each happens")
    parser.add_argument("--busy", type=int, default=0, help="processes beside it that compute")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    if unknown := [kind for kind in options.kinds if kind not in KINDS]:
        parser.error(f"no such kind: {', '.join(unknown)}")
    busy = [await _computing() for _ in range(options.busy)]
    try:
        outcomes = [await measure(kind, options.times) for kind in options.kinds or KINDS]
    finally:
        for process in busy:
            process.kill()
            await process.wait()
    report.say(
        "takeovers",
        ("what happens", "times", "median s", "most s", "takeovers"),
        [_row(one) for one in outcomes],
        to_builtins(outcomes),
        as_json=options.json,
    )


async def _computing() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: sum(range(10_000))")


def _row(one: Outcome) -> tuple[str, ...]:
    times = len(one.seconds)
    return (
        one.kind,
        f"{times}",
        f"{report.median(one.seconds):.2f}",
        f"{max(one.seconds):.2f}",
        f"{sum(one.takeovers)}",
    )


if __name__ == "__main__":
    asyncio.run(main())
