"""Bodies a second through the HTTP door, every body synced to disk before it is answered, and how long each took.

The door is a process of its own, the broker another, and this one sends: on two processors they take from each
other. The rate at which the same server stores single signals when nobody asks it for HTTP stands beside it.

    python -m benchmarks.gateway [--seconds 5] [--senders 64]"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import CellName, subjects

RO = Path(sys.executable).with_name("ro")


class Result(Struct):
    """What was measured of one kind of body."""

    alerts_a_body: int
    bodies: int
    bodies_per_second: float
    alerts_per_second: float
    p50_ms: float
    p99_ms: float


def body(alerts: int, number: int) -> bytes:
    """A body that nobody has sent before, of the usual size."""
    labels = {"alertname": "KubePodCrashLooping", "severity": "warning", "namespace": "shop", "cluster": "eu-1"}
    return json.dumps(
        {
            "version": "4",
            "status": "firing",
            "receiver": "ro",
            "alerts": [
                {
                    "status": "firing",
                    "labels": {**labels, "pod": f"pod-{number}-{index}"},
                    "annotations": {"summary": "The pod restarts again and again."},
                    "startsAt": "2026-11-21T10:00:00Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "http://prometheus.example/graph?g0.expr=rate",
                    "fingerprint": f"{number:08x}{index:08x}",
                }
                for index in range(alerts)
            ],
        }
    ).encode()


class Connection(asyncio.Protocol):
    """Sends one body after another, each when the one before is answered."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._buffer = b""
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        """Look whether the answer is whole."""
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        assert head.startswith(b"HTTP/1.1 200"), self._buffer
        self._buffer = b""
        self._run.seconds.append(time.perf_counter() - self._sent)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, or a failure."""
        if not self.done.done():
            self.done.set_result(None)

    def _next(self) -> None:
        assert self._transport is not None
        request = self._run.request()
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)


class Run:
    """All senders of one measurement; the bodies are written before it begins."""

    def __init__(self, alerts: int, count: int, offset: int) -> None:
        bodies = [body(alerts, offset + number) for number in range(count)]
        head = b"POST /v1/alertmanager HTTP/1.1\r\nhost: d\r\ncontent-type: application/json\r\n"
        head += b"content-length: %d\r\n\r\n"
        self._requests = iter([head % len(one) + one for one in bodies])
        self.seconds: list[float] = []

    def request(self) -> bytes | None:
        """The next one."""
        return next(self._requests, None)


async def measure(port: int, alerts: int, count: int, offset: int, senders: int) -> Result:
    """Send so many bodies from so many connections at once."""
    run = Run(alerts, count, offset)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    connections = [
        (await loop.create_connection(lambda: Connection(run), "127.0.0.1", port))[1] for _ in range(senders)
    ]
    await asyncio.gather(*(connection.done for connection in connections))
    took = time.perf_counter() - began
    ordered = sorted(run.seconds)
    assert len(ordered) == count
    return Result(
        alerts,
        count,
        round(count / took, 1),
        round(count * alerts / took, 1),
        round(ordered[count // 2] * 1000, 2),
        round(ordered[count * 99 // 100] * 1000, 2),
    )


async def stored_alone(url: str, count: int, senders: int) -> float:
    """Single signals a second that the server stores and syncs, as many at once as there are senders."""
    payload = msgspec.json.encode({"name": "X", "target": {"name": "t"}, "labels": {"pad": "x" * 300}})
    async with connected(url) as client:
        log = await JetStreamLog.ensure(client, CellName("alone"))
        subject = subjects.signal(log.cell, "bench")
        left = iter(range(count))

        async def send() -> None:
            for _ in left:
                await log.append(subject, payload)

        began = time.perf_counter()
        await asyncio.gather(*(send() for _ in range(senders)))
        return count / (time.perf_counter() - began)


async def main() -> None:
    """Measure, and write a line of JSON for each result."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=5.0, help="about how long each measurement takes")
    options.add_argument("--senders", type=int, default=64, help="connections at once")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedServer(Path(folder)) as broker:
            alone = await stored_alone(broker.url, int(4_000 * given.seconds), given.senders)
            print(json.dumps({"single_signals_stored_per_second": round(alone, 1)}))
            log = (Path(folder) / "gateway.log").open("wb")
            door = await asyncio.create_subprocess_exec(
                RO, "gateway", "--nats", broker.url, "--port", "0", stdout=subprocess.PIPE, stderr=log
            )
            assert door.stdout is not None
            port = int((await door.stdout.readline()).rpartition(b":")[2])
            for alerts, rate in ((1, 3_000), (50, 250)):
                count = int(rate * given.seconds)
                for senders in (1, given.senders):
                    few = count if senders > 1 else count // 5
                    result = await measure(port, alerts, few, senders * 10_000_000, senders)
                    print(json.dumps({"senders": senders, **msgspec.to_builtins(result)}))
            door.terminate()
            await door.wait()


if __name__ == "__main__":
    asyncio.run(main())
