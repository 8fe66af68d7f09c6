"""A throw-away cell of real processes, to be hurt: a broker, orchestrators and executors, started as users start
them. None outlives its cell, and none of them knows that it is a test."""

import asyncio
import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from remediation_orchestrator.bus import api
from remediation_orchestrator.bus.connection import Connection, connected
from remediation_orchestrator.bus.embedded import EmbeddedServer, dies_with_parent
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogError, stream_name
from remediation_orchestrator.bus.topology import LEASE_STREAM
from remediation_orchestrator.events.identity import DEFAULT_CELL
from remediation_orchestrator.orchestrator.queries.fold_digest import FoldDigest

from .catalog import POLICY, write_catalog
from .faults import ACK_WAIT, LEASE, Planned, Strike
from .proxy import Proxy
from .runs import Runs
from .steps import ClockStep
from .stores import BrokerStore

ORCHESTRATORS, EXECUTORS, SLOTS = 2, 2, 3
# A busy machine needs a while to answer a signal.
ANSWER_SECONDS = 2.0
LOOK_SECONDS = 0.02
# Of a disk that is full; a record or two still fit.
LEFT_BYTES = 2_000


def _begin() -> None:
    """In a child: not to be ended by a question that comes before it can answer, nor to outlive us."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if _die_with_us is not None:
        _die_with_us()


_die_with_us = dies_with_parent(signal.SIGKILL) if sys.platform == "linux" else None


class Service:
    """One process that is started again and again, and writes what it logs into one file."""

    def __init__(self, name: str, folder: Path, *arguments: str) -> None:
        self.name = name
        self.fold_digest = folder / f"{name}.digest"
        self.said = folder / f"{name}.log"
        self._command = [str(Path(sys.executable).with_name("ro")), *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, url: str) -> None:
        """Start it. It dies with this process where the kernel can see to that."""
        with self.said.open("ab") as said:
            self._process = subprocess.Popen(
                self._command,
                env={**os.environ, "NATS_URL": url},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
                preexec_fn=_begin,
            )

    @property
    def process(self) -> "subprocess.Popen[bytes] | None":
        """The process, where it lives."""
        return self._process if self._process is not None and self._process.poll() is None else None

    @property
    def pid(self) -> int | None:
        """Its process id, where it lives."""
        return self.process.pid if self.process is not None else None

    def end(self) -> None:
        """Leave nothing of it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def digest_fold(self) -> FoldDigest | None:
        """Ask an orchestrator for its state; None where it does not answer."""
        self.fold_digest.unlink(missing_ok=True)
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGUSR1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    with contextlib.suppress(FileNotFoundError):
                        return msgspec.json.decode(self.fold_digest.read_bytes(), type=FoldDigest)
                    await asyncio.sleep(LOOK_SECONDS)
        return None


class ChaosCell:
    """The processes of one cell."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.diary = home / "diary"
        write_catalog(home / "workflows", self.diary)
        (home / "policy.yaml").write_text(POLICY)
        self._server = EmbeddedServer(home / "data").start()
        self.store = BrokerStore(home / "data", home / "stores")
        self.server_lock = asyncio.Lock()
        """Held by whoever has stopped the broker: it comes back as that one says."""
        self._port = self._server.port
        self._broker: int | None = self._server.pid
        self.proxy = Proxy(self._port, stream_name(DEFAULT_CELL))
        self.url = self._server.url.replace(f":{self._port}", f":{self.proxy.port}")
        """Where every client goes: nobody meets the broker itself."""
        policy, workflows = str(home / "policy.yaml"), str(home / "workflows")
        self.orchestrators = [
            self._service("orchestrator", number, "--policy", policy, "--lease", f"{LEASE}")
            for number in range(1, ORCHESTRATORS + 1)
        ]
        self.executors = [
            self._service(
                "executor", number, "--workflows", workflows, "--slots", f"{SLOTS}", "--ack-wait", f"{ACK_WAIT}"
            )
            for number in range(1, EXECUTORS + 1)
        ]

    def _service(self, verb: str, number: int, *options: str) -> Service:
        name = f"{verb}-{number}"
        fold_digest = ("--fold-digest", str(self.home / f"{name}.digest")) if verb == "orchestrator" else ()
        return Service(name, self.home, verb, *options, *fold_digest)

    def start(self) -> None:
        """Start every service."""
        for service in (*self.orchestrators, *self.executors):
            service.start(self.url)

    def revive(self) -> None:
        """Start again what has ended by itself, as whoever keeps services running does."""
        for service in (*self.orchestrators, *self.executors):
            if service.process is None:
                service.start(self.url)

    def revive_broker(self) -> None:
        """Start the broker again where it has ended by itself, or was not able to start."""
        if not self.server_lock.locked() and (self._broker is None or self._server.has_ended):
            self.stop_broker()
            self.start_broker()

    def begin_again(self) -> None:
        """Have an orchestrator begin anew."""
        self.orchestrators[0].end()
        self.orchestrators[0].start(self.url)

    def end(self) -> None:
        """End everything."""
        for service in (*self.orchestrators, *self.executors):
            service.end()
        _signal(self._broker, signal.SIGCONT)
        self._server.stop()
        self.proxy.stop()

    async def suffer(self, planned: Planned) -> bool:
        """Strike, wait, and heal; return whether anything was there to be struck."""
        seconds = planned.seconds
        orchestrator = self.orchestrators[planned.which % ORCHESTRATORS]
        executor = self.executors[planned.which % EXECUTORS]
        match planned.strike:
            case Strike.BROKER_KILLED:
                return await self._kill_broker(seconds)
            case Strike.BROKER_FROZEN:
                return await self._freeze(None if self.server_lock.locked() else self._broker, seconds)
            case Strike.ORCHESTRATOR_KILLED:
                return await self._end(orchestrator, signal.SIGKILL, seconds)
            case Strike.ORCHESTRATOR_STOPPED:
                return await self._end(orchestrator, signal.SIGTERM, seconds)
            case Strike.ORCHESTRATOR_FROZEN:
                return await self._freeze(orchestrator.pid, seconds)
            case Strike.EXECUTOR_KILLED:
                return await self._end(executor, signal.SIGKILL, seconds)
            case Strike.EXECUTOR_FROZEN | Strike.EXECUTOR_PAUSED:
                return await self._freeze(executor.pid, seconds)
            case Strike.EVERYTHING_KILLED:
                ends = [self._end(one, signal.SIGKILL, seconds) for one in (*self.orchestrators, *self.executors)]
                return any(await asyncio.gather(self._kill_broker(seconds), *ends))
            case Strike.DISK_FULL:
                return await self._fill_disk(seconds)
            case Strike.LEASES_DELETED:
                return await self._delete_leases()
            case Strike.CONNECTIONS_CUT:
                self.proxy.cut()
                return True
            case Strike.CLOCK_BACK | Strike.CLOCK_AHEAD:
                await self._step(planned.size)
                await asyncio.sleep(seconds)
                await self._step(0)
                return True
            case Strike.CLOCK_ONCE:
                await self._step(planned.size, once=True)
                return True
            case _:
                raise AssertionError(f"not for a process: {planned.strike}")

    async def sleep(self, planned: Planned, runs: Runs) -> bool:
        """Have everything stand still, as on a machine that sleeps, and wake up in any order."""
        broker = None if self.server_lock.locked() else self._broker
        above = [broker, *(one.pid for one in (*self.orchestrators, *self.executors))]
        for one in above:
            _signal(one, signal.SIGSTOP)
        asleep = [one.pid for one in runs.all()]
        for one in asleep * 2:  # A guard that is not yet asleep would wake its supervisor.
            _signal(one, signal.SIGSTOP)
        with runs.asleep():
            await asyncio.sleep(planned.seconds)
            everybody = [*above, *asleep]
            random.Random(planned.which).shuffle(everybody)
            for one in everybody:
                _signal(one, signal.SIGCONT)
        return True

    async def _step(self, seconds: int, *, once: bool = False) -> None:
        """Have the broker's clock step, or show one stamp of another time."""
        await asyncio.to_thread(self.proxy.step, ClockStep(time.time_ns(), seconds, once=once))

    async def _end(self, service: Service, number: int, seconds: float) -> bool:
        """End a service, and start it again after a while."""
        process = service.process
        if process is None:
            return False
        process.send_signal(number)
        await asyncio.to_thread(process.wait)
        await asyncio.sleep(seconds)
        if service.process is None:
            service.start(self.url)
        return True

    async def _freeze(self, pid: int | None, seconds: float) -> bool:
        if pid is None:
            return False
        _signal(pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        _signal(pid, signal.SIGCONT)
        return True

    async def _kill_broker(self, seconds: float) -> bool:
        if self._broker is None or self.server_lock.locked():
            return False
        async with self.server_lock:
            self.stop_broker()
            await asyncio.sleep(seconds)
            self.start_broker()
        return True

    async def _delete_leases(self) -> bool:
        """Take the bucket of leases away, as a slip of an administrator's finger does."""
        with contextlib.suppress(LogError):
            async with connected(self.true_url, name="chaos") as connection:
                await api.call(connection, f"STREAM.DELETE.{LEASE_STREAM}", {}, api.Done)
            return True
        return False

    async def _fill_disk(self, seconds: float) -> bool:
        """Have the broker's newest block take no more than a little, as a full disk does; heal it by a restart."""
        if self._broker is None or self.server_lock.locked():
            return False
        async with self.server_lock:
            try:
                unlimited = resource.prlimit(self._broker, resource.RLIMIT_FSIZE)
                left = (self.store.block_bytes() + LEFT_BYTES, unlimited[1])
                resource.prlimit(self._broker, resource.RLIMIT_FSIZE, left)
                await asyncio.sleep(seconds)
            finally:
                self.stop_broker()
                self.start_broker()
        return True

    def stop_broker(self) -> None:
        """Kill the broker, if it runs."""
        _signal(self._broker, signal.SIGKILL)
        self._broker = None
        self._server.stop()

    def start_broker(self) -> None:
        """Start the broker on its store and its port. Raises LogError; until it does start, it is not there."""
        self._server = EmbeddedServer(self.home / "data", port=self._port).start()
        self._broker = self._server.pid

    @contextlib.contextmanager
    def aside(self) -> Iterator[str]:
        """The broker on its store as that is now, where no client of the cell finds it: its address."""
        server = EmbeddedServer(self.home / "data").start()
        try:
            yield server.url
        finally:
            _signal(server.pid, signal.SIGKILL)
            server.stop()

    @property
    def true_url(self) -> str:
        """Where the broker itself is met."""
        return self._server.url

    async def remember_store(self) -> None:
        """Keep a copy of the store as it is, as a disk does whose power is cut."""
        async with self.server_lock:
            _signal(self._broker, signal.SIGSTOP)
            try:
                await asyncio.to_thread(self.store.remember)
            finally:
                _signal(self._broker, signal.SIGCONT)


def _signal(process: int | None, number: int) -> None:
    """Signal a process that may have ended meanwhile, or not be there at all."""
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


@asynccontextmanager
async def chaos_cell(home: Path) -> AsyncIterator[tuple[ChaosCell, Connection]]:
    """A cell in an empty folder, and a connection to it. Everything has ended when the context has."""
    cell = ChaosCell(home)
    try:
        async with connected(cell.url, name="chaos") as connection:
            await JetStreamLog.ensure(connection, DEFAULT_CELL)
            cell.start()
            yield cell, connection
    finally:
        cell.end()
