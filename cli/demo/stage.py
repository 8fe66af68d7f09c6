"""The stage of `ro demo`: a service that can hang, a catalog that repairs it, an orchestrator and an executor.

Nothing is acted: the service is a process of its own, and the workflow that restarts it kills that process."""

import asyncio
import contextlib
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import HOST
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.cli.support.services import run_orchestrator
from remediation_orchestrator.events import CellName
from remediation_orchestrator.executor.service import ExecutorSettings, run_executor
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

_CLEAR_CACHE = "import time; time.sleep(1); print('the cache of search is empty')"

_MOVE_INDEX = """\
print("moved the first half of the index")
exit("index.b is not there: half of the index is moved, and half is not")
"""


class DemoStage:
    """A small web server called checkout, which is always started again, and the log of the cell around it."""

    def __init__(self, log: JetStreamLog, home: Path) -> None:
        self.log = log
        self.lock = home / "deploy.lock"
        """While this file is there, the workflow that restarts checkout refuses to."""
        self.ready = asyncio.Event()
        """Set when checkout has begun to answer for the first time."""
        self._home = home
        self._process: Process | None = None
        with socket.socket() as free:
            free.bind((HOST, 0))
            self._port: int = free.getsockname()[1]

    def hang(self) -> int:
        """Break checkout: the process stays, and answers no more. Return its process id."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        return self._process.pid

    async def ask(self) -> str | None:
        """Ask checkout for its process id; None where it does not answer."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_connection(HOST, self._port)
                with contextlib.closing(writer):
                    writer.write(b"GET / HTTP/1.0\r\n\r\n")
                    return (await reader.read()).decode().rpartition("\n")[2]
        except (OSError, TimeoutError):
            return None

    async def keep(self) -> None:
        """Run checkout, for ever; end it when cancelled. If the demo is killed, the kernel ends it."""
        command = (sys.executable, "-I", "-c", _SERVICE, str(self._port))
        while True:
            self._process = await asyncio.create_subprocess_exec(
                *command, cwd=self._home, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, process_group=0
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

    def write_catalog(self) -> Path:
        """Write the workflows' files; return their folder. The last may not be run again once it has failed."""
        catalog = self._home / "workflows"
        catalog.mkdir()
        for name, alert, idempotent, program, arguments in (
            ("restart-checkout", "CheckoutHung", True, _RESTART, (str(self._home), str(self._port))),
            ("clear-cache", "SearchSlow", True, _CLEAR_CACHE, ()),
            ("move-index", "SearchDiskFull", False, _MOVE_INDEX, ()),
        ):
            (catalog / f"{name}.py").write_text(program)
            script = {"command": [sys.executable, f"{name}.py", *arguments]}
            says = {"id": name, "version": "1", "script": script, "timeout": "20s", "idempotent": idempotent}
            written = msgspec.json.encode({**says, "match": [{"name": alert}]})  # JSON is YAML.
            (catalog / f"{name}.yaml").write_bytes(written)
        return catalog


@contextlib.asynccontextmanager
async def stage(url: str, home: Path, cell: CellName) -> AsyncIterator[DemoStage]:
    """Everything on a running broker, ready. Whoever of it fails ends the context with its error."""
    stopping, active = asyncio.Event(), asyncio.Event()
    async with connected(url, name="demo") as connection:
        on_stage = DemoStage(await JetStreamLog.ensure(connection, cell), home)
        settings = ExecutorSettings(workflows=on_stage.write_catalog(), slots=2, grace=1.0)
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(on_stage.keep())
            group.create_task(run_orchestrator(url, cell, DEFAULT, stopping, active))
            group.create_task(run_executor(url, cell, settings, stopping))
            try:
                await active.wait()
                await on_stage.ready.wait()
                yield on_stage
            finally:
                stopping.set()
                keeping.cancel()
