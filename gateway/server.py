"""The door on a socket: uvicorn, with bounds on what a connection may hold before the door sees it."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from remediation_orchestrator.bus.port import LogError

from .delivery import DRAIN_BYTES_MAX
from .door import Door

log = logging.getLogger(__name__)

# Webhooks carry a few hundred bytes of headers.
HEAD_BYTES_MAX = 32 * 1024
HEAD_SECONDS = 10.0
# For a sender that is refused to finish its sentence.
LINGER_SECONDS = 2.0
CONNECTIONS_MAX = 4_096
# A sender keeps its connection between two notifications of a busy hour, not for ever.
KEEP_ALIVE_SECONDS = 75
# Longer than a body and its answer may take.
STOP_SECONDS = 10

_REFUSAL = (
    b"HTTP/1.1 %s\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n%s\r\n%s"
)


def _refusal(status: bytes, detail: bytes, headers: bytes = b"") -> bytes:
    code, _, title = status.partition(b" ")
    body = b'{"type":"about:blank","title":"%s","status":%s,"detail":"%s"}' % (title, code, detail)
    return _REFUSAL % (status, len(body), headers, body)


_TOO_LARGE = _refusal(b"431 Request Header Fields Too Large", b"the head is larger than 32 KiB")
_TOO_LATE = _refusal(b"408 Request Timeout", b"the head was not there within 10 s")
_MALFORMED = _refusal(b"400 Bad Request", b"this is no HTTP")
_TOO_MANY = _refusal(b"503 Service Unavailable", b"too many connections", b"retry-after: 1\r\n")


class _Connection(HttpToolsProtocol):
    """One connection. The head of a request has a size and a time; uvicorn bounds neither."""

    _head_bytes = 0  # As they came, of the request whose head is not there yet.
    _header_bytes = 0  # Of its headers, as far as they are parsed.
    _in_head = True
    _refused_bytes: int | None = None
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio sets this only where a socket was made with its protocol's number, and ours was not: without it
        # the second half of every answer waits 40 ms for the sender's word on the first.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.write(_TOO_MANY)
            transport.close()
        else:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse, _TOO_LATE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused_bytes is not None:
            self._discard(len(data))
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_timer is None:  # The first bytes of a further request.
                self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse, _TOO_LATE)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._header_bytes = True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        self._stop_timer()
        if self._header_bytes > HEAD_BYTES_MAX:  # They came all at once.
            self._refuse(_TOO_LARGE)
            raise ValueError("head too large")  # Ends the parser.
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = True

    def send_400_response(self, msg: str) -> None:
        self._refuse(_MALFORMED)

    def _refuse(self, answer: bytes) -> None:
        """Say why, and listen a little longer: a sender that is cut off while it speaks hears nothing."""
        self._stop_timer()
        if self._refused_bytes is None and not self.transport.is_closing():
            self._refused_bytes = 0
            self.transport.write(answer)
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self._head_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _discard(self, size: int) -> None:
        assert self._refused_bytes is not None
        self._refused_bytes += size
        if self._refused_bytes > DRAIN_BYTES_MAX:
            self.transport.abort()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Server(uvicorn.Server):
    """A server that leaves signals to the process that it is a part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """Take an address; port 0 is a free one. Raises LogError where somebody else has it."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise AddressError(f"{host}:{port}: {error.strerror or error}") from error


def address_of(listening: socket.socket) -> str:
    """Where senders reach it."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class AddressError(LogError):
    """The door cannot be opened at this address."""


async def serve(door: Door, listening: socket.socket, stopping: asyncio.Event) -> None:
    """Answer requests until `stopping`, and then those that are in hand."""
    config = uvicorn.Config(
        door,
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=2_048,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = _Server(config)
    storing = asyncio.create_task(door.run())
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({storing, serving, stop}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        await asyncio.wait({serving})
        for task in (storing, stop):
            task.cancel()
        await asyncio.wait({storing, stop})
    for task in (serving, storing):
        if not task.cancelled():
            task.result()
