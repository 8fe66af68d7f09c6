"""The door of `ro up` is a process of its own: what comes in by it holds nobody up, and its end is seen."""

import asyncio
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from doors import Sender, alert, webhook
from processes import gone

RO = Path(sys.executable).with_name("ro")
PATIENCE = 20.0
PATH = "/v1/alertmanager"


class Up:
    """A running `ro up`, and what it has said."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.log = folder / "log"
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.health: int = free.getsockname()[1]
        command = [str(RO), "up", "--data-dir", str(folder / "data"), "--health", str(self.health), *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "NATS_URL": ""}
            )
        assert self.process.stdout is not None
        ready, webhooks = (self.process.stdout.readline().strip() for _ in range(2))
        assert ready.startswith("ready: cell main at ")
        self.sender = Sender(int(webhooks.rpartition(":")[2].partition("/")[0]))

    @property
    def door(self) -> int:
        """The process of the door: the child that is no broker."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        (found,) = (one for one in children if b"gateway" in Path(f"/proc/{one}/cmdline").read_bytes())
        return int(found)

    def said(self, event: str) -> list[dict[str, object]]:
        """The lines of its log that say this."""
        lines = map(json.loads, self.log.read_text().splitlines())
        return [line for line in lines if line["event"] == event]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """One that has said that it is ready."""
    running = Up(tmp_path)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


async def test_when_it_says_that_it_is_ready_the_door_answers(up: Up) -> None:
    """At the first try."""
    reply = await up.sender.post(PATH, webhook(alert()))
    assert reply.status == 200


async def test_a_door_that_ends_by_itself_is_said_and_followed_by_another(up: Up) -> None:
    """At the same address: whoever sends meanwhile waits for it."""
    door = up.door
    os.kill(door, signal.SIGKILL)
    reply = await up.sender.post(PATH, webhook(alert()))
    assert reply.status == 200
    assert up.door != door
    (line,) = up.said("the HTTP door has ended by itself")
    assert (line["level"], line["how"], line["pid"]) == ("error", "killed by SIGKILL", door)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_the_door_ends_with_it_however_it_ends(up: Up, number: signal.Signals) -> None:
    """And the address is free again."""
    door = up.door
    up.process.send_signal(number)
    await gone(door)
    await gone(up.process.pid)
    with pytest.raises(ConnectionRefusedError):
        await up.sender.get("/livez")
    assert number is signal.SIGKILL or up.process.wait(PATIENCE) == 0


async def test_refused_bodies_hold_neither_the_door_nor_the_executor_up(up: Up) -> None:
    """Twenty posts of 87,000 empty alerts in a few hundred bytes: they blocked the one loop for 22 s."""
    bomb = gzip.compress(b'{"version":"4","alerts":[' + b",".join([b"{}"] * 87_000) + b"]}", mtime=0)
    assert len(bomb) < 600
    health = Sender(up.health)
    began = time.monotonic()
    posts = [
        asyncio.create_task(up.sender.post(PATH, bomb, headers={"content-encoding": "gzip"})) for _ in range(20)
    ]
    assert (await health.get("/readyz")).status in (200, 503)
    replies = await asyncio.gather(*posts)
    assert {reply.status for reply in replies} == {413}
    assert time.monotonic() - began < 5.0
    assert (await up.sender.post(PATH, webhook(alert()))).status == 200


def test_a_door_that_cannot_be_opened_is_said_in_a_line(tmp_path: Path) -> None:
    """Its address is somebody else's."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        command: list[str | Path] = [RO, "up", "--data-dir", tmp_path, "--gateway-port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stderr == f"ro: 127.0.0.1:{port}: Address already in use\n"


async def test_the_door_is_told_whose_problem_what_bodies_and_who(tmp_path: Path) -> None:
    """`--identity`, `--mapping` and `--tokens` are the door's own."""
    files = {
        "identity": "name: [alert_name]\n",
        "mapping": "source: mine\nname: n\ntarget: {name: t}\n",
        "tokens": "tokens: [{name: me, sources: [mine, alertmanager], token: a-token-of-this-very-test}]\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    running = Up(tmp_path, *(word for name in files for word in (f"--{name}", str(tmp_path / name))))
    bearer = {"authorization": "Bearer a-token-of-this-very-test"}
    try:
        nobody = await running.sender.post("/v1/mine", b"{}")
        mine = await running.sender.post("/v1/mine", b"{}", headers=bearer)
        other = await running.sender.post(
            PATH, webhook(alert(labels={"alert_name": "X", "pod": "p"})), headers=bearer
        )
    finally:
        running.process.terminate()
        running.process.communicate(timeout=PATIENCE)
    assert [one.status for one in (nobody, mine, other)] == [401, 200, 200]


@pytest.mark.parametrize("option", ["identity", "mapping", "tokens"])
def test_a_file_that_the_door_cannot_use_is_said_before_anything_begins(tmp_path: Path, option: str) -> None:
    """In one line, with its place."""
    (tmp_path / "file").write_text("nonsense: 1")
    command: list[str | Path] = [RO, "up", "--data-dir", tmp_path / "data", f"--{option}", tmp_path / "file"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert f"{tmp_path / 'file'}:1: unknown key nonsense" in done.stderr
    assert not (tmp_path / "data" / "nats").exists()
