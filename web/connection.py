"""One connection: the head of a request has a size and a time, of which uvicorn bounds neither.

Whoever is refused is told why before the connection is closed, and nothing of it is logged: anybody may do it
thousands of times."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Webhooks carry a few hundred bytes of headers. Around a body as many may come in a row that are none of it: the
# sizes of its pieces, and what is said behind the last.
HEAD_BYTES_MAX = 32 * 1024
HEAD_SECONDS = 10.0
# For a sender that is refused to finish its sentence.
LINGER_SECONDS = 2.0
# What is read and thrown away of a request that is refused, so that its sender is ready to hear why.
DRAIN_BYTES_MAX = 4 * 1024 * 1024

_REFUSAL = (
    b"HTTP/1.1 %s\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n%s\r\n%s"
)


def refusal(status: bytes, detail: bytes, headers: bytes = b"") -> bytes:
    """Write an answer for which no request was read."""
    code, _, title = status.partition(b" ")
    body = b'{"type":"about:blank","title":"%s","status":%s,"detail":"%s"}' % (title, code, detail)
    return _REFUSAL % (status, len(body), headers, body)


_TOO_LARGE = refusal(b"431 Request Header Fields Too Large", b"the head is larger than 32 KiB")
_TOO_LATE = refusal(b"408 Request Timeout", b"the head was not there within 10 s")
_MALFORMED = refusal(b"400 Bad Request", b"this is no HTTP")
_TOO_MANY = refusal(b"503 Service Unavailable", b"too many connections", b"retry-after: 1\r\n")


class Connections:
    """The connections that are open, never more than `maximum`.

    Where one more comes, the one that has been silent the longest is closed for it: whoever says nothing keeps
    nobody out. Where all of them have a request in hand, the one that comes is told so."""

    def __init__(self, maximum: int, at_the_bound: Callable[[], None] = lambda: None) -> None:
        self.maximum = maximum
        self.open = 0
        self._silent: dict[Connection, None] = {}
        self._at_the_bound = at_the_bound

    def opened(self, connection: "Connection") -> bool:
        """Count one that comes; False where there is no room."""
        self.open += 1
        if self.open > self.maximum:
            self._at_the_bound()
            if not self.close_one():
                return False
        self._silent[connection] = None
        return True

    def close_one(self) -> bool:
        """Close the one that has been silent the longest; False where each has a request in hand."""
        longest = next(iter(self._silent), None)
        if longest is None:
            return False
        self.speaks(longest)
        longest.transport.abort()
        return True

    def closed(self, connection: "Connection") -> None:
        """Count one that has gone."""
        self.open -= 1
        self.speaks(connection)

    def speaks(self, connection: "Connection") -> None:
        """It has a request in hand."""
        self._silent.pop(connection, None)

    def is_silent(self, connection: "Connection") -> None:
        """Its request is answered."""
        self.speaks(connection)
        self._silent[connection] = None


class Connection(HttpToolsProtocol):
    """One connection of a sender."""

    _head_bytes = 0  # As they came, of the request whose head is not there yet.
    _parsed_bytes = 0  # Of its path and its headers, as far as they are parsed.
    _idle_bytes = 0  # Of its body, since there was anything in it.
    _in_head = True
    _refused_bytes: int | None = None
    _head_timer: asyncio.TimerHandle | None = None

    def __init__(self, shared: Connections, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._shared = shared

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, where there is room."""
        super().connection_made(transport)
        # asyncio sets this only where a socket was made with its protocol's number, and ours was not: without it
        # the second half of every answer waits 40 ms for the sender's word on the first.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._shared.opened(self):
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse, _TOO_LATE)
        else:
            transport.write(_TOO_MANY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        self._stop_timer()
        self._shared.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, within the bounds of a head."""
        if self._refused_bytes is not None:
            self._discard(len(data))
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_timer is None:  # The first bytes of a further request.
                self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse, _TOO_LATE)
        else:
            self._idle_bytes += len(data)
        super().data_received(data)
        if max(self._head_bytes, self._idle_bytes) > HEAD_BYTES_MAX:
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Count the next head."""
        super().on_message_begin()
        self._in_head, self._parsed_bytes = True, 0

    def on_url(self, url: bytes) -> None:
        """Count what is asked for."""
        self._parsed_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        self._parsed_bytes += len(name) + len(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Let the application begin."""
        self._in_head, self._head_bytes, self._idle_bytes = False, 0, 0
        self._stop_timer()
        if self._parsed_bytes > HEAD_BYTES_MAX:  # They came all at once.
            self._refuse(_TOO_LARGE)
            raise ValueError("head too large")  # Ends the parser.
        self._shared.speaks(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """It goes on."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """What comes now is the next head."""
        super().on_message_complete()
        self._in_head, self._idle_bytes = True, 0

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if not self.transport.is_closing() and self.cycle.response_complete:  # Else the next has begun already.
            self._shared.is_silent(self)

    def send_400_response(self, msg: str) -> None:
        """Say so in our own words."""
        self._refuse(_MALFORMED)

    def _refuse(self, answer: bytes) -> None:
        """Say why, and listen a little longer: a sender that is cut off while it speaks hears nothing."""
        self._stop_timer()
        if self._refused_bytes is None and not self.transport.is_closing():
            self._refused_bytes = 0
            if self.cycle is not None:  # Whoever answers a request that came before has nobody left to answer.
                self.cycle.disconnected = True
                self.cycle.message_event.set()
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
