"""Those who route on a stream of our server: the orchestrator, and plain FastStream in its place.

One publisher, one stream, one server for both. The clock is the broker's: from the stamp of the first signal to
that of the last decision. The publisher's load and the server's storing of each signal are in the figure."""

import asyncio
import itertools
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
from benchmarks.stage import READY, READY_SECONDS, ROOT, child
from benchmarks.workload import ONE_IN_TEN, fresh, signals
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.topology import stream_name
from remediation_orchestrator.events import CellName, Recorded, decode, subjects
from remediation_orchestrator.orchestrator.routing.fold import Fold

SCRIPT = ROOT / "benchmarks" / "peers" / "inside"
PATIENCE_SECONDS = 600.0
LOOK_SECONDS = 0.02
_numbers = itertools.count(1)


class OnStream(Struct, frozen=True):
    """One of them, and the server."""

    system: System
    python: Path
    server: EmbeddedServer
    connection: Client

    async def throughput(self, figures: Figures, count: int) -> None:
        """Decide so many signals; stop it, start it again; kill it, start it again."""
        log = await self._cell()
        async with self._router(log) as running:
            await self._publish(log, count, size=1)
            await self._decided(log)
            figures.peak_mib.append(peak_mib(running.pid))
            figures.server_mib.append(peak_mib(self.server.pid))
            await stop(running)
        figures.decided.append(await self._rate(log, count))
        if self.system.key == OURS:
            figures.rebuilt.append(count / await _refold(log))
        figures.start.append(await self._again(log, "after-stop"))
        figures.after_kill.append(await self._again(log, "after-kill"))
        before = await self._commands(log)
        async with self._router(log):
            await log.append(subjects.signal(log.cell, "bench"), signals(1, ONE_IN_TEN)[0])
            await self._decided(log)
        figures.remembers = await self._commands(log) == before

    async def frames(self, figures: Figures, count: int, size: int) -> None:
        """Decide signals that arrive as arrays."""
        log = await self._cell()
        async with self._router(log) as running:
            await self._publish(log, count, size)
            await self._decided(log)
            await stop(running)
        figures.in_frames.append(await self._rate(log, count))

    async def latency(self, figures: Figures, rate: int, seconds: float) -> None:
        """Measure as `benchmarks.latency` does: from a time that was fixed before to a subscriber of the log."""
        log = await self._cell()
        outcome = latency.Outcome(rate, 0, [], [], [], [], [])
        async with self._router(log) as running:
            await latency.measure(self.connection, log, outcome, int(rate * seconds))
            await stop(running)
        figures.commands += outcome.commands
        figures.p50 += outcome.p50
        figures.p99 += outcome.p99

    async def _cell(self) -> JetStreamLog:
        return await JetStreamLog.ensure(self.connection, CellName(f"peer-{next(_numbers)}"))

    def _command(self, log: JetStreamLog) -> list[str]:
        if self.system.key == OURS:
            return [sys.executable, "-m", "benchmarks.orchestrator", self.server.url, log.cell]
        return [str(self.python), str(SCRIPT / self.system.script), self.server.url, log.cell]

    @asynccontextmanager
    async def _router(self, log: JetStreamLog) -> AsyncIterator[Process]:
        """Run it, until it has said that it is ready."""
        async with process(self._command(log)) as running:
            assert running.stdout is not None
            async with asyncio.timeout(READY_SECONDS):
                if await running.stdout.readline() != READY:
                    raise RuntimeError(f"{self.system.name} did not become ready")
            yield running

    async def _publish(self, log: JetStreamLog, count: int, size: int) -> None:
        """Publish drawn signals as fast as the server stores them."""
        arguments = (self.server.url, log.cell, "one-in-ten", str(count), str(size))
        async with child("benchmarks.publisher", *arguments) as publisher:
            assert publisher.stdin is not None
            publisher.stdin.write(b"go\n")
            if await publisher.wait():
                raise RuntimeError("the publisher failed")

    async def _decided(self, log: JetStreamLog) -> None:
        """Wait until the newest signal has its verdict and every command is stored."""
        newest = await log.last(subjects.signal(log.cell, "bench"))
        assert newest is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self._covers(log, newest.sequence):  # noqa: ASYNC110 - reading along would cost
                await asyncio.sleep(LOOK_SECONDS)

    async def _covers(self, log: JetStreamLog, sequence: int) -> bool:
        if self.system.key == OURS:
            frame = await log.last(subjects.decision(log.cell))
            head = decode(frame)[0] if frame is not None else None
            return isinstance(head, Recorded) and getattr(head.event, "as_of", 0) >= sequence
        state = await self.connection.jetstream().consumer_info(stream_name(log.cell), "peer")
        return state.ack_floor is not None and state.ack_floor.stream_seq >= sequence

    async def _rate(self, log: JetStreamLog, count: int) -> float:
        """Signals by the time from the first of them to the last decision. One in ten must have proceeded."""
        first, last = None, None
        signal, decision = subjects.signal(log.cell, "bench"), subjects.decision(log.cell)
        async for message in log.read():
            if message.subject == signal and first is None:
                first = message.recorded_at
            elif message.subject == decision and first is not None:
                last = message.recorded_at
        assert first is not None
        assert last is not None
        if (found := await self._commands(log)) != count // 10:
            raise RuntimeError(f"{count // 10} signals were to proceed, and {found} did")
        return count / (last - first).total_seconds()

    async def _commands(self, log: JetStreamLog) -> int:
        wanted = subjects.commands(log.cell, "workflow")
        info = await self.connection.jetstream().stream_info(stream_name(log.cell), subjects_filter=wanted)
        return sum((info.state.subjects or {}).values())

    async def _again(self, log: JetStreamLog, prefix: str) -> float:
        """Seconds from the start of its process to the command of a waiting signal; then it is killed."""
        await log.append(subjects.signal(log.cell, "bench"), fresh(0, prefix=prefix))
        stored = asyncio.Event()

        async def on_command(_: Msg) -> None:
            stored.set()

        wanted = subjects.commands(log.cell, "workflow")
        subscription = await self.connection.jetstream().subscribe(
            wanted, ordered_consumer=True, deliver_policy=DeliverPolicy.NEW, cb=on_command
        )
        started = time.monotonic()
        async with process(self._command(log)), asyncio.timeout(READY_SECONDS):
            await stored.wait()
            seconds = time.monotonic() - started
        await subscription.unsubscribe()
        return seconds


async def _refold(log: JetStreamLog) -> float:
    """Seconds to read the whole log and fold it, as a start and every reading verb do."""
    before = time.monotonic()
    fold = Fold()
    async for message in log.read():
        fold.take(message)
    return time.monotonic() - before
