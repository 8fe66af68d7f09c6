"""Kill the leader of a cell's stream with -9, again and again, under load, and account for every signal.

    python -m benchmarks.cluster --kills 10

Three real nats-servers on this machine that sync every message, the cell's stream with three replicas, two
processes of `ro orchestrator`, and a publisher that keeps its own account of what was acknowledged. Exit 0
only if nothing acknowledged was lost, nothing was decided twice, and the log audits clean."""

import argparse
import asyncio
import contextlib
import itertools
import json
import logging
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.request import urlopen

import msgspec
from msgspec import Struct
from nats.aio.client import Client

from remediation_orchestrator.bus import api
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogError, stream_name
from remediation_orchestrator.events import CellName, Recorded, RoutingDecided, SignalReceived, decode, subjects
from remediation_orchestrator.orchestrator.queries.audit import audit

from .broker_cluster import HOST, PATIENCE_SECONDS, Cluster, free_port

CELL = CellName("main")
RO = Path(sys.executable).with_name("ro")
REPLICAS = 3
ORCHESTRATORS = 2
TARGETS = 200
RETRY_SECONDS = 0.02
# Acknowledged signals between a cluster that is whole again and the next kill.
CALM = 50


class Publisher:
    """Publishes at a steady rate, each signal under one message id until it is acknowledged."""

    def __init__(self, log: JetStreamLog, rate: float) -> None:
        self._log = log
        self._rate = rate
        self.acknowledged: dict[str, float] = {}
        """Each signal's name, and when (monotonic seconds) it was acknowledged."""
        self.tried = 0
        self._news = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until told to stop, and then until all that was begun is acknowledged."""
        async with asyncio.TaskGroup() as group:
            start = time.monotonic()
            while not stopping.is_set():
                group.create_task(self._publish(self.tried))
                self.tried += 1
                await asyncio.sleep(max(0.0, start + self.tried / self._rate - time.monotonic()))

    async def beyond(self, count: int) -> None:
        """Return when so many more are acknowledged."""
        wanted = len(self.acknowledged) + count
        while len(self.acknowledged) < wanted:
            self._news.clear()
            await self._news.wait()

    async def _publish(self, number: int) -> None:
        name, target = f"S{number}", {"name": f"t{number % TARGETS}"}
        body = msgspec.json.encode({"name": name, "target": target, "workflow": {"id": "restart"}})
        while True:
            try:
                await self._log.append(subjects.signal(CELL, "load"), body, message_id=name)
            except LogError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self.acknowledged[name] = time.monotonic()
                self._news.set()
                return

    def silences(self, kills: list[float]) -> list[float]:
        """For each kill the longest time without an acknowledgement, until the next kill."""
        times = sorted(self.acknowledged.values())
        found = []
        for kill, end in zip(kills, [*kills[1:], math.inf], strict=True):
            after = [kill, *(at for at in times if kill <= at < end)]
            found.append(max(later - earlier for earlier, later in itertools.pairwise(after)))
        return found


class Copy(Struct):
    """A server that keeps a copy and does not lead."""

    current: bool = False
    offline: bool = False


class Copies(Struct):
    """Where a stream's copies are."""

    leader: str | None = None
    replicas: list[Copy] = []


class Led(Struct):
    """Of the answer about a stream, what is about its servers."""

    cluster: Copies


@contextlib.asynccontextmanager
async def orchestrators(url: str, folder: Path) -> AsyncIterator[None]:
    """Processes of `ro orchestrator` that log to the folder, ended cleanly at the end.

    Each is ready before anything else happens: nobody is here to start again one that met an election."""
    command = (RO, "orchestrator", "--cell", CELL, "--replicas", str(REPLICAS), "--health")
    environment = {**os.environ, "NATS_URL": url}
    running = []
    try:
        for number in range(ORCHESTRATORS):
            port = free_port()
            with (folder / f"orchestrator-{number}.log").open("wb") as said:
                process = await asyncio.create_subprocess_exec(*command, str(port), env=environment, stderr=said)
            running.append(process)
            await ready(port)
        yield
        for number, process in enumerate(running):
            if process.returncode is None:
                process.terminate()
            if await process.wait() != 0:
                said_last = (folder / f"orchestrator-{number}.log").read_text()[-2_000:]
                raise RuntimeError(f"an orchestrator ended with {process.returncode}:\n{said_last}")
    finally:
        for process in running:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def ready(port: int) -> None:
    """Wait until a service says that it is ready."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(OSError):
                answer = await asyncio.to_thread(urlopen, f"http://{HOST}:{port}/readyz", timeout=PATIENCE_SECONDS)
                answer.close()
                return
            await asyncio.sleep(RETRY_SECONDS)


async def leader_of(client: Client) -> tuple[str | None, bool]:
    """The server that leads the stream, and whether all its copies are there and current."""
    try:
        found = (await api.call(client, f"STREAM.INFO.{stream_name(CELL)}", {}, Led)).cluster
    except LogError:  # While servers come and go.
        return None, False
    current = [one for one in found.replicas if one.current and not one.offline]
    return found.leader, len(current) == REPLICAS - 1


async def whole(client: Client) -> str:
    """Wait until the stream has a leader and all its copies. Return the leader."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            leader, complete = await leader_of(client)
            if leader and complete:
                return leader
            await asyncio.sleep(RETRY_SECONDS)


async def kill_leaders(cluster: Cluster, client: Client, publisher: Publisher, count: int) -> list[float]:
    """Kill the stream's leader so many times, each time in a cluster that is whole. Return when."""
    kills = []
    for _ in range(count):
        leader = await whole(client)
        await publisher.beyond(CALM)
        kills.append(time.monotonic())
        cluster.kill(leader)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await publisher.beyond(CALM)
        cluster.start(leader)
    await whole(client)
    return kills


async def decided(log: JetStreamLog, names: set[str]) -> None:
    """Wait until every signal of these names has a verdict."""
    left = set(names)
    positions: dict[str, str] = {}
    async for message in log.read(follow=True):
        for record in decode(message):
            event = record.event if isinstance(record, Recorded) else None
            if isinstance(event, SignalReceived):
                positions[record.position] = event.name
            elif isinstance(event, RoutingDecided):
                left.discard(positions[event.signal])
        if not left:
            return


async def account(log: JetStreamLog, publisher: Publisher) -> dict[str, int]:
    """What the log says of all that was acknowledged."""
    messages = [message async for message in log.read()]
    records = [record for message in messages for record in decode(message)]
    events = [(one.position, one.event) for one in records if isinstance(one, Recorded)]
    names = {position: event.name for position, event in events if isinstance(event, SignalReceived)}
    stored = Counter(names.values())
    verdicts = Counter((one.signal, one.attempt) for _, one in events if isinstance(one, RoutingDecided))
    judged = {names[signal] for signal, attempt in verdicts if attempt == 1}
    return {
        "acknowledged": len(publisher.acknowledged),
        "lost": len(publisher.acknowledged.keys() - stored.keys()),
        "stored_twice": sum(count > 1 for count in stored.values()),
        "undecided": len(publisher.acknowledged.keys() - judged),
        "decided_twice": sum(count > 1 for count in verdicts.values()),
        "findings": sum(1 for _ in audit(messages)),
    }


async def run(kills: int, rate: float) -> dict[str, object]:
    """One whole story. Return its account."""
    with tempfile.TemporaryDirectory(prefix="ro-cluster-") as folder, Cluster(Path(folder), REPLICAS) as cluster:
        await cluster.ready()
        async with (
            connected(cluster.url, name="publisher") as client,
            orchestrators(cluster.url, Path(folder)),
        ):
            await whole(client)
            log = await JetStreamLog.open(client, CELL)
            publisher, stopping = Publisher(log, rate), asyncio.Event()
            publishing = asyncio.create_task(publisher.run(stopping))
            try:
                moments = await kill_leaders(cluster, client, publisher, kills)
            finally:
                stopping.set()
                await publishing
            async with asyncio.timeout(PATIENCE_SECONDS):
                await decided(log, set(publisher.acknowledged))
            silences = [round(seconds, 2) for seconds in publisher.silences(moments)]
            return {"kills": kills, **await account(log, publisher), "seconds_without_acknowledgement": silences}


def main() -> None:
    """Run it, print the account, and exit 1 where anything is not as promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--rate", type=float, default=100, help="signals a second")
    parser.add_argument("--json", action="store_true", help="one JSON object and nothing else")
    options = parser.parse_args()
    logging.basicConfig(handlers=[logging.NullHandler()])  # That the broker is lost now and then is the point.
    found = asyncio.run(run(options.kills, options.rate))
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name.replace('_', ' '):>32}  {value}")
    broken = [name for name in ("lost", "stored_twice", "undecided", "decided_twice", "findings") if found[name]]
    sys.exit(f"not as promised: {', '.join(broken)}" if broken else 0)


if __name__ == "__main__":
    main()
