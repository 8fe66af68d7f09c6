"""A request's body, whole and within bounds, or the problem with it. Nobody can make the door hold more."""

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

from prometheus_client import Gauge

from remediation_orchestrator.web.connection import DRAIN_BYTES_MAX
from remediation_orchestrator.web.problems import HttpProblem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

# Some 4,500 usual alerts, more than a cluster has rules and workloads for. For the bytes as sent and as unpacked.
BODY_BYTES_MAX = 4 * 1024 * 1024
# Alerts of one rule pack to a sixtieth of their size; whatever is packed tighter was made to be large.
RATIO_MAX = 250
# A monitoring system sends from its own network. Whoever sends a byte a second is told to come back.
BODY_SECONDS = 10.0
# All bodies in hand together.
HELD_BYTES_MAX = 64 * 1024 * 1024

_CHARSET = re.compile(r"""charset\s*=\s*"?([^\s";]+)""", re.IGNORECASE)


class DisconnectedError(Exception):
    """The sender has gone; there is nobody to answer."""


class Held:
    """How much of all bodies is in hand, never more than the door holds."""

    def __init__(self, gauge: Gauge, bytes_max: int = HELD_BYTES_MAX) -> None:
        self._gauge = gauge
        self._max = bytes_max
        self._held = 0

    def take(self, size: int) -> None:
        """Count bytes that come in. Raises HttpProblem 503 where it would be too much."""
        if self._held + size > self._max:
            raise HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, "too many bodies at once", retry_after=1)
        self._held += size
        self._gauge.set(self._held)

    def give(self, size: int) -> None:
        """Count bytes that are let go of."""
        self._held -= size
        self._gauge.set(self._held)


class Incoming:
    """The body of one request, on its way in."""

    def __init__(self, receive: Receive, held: Held, *, seconds: float = BODY_SECONDS) -> None:
        self._receive = receive
        self._held = held
        self._seconds = seconds
        self._size = 0
        self._complete = False

    async def read(self, headers: Mapping[str, str]) -> bytes:
        """The body as it was sent. Raises HttpProblem or DisconnectedError."""
        length = headers.get("content-length", "")
        if length.isdecimal() and len(length) < 20 and int(length) > BODY_BYTES_MAX:
            raise _too_large("the body")
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                while not self._complete:
                    chunk = await self._next()
                    if len(body) + len(chunk) > BODY_BYTES_MAX:
                        raise _too_large("the body")
                    self._held.take(len(chunk))
                    self._size += len(chunk)
                    body += chunk
        except TimeoutError as error:
            self._complete = True  # As far as we are concerned.
            detail = f"the body was not there within {self._seconds:g} s"
            raise HttpProblem(HTTPStatus.REQUEST_TIMEOUT, detail, headers={"connection": "close"}) from error
        return bytes(body)

    async def drain(self) -> bool:
        """Read what is left of a refused body, so that its sender hears why; whether that was all of it."""
        left = DRAIN_BYTES_MAX
        try:
            async with asyncio.timeout(self._seconds):
                while not self._complete and left > 0:
                    left -= len(await self._next())
        except (TimeoutError, DisconnectedError):
            return False
        return self._complete

    def unpack(self, headers: Mapping[str, str], raw: bytes) -> bytes:
        """The body behind its content encoding, which counts as in hand, too. Raises HttpProblem."""
        body = unpack(headers, raw)
        if body is not raw:
            self._held.take(len(body))
            self._size += len(body)
        return body

    def release(self) -> None:
        """Let go of what was read."""
        self._held.give(self._size)
        self._size = 0

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        self._complete = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk


def check_encoding(headers: Mapping[str, str], media_types: frozenset[str]) -> str:
    """The media type of a body that can be read here. Raises HttpProblem 415."""
    given = headers.get("content-type", "")
    media_type = given.partition(";")[0].strip().lower()
    if media_type not in media_types:
        wanted = ", ".join(sorted(media_types))
        raise _unsupported(f"the content type is {media_type[:100]!r}, and {wanted} is taken here")
    charset = _CHARSET.search(given.partition(";")[2])
    if charset is not None and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise _unsupported(f"the charset is {charset[1][:100]!r}, and JSON is UTF-8")
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise _unsupported(f"the content encoding is {encoding[:100]!r}, and gzip or none is taken here")
    return media_type


def unpack(headers: Mapping[str, str], raw: bytes) -> bytes:
    """The body behind its content encoding, never more of it than the bound. Raises HttpProblem."""
    if headers.get("content-encoding", "").strip().lower() != "gzip":
        return raw
    unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        body = unpacking.decompress(raw, BODY_BYTES_MAX + 1)
    except zlib.error as error:
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "the body is not gzip") from error
    if len(body) > BODY_BYTES_MAX:
        raise _too_large("the unpacked body")
    if len(body) > RATIO_MAX * len(raw):
        detail = f"the body unpacks to more than {RATIO_MAX} times its size"
        raise HttpProblem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    if not unpacking.eof or unpacking.unused_data:
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "the body is not one whole gzip member")
    return body


def _too_large(what: str) -> HttpProblem:
    return HttpProblem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"{what} is larger than {BODY_BYTES_MAX:,} bytes: send fewer alerts at once",
    )


def _unsupported(detail: str) -> HttpProblem:
    return HttpProblem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, headers={"accept-encoding": "gzip"})
