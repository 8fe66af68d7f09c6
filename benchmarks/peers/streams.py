"""Those who route on a stream of our server: the orchestrator, and plain FastStream in its place.

One publisher, one stream, one server for both. The clock is the broker's: from the stamp of the first signal to
that of the last decision. The publisher's load and the server's storing of each signal are in the figure."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import DeliverPolicy

from benchmarks import latency
from benchmarks.peers.processes import Process, peak_mib, process, stop
from benchmarks.peers.systems import OURS, Figures, System
from benchmarks.stage import READY, READY_SECONDS, ROOT, child, server
from benchmarks.workload import ONE_IN_TEN, fresh, signals
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import stream_name
from remediation_orchestrator.events import CellName, Recorded, decode, subjects
from remediation_orchestrator.orchestrator.routing.fold import Fold

SCRIPTS = ROOT / "benchmarks" / "peers" / "inside"
PATIENCE_SECONDS = 600.0
LOOK_SECONDS = 0.02


class OnStream(Struct, frozen=True):
    """One of them, and the Python that has it. Every measurement has a server of its own, on an empty folder."""

    system: System
    python: Path

    async def throughput(self, figures: Figures, count: int) -> None:
        """Decide so many signals; stop it, start it again; kill it, start it again."""
        async with self._cell() as cell:
            async with cell.router() as running:
                await cell.publish(count, size=1)
                await cell.decided()
                figures.peak_mib.append(peak_mib(running.pid))
                figures.server_mib.append(peak_mib(cell.server.pid))
                await stop(running)
            figures.decided.append(await cell.rate(count))
            if self.system.key == OURS:
                figures.rebuilt.append(count / await cell.refold())
            figures.start.append(await cell.first_command("after-stop"))
            figures.after_kill.append(await cell.first_command("after-kill"))
            before = await cell.commands()
            async with cell.router() as running:
                await cell.log.append(cell.signals, signals(1, ONE_IN_TEN)[0])
                await cell.decided()
                await stop(running)
            figures.remembers = await cell.commands() == before

    async def frames(self, figures: Figures, count: int, size: int) -> None:
        """Decide signals that arrive as arrays."""
        async with self._cell() as cell:
            async with cell.router() as running:
                await cell.publish(count, size)
                await cell.decided()
                await stop(running)
            figures.in_frames.append(await cell.rate(count))

    async def latency(self, figures: Figures, rate: int, seconds: float) -> None:
        """Measure as `benchmarks.latency` does: from a time that was fixed before to a subscriber of the log."""
        outcome = latency.Outcome(rate, 0, [], [], [], [], [])
        async with self._cell() as cell, cell.router() as running:
            await latency.measure(cell.connection, cell.log, outcome, int(rate * seconds))
            await stop(running)
        figures.rate = rate
        figures.commands += outcome.commands
        figures.p50 += outcome.p50
        figures.p99 += outcome.p99

    @asynccontextmanager
    async def _cell(self) -> AsyncIterator["_Cell"]:
        async with server() as running, connected(running.url, name="bench") as connection:
            log = await JetStreamLog.ensure(connection, CellName("bench"))
            command = [sys.executable, "-m", "benchmarks.orchestrator"]
            if self.system.key != OURS:
                command = [str(self.python), str(SCRIPTS / self.system.script)]
            yield _Cell(self.system, [*command, running.url, log.cell], running, connection, log)


class _Cell(Struct, frozen=True):
    """A stream on a server, and the command that routes on it."""

    system: System
    command: list[str]
    server: EmbeddedServer
    connection: Client
    log: JetStreamLog

    @property
    def signals(self) -> str:
        """Where they are published."""
        return subjects.signal(self.log.cell, "bench")

    @asynccontextmanager
    async def router(self) -> AsyncIterator[Process]:
        """Run it, until it has said that it is ready."""
        async with process(self.command) as running:
            assert running.stdout is not None
            async with asyncio.timeout(READY_SECONDS):
                if await running.stdout.readline() != READY:
                    raise RuntimeError(f"{self.system.name} did not become ready")
            yield running

    async def publish(self, count: int, size: int) -> None:
        """Publish drawn signals as fast as the server stores them."""
        arguments = (self.server.url, self.log.cell, "one-in-ten", str(count), str(size))
        async with child("benchmarks.publisher", *arguments) as publisher:
            assert publisher.stdin is not None
            publisher.stdin.write(b"go\n")
            if await publisher.wait():
                raise RuntimeError("the publisher failed")

    async def decided(self) -> None:
        """Wait until the newest signal has its verdict."""
        newest = await self.log.last(self.signals)
        assert newest is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self._covers(newest.sequence):  # noqa: ASYNC110 - reading along would cost
                await asyncio.sleep(LOOK_SECONDS)

    async def _covers(self, sequence: int) -> bool:
        if self.system.key == OURS:
            frame = await self.log.last(subjects.decision(self.log.cell))
            head = decode(frame)[0] if frame is not None else None
            return isinstance(head, Recorded) and getattr(head.event, "as_of", 0) >= sequence
        state = await self.connection.jetstream().consumer_info(stream_name(self.log.cell), "peer")
        return state.ack_floor is not None and state.ack_floor.stream_seq >= sequence

    async def rate(self, count: int) -> float:
        """Signals by the time from the first of them to the last decision. One in ten must have proceeded."""
        first, last = None, None
        decision = subjects.decision(self.log.cell)
        async for message in self.log.read():
            if message.subject == self.signals and first is None:
                first = message.recorded_at
            elif message.subject == decision and first is not None:
                last = message.recorded_at
        assert first is not None
        assert last is not None
        if (found := await self.commands()) != count // 10:
            raise RuntimeError(f"{count // 10} signals were to proceed, and {found} did")
        return count / (last - first).total_seconds()

    async def commands(self) -> int:
        """How many are stored."""
        wanted = subjects.commands(self.log.cell, "workflow")
        info = await self.connection.jetstream().stream_info(stream_name(self.log.cell), subjects_filter=wanted)
        return sum((info.state.subjects or {}).values())

    async def first_command(self, prefix: str) -> float:
        """Seconds from the start of its process to the command of a waiting signal; then it is killed."""
        await self.log.append(self.signals, fresh(0, prefix=prefix))
        stored = asyncio.Event()

        async def on_command(_: Msg) -> None:
            stored.set()

        wanted = subjects.commands(self.log.cell, "workflow")
        subscription = await self.connection.jetstream().subscribe(
            wanted, ordered_consumer=True, deliver_policy=DeliverPolicy.NEW, cb=on_command
        )
        started = time.monotonic()
        async with process(self.command), asyncio.timeout(READY_SECONDS):
            await stored.wait()
            seconds = time.monotonic() - started
        await subscription.unsubscribe()
        return seconds

    async def refold(self) -> float:
        """Seconds to read the whole log and fold it, as a start and every reading verb do."""
        before = time.monotonic()
        fold = Fold()
        async for message in self.log.read():
            fold.take(message)
        return time.monotonic() - before
