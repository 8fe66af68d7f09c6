"""The embedded server: one on a folder, known by its password, gone with its parent."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from remediation_orchestrator.bus.connection import connect, connected
from remediation_orchestrator.bus.embedded import EmbeddedServer, StoreInUseError, find
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogError, LogUnreachableError
from remediation_orchestrator.events import CellName

PATIENCE = 10

PARENT = """
import sys, threading
from pathlib import Path
from remediation_orchestrator.bus.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
if sys.argv[2] == "thread":
    starting = threading.Thread(target=server.start)
    starting.start()
    starting.join()
else:
    server.start()
print(server.pid, flush=True)
sys.stdin.read()
"""


def is_listening(port: int) -> bool:
    """Whether anything takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until_free(folder: Path) -> None:
    """Return once no server holds the folder, by starting one there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            EmbeddedServer(folder).start().stop()
        except StoreInUseError:
            assert time.monotonic() < deadline, "the server outlived its parent"
            time.sleep(0.02)
        else:
            return


async def test_it_runs_for_as_long_as_the_block(tmp_path: Path) -> None:
    """Found while it runs and not afterwards; what was stored is there the next time, and so is the password."""
    urls = []
    for expected in (0, 1):
        async with EmbeddedServer(tmp_path) as server:
            urls.append(server.url.rpartition("@")[0])
            assert find(tmp_path) == server.url
            async with connected(server.url) as client:
                log = await JetStreamLog.ensure(client, CellName("main"))
                assert await log.last_sequence() == expected
                await log.append("ro.main.signal.test", b"x")
        assert find(tmp_path) is None
    assert urls[0] == urls[1]


async def test_secrets_are_private(tmp_path: Path) -> None:
    """Nobody else reads the password, wherever it is written."""
    async with EmbeddedServer(tmp_path):
        for name in ("password", "address", "server.conf"):
            assert stat.S_IMODE((tmp_path / "nats" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "nats").stat().st_mode) == 0o700


async def test_it_wants_its_password(server: EmbeddedServer) -> None:
    """A stranger is refused, in one line without any credentials."""
    for stranger in ("nats://127.0.0.1", "nats://ro:secret@127.0.0.1"):
        with pytest.raises(LogUnreachableError, match=r"no broker answers at nats://127.*uthorization") as no:
            await connect(f"{stranger}:{server.port}")
        assert "secret" not in str(no.value)
        assert "\n" not in str(no.value)


async def test_while_a_process_is_held_up_its_patience_with_a_broker_does_not_run_out(
    server: EmbeddedServer,
) -> None:
    """On a busy machine, or while it imports, an answer lies there that it has had no turn to hear."""
    for _ in range(3):
        asyncio.get_running_loop().call_soon(time.sleep, 0.2)
        async with connected(server.url, seconds=0.1) as client:
            assert client.is_connected


async def test_nothing_answers(tmp_path: Path) -> None:
    """A port where nobody listens, and an address that is none."""
    async with EmbeddedServer(tmp_path) as server:
        port = server.port
    async with asyncio.timeout(2):
        with pytest.raises(LogUnreachableError, match=f"no broker answers at nats://127.0.0.1:{port}"):
            await connect(f"nats://a:b@127.0.0.1:{port}")
        with pytest.raises(LogUnreachableError, match="no broker answers"):
            await connect("nats://127.0.0.1:notaport")


async def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """In one line that names it, and the first goes on."""
    async with EmbeddedServer(tmp_path) as server:
        with pytest.raises(StoreInUseError, match="is in use: another server runs on it"):
            EmbeddedServer(tmp_path).start()
        assert find(tmp_path) == server.url


async def test_a_port_that_is_taken_is_said_to_be(tmp_path: Path, server: EmbeddedServer) -> None:
    """The server's own words, and the folder is free again."""
    with pytest.raises(LogError, match=r"did not start: .*address already in use"):
        EmbeddedServer(tmp_path, port=server.port).start()
    EmbeddedServer(tmp_path).start().stop()


async def test_a_stranger_on_the_old_port_is_not_found(tmp_path: Path, server: EmbeddedServer) -> None:
    """A stale address leads to another server: it is not ours, so the password is not sent there."""
    async with EmbeddedServer(tmp_path) as ours:
        stale = ours.url.replace(f":{ours.port}", f":{server.port}")
    (tmp_path / "nats" / "address").write_text(stale)
    assert find(tmp_path) is None


@pytest.mark.parametrize("thread", ["main", "thread"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_it_is_gone_when_its_parent_dies(tmp_path: Path, thread: str, end: signal.Signals) -> None:
    """Even without a word, and even where a thread that has ended started it; the folder is free again."""
    command = [sys.executable, "-c", PARENT, str(tmp_path), thread]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) > 0
        url = find(tmp_path)
        assert url is not None
        port = int(url.rpartition(":")[2])
        assert is_listening(port)
        with pytest.raises(StoreInUseError):
            EmbeddedServer(tmp_path).start()
        parent.send_signal(end)
    wait_until_free(tmp_path)
    assert not is_listening(port)
    assert find(tmp_path) is None


def test_started_beside_the_main_thread_it_stops_cleanly(tmp_path: Path) -> None:
    """The watcher goes too."""
    server = EmbeddedServer(tmp_path)
    starting = threading.Thread(target=server.start)
    starting.start()
    starting.join()
    pid = server.pid
    server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    server.stop()
