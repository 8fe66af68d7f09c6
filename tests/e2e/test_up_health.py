"""`ro up` with a door for its health and a limit for its log, in a process of its own."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

from remediation_orchestrator.bus import api
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.port import stream_name
from remediation_orchestrator.events.identity import DEFAULT_CELL

RO = Path(sys.executable).with_name("ro")
PATIENCE = 20.0
LIMIT = 5_000_000


async def limit_of(url: str) -> object:
    """The limit of the default cell's log."""
    async with connected(url) as client:
        info = await api.stream_info(client, stream_name(DEFAULT_CELL))
    assert info is not None
    return info.config["max_bytes"]


def test_it_is_ready_when_it_says_so_and_its_log_has_the_limit_that_was_given(tmp_path: Path) -> None:
    """Both services, asked over HTTP and by `ro ready`."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [str(RO), "up", "--data-dir", str(tmp_path), "--health", str(port), "--log-max-bytes", str(LIMIT)]
    environment = {**os.environ, "NATS_URL": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as up:
        try:
            assert up.stdout is not None
            url = up.stdout.readline().decode().split()[-1]
            with urlopen(f"http://127.0.0.1:{port}/livez", timeout=PATIENCE) as page:
                assert json.load(page) == {"live": True}
            ready = subprocess.run(
                [RO, "ready", "--json"], env={**environment, "RO_HEALTH": str(port)}, capture_output=True
            )
            limit = asyncio.run(limit_of(url))
        finally:
            up.terminate()
    assert up.returncode == 0
    assert limit == LIMIT
    assert json.loads(ready.stdout)["why"].keys() <= {
        "executor"
    }  # The ready line waits for the orchestrator alone.
