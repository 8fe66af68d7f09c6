"""The stage of `ro demo`: a broker, an orchestrator, an executor with a small catalog, and a service to break.

All of it is real and lies in one temporary folder. Nothing here decides; everything ends with its context."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import HOST
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.cli.support.services import run_orchestrator
from remediation_orchestrator.events import CellName
from remediation_orchestrator.executor.service import Settings, run_executor
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT

# It answers within milliseconds, on a busy machine within this.
ANSWER_SECONDS = 1.0

# It answers while it is well. It ends with the demo: its input is a pipe from there.
_SERVICE = """\
import http.server, os, pathlib, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"%d" % os.getpid())
    def log_message(self, *words):
        pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Page)
pathlib.Path("checkout.pid").write_text(str(os.getpid()))
print("ready", flush=True)
server.serve_forever()
"""

_RESTART = """\
import os, pathlib, signal, sys, time, urllib.request
home, port = pathlib.Path(sys.argv[1]), sys.argv[2]
if (home / "deploy.lock").exists():
    sys.exit("deploy.lock is there: a deploy is at work, nothing was restarted")
old = (home / "checkout.pid").read_text()
os.kill(int(old), signal.SIGKILL)
for attempt in range(100):
    try:
        new = urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=0.3).read().decode()
        sys.exit(print(f"checkout answers again: process {old} was killed, {new} took its place"))
    except OSError:
        time.sleep(0.05)
sys.exit("checkout does not answer after its restart")
"""

_CLEAR_CACHE = """\
import pathlib, sys, time
for file in sorted(pathlib.Path(sys.argv[1]).glob("*")):
    time.sleep(0.2)
    file.unlink()
    print("deleted", file.name)
"""

_MOVE_INDEX = """\
import pathlib, shutil, sys
home = pathlib.Path(sys.argv[1])
shutil.move(home / "index.a", home / "moved.a")
print("moved the first half of the index")
if not (home / "index.b").exists():
    sys.exit("index.b is not there: half of the index is moved, and half is not")
shutil.move(home / "index.b", home / "moved.b")
"""


def _workflow(name: str, text: str, alert: str, *arguments: str, idempotent: bool) -> dict[str, object]:
    """A workflow file as data; JSON is YAML."""
    return {
        "id": name,
        "version": "1",
        "description": text,
        "script": {"command": [sys.executable, f"{name}.py", *arguments]},
        "timeout": "20s",
        "idempotent": idempotent,
        "match": [{"name": alert}],
    }


class Service:
    """A small web server called checkout, and a keeper that starts it again whenever it has ended."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: asyncio.subprocess.Process | None = None
        self.ready = asyncio.Event()
        """Set when it has begun to answer for the first time."""
        with socket.socket() as free:
            free.bind((HOST, 0))
            self.port: int = free.getsockname()[1]

    @property
    def lock(self) -> Path:
        """While this file is there, the restart workflow refuses to restart."""
        return self._home / "deploy.lock"

    def hang(self) -> int:
        """Break it: the process stays, and answers no more. Return its process id."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        return self._process.pid

    async def ask(self) -> str | None:
        """Ask it for its process id; None where it does not answer."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_connection(HOST, self.port)
                with contextlib.closing(writer):
                    writer.write(b"GET / HTTP/1.0\r\n\r\n")
                    return (await reader.read()).decode().rpartition("\n")[2]
        except (OSError, TimeoutError):
            return None

    async def keep(self) -> None:
        """Run it, for ever; end it when cancelled."""
        (self._home / "service.py").write_text(_SERVICE)
        while True:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "service.py", str(self.port)),
                cwd=self._home,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                process_group=0,  # Should the demo be killed while it hangs, the kernel ends it.
            )
            assert self._process.stdout is not None
            try:
                if await self._process.stdout.readline():
                    self.ready.set()
                await self._process.wait()
            finally:
                if self._process.returncode is None:
                    self._process.kill()
                    await self._process.wait()


class Stage:
    """What the story plays on."""

    def __init__(self, log: JetStreamLog, service: Service) -> None:
        self.log = log
        self.service = service


def prepare(home: Path, port: int) -> Path:
    """Write the catalog and what its workflows work on; return the catalog's folder."""
    catalog, cache = home / "workflows", home / "cache"
    for folder in (catalog, cache):
        folder.mkdir()
    for number in range(5):
        (cache / f"page-{number}").write_text("stale")
    (home / "index.a").write_text("the second half, index.b, is missing")
    files = (
        (
            _workflow(
                "restart-checkout", "Kill it, and see that it answers again.", "CheckoutHung",
                str(home), str(port), idempotent=True,
            ),
            _RESTART,
        ),
        (
            _workflow("clear-cache", "Delete stale pages.", "SearchSlow", str(cache), idempotent=True),
            _CLEAR_CACHE,
        ),
        (
            _workflow("move-index", "Move both halves.", "SearchDiskFull", str(home), idempotent=False),
            _MOVE_INDEX,
        ),
    )  # fmt: skip
    for workflow, script in files:
        (catalog / f"{workflow['id']}.yaml").write_bytes(msgspec.json.encode(workflow))
        (catalog / f"{workflow['id']}.py").write_text(script)
    return catalog


@contextlib.asynccontextmanager
async def stage(url: str, home: Path, cell: CellName) -> AsyncIterator[Stage]:
    """Everything on a running broker, ready. Whoever of it fails ends the context with its error."""
    service = Service(home)
    settings = Settings(workflows=prepare(home, service.port), slots=2, grace=1.0)
    stopping, active = asyncio.Event(), asyncio.Event()
    async with connected(url, name="demo") as connection:
        log = await JetStreamLog.ensure(connection, cell)
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(service.keep())
            group.create_task(run_orchestrator(url, cell, DEFAULT, stopping, active))
            group.create_task(run_executor(url, cell, settings, stopping))
            try:
                await active.wait()
                yield Stage(log, service)
            finally:
                stopping.set()
                keeping.cancel()
