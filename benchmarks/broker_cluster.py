"""Real nats-servers on this machine that are one cluster, each with a folder and ports of its own."""

import asyncio
import contextlib
import socket
import subprocess
from pathlib import Path
from types import TracebackType

from remediation_orchestrator.bus import api
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import binary
from remediation_orchestrator.bus.port import LogError

HOST = "127.0.0.1"
# An election takes seconds, and this machine may have other things to do.
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.05


class Cluster:
    """So many servers, ended with the block."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self._ports = {f"n{number}": (free_port(), free_port()) for number in range(1, count + 1)}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """The addresses of all servers."""
        return ",".join(f"nats://{HOST}:{client}" for client, _ in self._ports.values())

    def __enter__(self) -> "Cluster":
        for name in self._ports:
            self.start(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._running):
            self.kill(name)

    def start(self, name: str) -> None:
        """Start one server, on the folder and the ports that are its own."""
        file = self._folder / f"{name}.conf"
        file.write_text(self._config(name))
        self._running[name] = subprocess.Popen([binary(), "--config", str(file)])

    def kill(self, name: str) -> None:
        """End one with -9."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    async def ready(self) -> None:
        """Wait until JetStream answers: until the servers have found each other and elected a leader."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with contextlib.suppress(LogError):
                    async with connected(self.url, name="cluster") as client:
                        await api.call(client, "INFO", {}, api.Done)
                        return
                await asyncio.sleep(LOOK_SECONDS)

    def _config(self, name: str) -> str:
        client, route = self._ports[name]
        routes = ", ".join(f'"nats://{HOST}:{port}"' for other, (_, port) in self._ports.items() if other != name)
        return "\n".join(
            (
                f"server_name: {name}",
                f'listen: "{HOST}:{client}"',
                f'log_file: "{self._folder / name}.log"',
                f'jetstream {{ store_dir: "{self._folder / name}", sync_interval: always }}',
                f'cluster {{ name: ro, listen: "{HOST}:{route}", no_advertise: true, routes: [{routes}] }}',
                "",
            )
        )


def free_port() -> int:
    """A port that is free now; each server is told its own before any of them runs."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port: int = taken.getsockname()[1]
    return port
