"""The server: uvicorn, with a bound on all that a connection may hold before an application sees it."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from .accepting import Acceptor, Saying, connections_that_fit
from .connection import Connection, Connections

# What waits to be accepted while everybody is served.
BACKLOG = 1_024
# A sender keeps its connection between two notifications of a busy hour, not for ever.
KEEP_ALIVE_SECONDS = 75
# Longer than a body and its answer may take.
STOP_SECONDS = 10


class AddressError(Exception):
    """Nobody can listen at this address."""


class _Server(uvicorn.Server):
    """A server that leaves signals to the process that it is a part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """Take an address; port 0 is a free one. Raises AddressError where somebody else has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else str(error)
        raise AddressError(f"{host}:{port}: {why}") from error


def address_of(listening: socket.socket) -> str:
    """Where senders reach it."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def serve(
    app: ASGIApp,
    listening: socket.socket,
    stopping: asyncio.Event,
    *,
    maximum: int | None = None,
    opened: Callable[[], None] = lambda: None,
) -> None:
    """Answer requests until `stopping`, and then those that are in hand; `opened` is called when it does.

    At most `maximum` connections at once; where that is not said, as many as the limit of open files allows."""
    most = connections_that_fit() if maximum is None else min(maximum, connections_that_fit())
    connections = Connections(most, Saying("connections at their bound", maximum=most))
    server = _Server(_config(app))
    server.config.load()

    def connection() -> Connection:
        return Connection(connections, config=server.config, server_state=server.server_state, app_state={})

    acceptor = Acceptor(listening, connection, connections.close_one)
    serving = asyncio.create_task(server.serve(sockets=[]))  # It accepts nothing by itself.
    stop = asyncio.create_task(stopping.wait())
    try:
        acceptor.start()
        opened()
        await asyncio.wait({serving, stop}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        acceptor.stop()
        server.should_exit = True
        stop.cancel()
        await asyncio.wait({serving, stop})
    serving.result()


def _config(app: ASGIApp) -> uvicorn.Config:
    settings: dict[str, Any] = {
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "log_level": "error",  # Whoever sends what is no HTTP would have a line for it each time.
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": STOP_SECONDS,
    }
    return uvicorn.Config(app, http=Connection, **settings)
