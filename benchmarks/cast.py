"""Orchestrators of one cell as processes, which are killed and frozen, and what a log tells of them."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nats.aio.client import Client

from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.topology import LEASE_STREAM
from remediation_orchestrator.events import OrchestratorStarted, Recorded, decode, subjects

RO = Path(sys.executable).with_name("ro")
PATIENCE_SECONDS = 60.0
GATHERING_SECONDS = 10.0
LOOK_SECONDS = 0.02


class Cast:
    """The orchestrators of a cell, by the names under which they have led."""

    def __init__(self, connection: Client, url: str, log: JetStreamLog) -> None:
        self._connection = connection
        self._url = url
        self._log = log
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self.leads: list[tuple[str, int, float]] = []
        """Who became active, with which frame, and when that was read here (monotonic seconds)."""
        self._news = asyncio.Event()

    async def add(self, count: int = 1) -> None:
        """Start so many more."""
        for _ in range(count):
            started = await asyncio.create_subprocess_exec(
                RO,
                *("orchestrator", "--cell", self._log.cell),
                env={**os.environ, "NATS_URL": self._url},
                stderr=asyncio.subprocess.DEVNULL,
            )
            self._processes[started.pid] = started

    async def add_standby(self) -> None:
        """Start one more, and wait until it stands by: a start takes time that is not to be measured."""
        before = await self._watching()
        await self.add()
        while not await self._watching() - before:  # noqa: ASYNC110 - nobody else would say it
            await asyncio.sleep(LOOK_SECONDS)

    @property
    def leader(self) -> int:
        """The process of whoever became active last."""
        return int(self.leads[-1][0].split("-")[-2])

    async def next_lead(self, after: int) -> float:
        """When the next one became active, after so many."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.leads) <= after:
                self._news.clear()
                await self._news.wait()
        return self.leads[after][2]

    async def gathered(self, count: int) -> None:
        """Return when so many watch the lease."""
        with contextlib.suppress(TimeoutError):  # The broker forgets who was killed, also while we count.
            async with asyncio.timeout(GATHERING_SECONDS):
                while len(await self._watching()) < count:  # noqa: ASYNC110 - nobody else would say it
                    await asyncio.sleep(LOOK_SECONDS)

    async def _watching(self) -> set[str]:
        """By what they read the lease with, which the broker keeps for a while for who was killed."""
        return {one.name for one in await self._connection.jetstream().consumers_info(LEASE_STREAM)}

    async def kill(self, pid: int) -> None:
        """End one as a power cut would."""
        process = self._processes.pop(pid)
        process.kill()
        await process.wait()

    def freeze(self, pid: int) -> None:
        """Have one not run any more."""
        self._processes[pid].send_signal(signal.SIGSTOP)

    def thaw(self, pid: int) -> None:
        """Have it go on."""
        self._processes[pid].send_signal(signal.SIGCONT)

    def peaks(self) -> list[float]:
        """How much memory each has had at most, in MB."""
        return [_peak(pid) for pid in self._processes]

    async def follow(self) -> None:
        """Read who becomes active, for ever."""
        subject = subjects.decision(self._log.cell)
        async for message in self._log.read(1, follow=True):
            if message.subject != subject or b'"OrchestratorStarted' not in message.payload:
                continue
            for record in decode(message):
                if isinstance(record, Recorded) and isinstance(record.event, OrchestratorStarted):
                    self.leads.append((record.event.orchestrator, message.sequence, time.monotonic()))
                    self._news.set()

    async def end(self) -> None:
        """Leave nobody behind."""
        for process in self._processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            await process.wait()


@asynccontextmanager
async def cast(connection: Client, url: str, log: JetStreamLog, count: int) -> AsyncIterator[Cast]:
    """So many orchestrators of a cell, one of them active."""
    everybody = Cast(connection, url, log)
    following = asyncio.create_task(everybody.follow())
    try:
        await everybody.add(count)
        await everybody.next_lead(0)
        await everybody.gathered(count)
        yield everybody
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await everybody.end()


def _peak(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1_024 for line in lines if line.startswith("VmHWM"))
