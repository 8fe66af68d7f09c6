"""Kill -9 the broker, and the door with it, under load: every body that is answered 2xx is in the log, once."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from doors import Sender, alert, webhook

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import CellName, Position, Recorded, SignalReceived, decode

RO = Path(sys.executable).with_name("ro")
BODIES, SENDERS, KILLS = 600, 12, 3
PATIENCE = 60.0


class Doors:
    """One `ro gateway` at a time, always on one port."""

    def __init__(self, url: str, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._command = [str(RO), "gateway", "--nats", url, "--port", str(self.port)]
        self._log = folder / "gateway.log"
        self.opened = asyncio.Event()
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[str]":
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=log, text=True)

    async def ready(self) -> bool:
        """Wait until it takes bodies; False where it has ended instead."""
        assert self.process.stdout is not None
        if (await asyncio.to_thread(self.process.stdout.readline)).startswith("ready: "):
            self.opened.set()
        return self.opened.is_set()

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        self.opened.clear()
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    async def restart(self) -> None:
        """Kill it, and open another as soon as the broker answers."""
        self.kill()
        self.process = self._start()
        while not await self.ready():
            self.process.communicate()
            self.process = self._start()


class Answers:
    """What was answered: where each body stands."""

    def __init__(self) -> None:
        self.places: dict[int, Position] = {}
        self._news = asyncio.Condition()

    async def add(self, number: int, place: Position) -> None:
        """A body is stored, says the door."""
        async with self._news:
            self.places[number] = place
            self._news.notify_all()

    async def are(self, count: int) -> None:
        """Wait until there are so many."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.places) >= count)


async def test_what_is_answered_is_stored_once_whatever_is_killed(tmp_path: Path) -> None:
    """Each body is sent until it is answered; the kills come with the answers, so they always meet a load."""
    broker = EmbeddedServer(tmp_path, port=_free_port()).start()
    doors = Doors(broker.url, tmp_path)
    answers = Answers()
    left = iter(range(BODIES))
    try:
        async with asyncio.timeout(PATIENCE):
            sending = [asyncio.create_task(_send(doors, left, answers)) for _ in range(SENDERS)]
            await doors.ready()
            for kill in range(2 * KILLS):
                await answers.are((kill + 1) * BODIES // (2 * KILLS + 2))
                if kill % 2:
                    _kill_broker(broker)
                await doors.restart()
            await asyncio.gather(*sending)
        await _check(broker.url, answers.places)
    finally:
        doors.kill()
        broker.stop()


async def test_the_door_outlives_its_broker(tmp_path: Path) -> None:
    """While it is away the answer is 503 with Retry-After; when it is back, the same body is stored, once."""
    broker = EmbeddedServer(tmp_path, port=_free_port()).start()
    doors = Doors(broker.url, tmp_path)
    sender, body = Sender(doors.port), webhook(alert())
    try:
        await doors.ready()
        assert (await sender.post("/v1/alertmanager", body)).said == {"positions": ["1-0"]}
        os.kill(broker.pid, signal.SIGKILL)
        broker.stop()
        other = webhook(alert("Other"))
        refused = await sender.post("/v1/alertmanager", other)
        assert (refused.status, refused.headers["retry-after"]) == (503, "2")
        assert (await sender.get("/readyz")).status == 503
        assert (await sender.get("/livez")).status == 200
        broker.start()
        async with asyncio.timeout(PATIENCE):
            while (again := await sender.post("/v1/alertmanager", other)).status == 503:
                pass
        assert again.said["positions"] == ["2-0"]
    finally:
        doors.kill()
        broker.stop()


async def _send(doors: Doors, left: Iterator[int], answers: Answers) -> None:
    """Take the next body and send it until it is answered."""
    sender = Sender(doors.port)
    for number in left:
        body = webhook(alert(pod=f"pod-{number}"))
        while number not in answers.places:
            await doors.opened.wait()
            try:
                reply = await sender.post("/v1/alertmanager", body)
            except (OSError, asyncio.IncompleteReadError):  # The door is gone, or goes while it answers.
                continue
            if reply.status == 200:
                (place,) = reply.said["positions"]
                await answers.add(number, place)


def _kill_broker(broker: EmbeddedServer) -> None:
    os.kill(broker.pid, signal.SIGKILL)
    broker.stop()
    broker.start()


async def _check(url: str, answered: dict[int, Position]) -> None:
    """Each body stands exactly once, and where its answer said."""
    async with connected(url) as client:
        log = await JetStreamLog.open(client, CellName("main"))
        records = [record async for message in log.read() for record in decode(message)]
    stored: Counter[str] = Counter()
    places: dict[str, Position] = {}
    for record in records:
        assert isinstance(record, Recorded)
        assert isinstance(record.event, SignalReceived)
        stored[record.event.target.name] += 1
        places[record.event.target.name] = record.position
    assert stored == {f"pod-{number}": 1 for number in range(BODIES)}
    assert {f"pod-{number}": place for number, place in answered.items()} == places


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
