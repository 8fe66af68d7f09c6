"""Connect to the broker. Credentials are in the address, and never in a message or a log line.

The client buffers nothing while it is disconnected, because a publish that timed out would still be stored. And it
goes on reading whatever headers anybody has published: nats-py's own ends the connection's reading, for good, at a
block that it did not expect."""

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import AsyncIterator

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

from .port import LogUnreachableError

_LINE_END = b"\r\n"
_PARTED = _LINE_END.decode()
_VERSION = len(b"NATS/1.0")


def parse_headers(block: bytes) -> dict[str, str] | None:
    """Read a block of headers: the status in its first line, and what is a name and a value in the others.

    The values of a name that comes again stand behind one another, parted by what no value contains."""
    first, *lines = block.split(_LINE_END)
    found: dict[str, str] = {}
    code, _, description = first[_VERSION:].strip().partition(b" ")
    if code.isdigit():
        found["Status"] = code.decode()
        if description:
            found["Description"] = _text(description.strip())
    for line in lines:
        name, colon, value = line.partition(b":")
        name = name.strip()
        if colon and name.isascii() and len(name.split()) <= 1:  # No space of any kind is in it.
            written, known = value.strip().decode(errors="surrogateescape"), name.decode()  # The very bytes count.
            found[known] = f"{found[known]}{_PARTED}{written}" if known in found else written
    return found or None


class TolerantClient(Client):
    """A client that goes on reading, whatever has been published."""

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        return parse_headers(headers) if headers else None

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        return Msg(self, _text(subject), _text(reply), data, headers, None, False, sid)


def _text(raw: bytes) -> str:
    """As the server's own answers write it: what is no UTF-8 is replaced."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode(errors="replace")


log = logging.getLogger(__name__)

Connection = Client
"""A connection to the broker, as whoever knows no NATS hands it on."""

CONNECT_SECONDS = 5.0
# A restarted server is back within a second; a waiting client costs one refused connect each time.
RECONNECT_SECONDS = 0.25
# How often a connect under way is looked at, for a refusal.
LOOK_SECONDS = 0.01

_CREDENTIALS = re.compile(r"//[^/@]*@")


def without_credentials(url: str) -> str:
    """The address as it may be shown."""
    return _CREDENTIALS.sub("//", url)


class _Watch:
    """Hears what the client complains of, and says each thing once until the client is connected again."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.failures = 0
        self.last: str | None = None

    async def on_error(self, error: Exception) -> None:
        text = _words_of(error)
        if isinstance(error, ConnectionResetError):  # A refusal, whose reason was lost with the connection.
            text = "it closed the connection, authorization may be missing or wrong"
        self.failures += 1
        if text != self.last:
            self.last = text
            log.info("broker error", extra={"error": text})

    async def on_disconnected(self) -> None:
        if not self._client.is_closed:  # Not lost, but left.
            log.warning("broker lost")

    async def on_reconnected(self) -> None:
        self.last = None
        log.warning("broker back")


async def connect(url: str, *, name: str = "ro", seconds: float = CONNECT_SECONDS) -> Client:
    """Connect, and from then on reconnect for ever. Raises LogUnreachableError when nothing answers.

    `url` may name several servers, separated by commas."""
    servers = [server.strip() for server in url.split(",")]
    client = TolerantClient()
    watch = _Watch(client)
    connecting = asyncio.ensure_future(
        client.connect(
            servers=servers,
            name=name,
            error_cb=watch.on_error,
            disconnected_cb=watch.on_disconnected,
            reconnected_cb=watch.on_reconnected,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]  # It is slept, and may be a fraction.
            connect_timeout=max(1, int(seconds)),
            pending_size=0,
        )
    )
    try:
        await _connected(connecting, watch, len(servers), seconds)
    except LogUnreachableError:
        raise LogUnreachableError(_no_broker(url, watch.last)) from None
    except (Error, OSError, ValueError) as error:  # An address that is none.
        raise LogUnreachableError(_no_broker(url, _words_of(error))) from error
    finally:
        if not client.is_connected:
            await _give_up(client, connecting)
    return client


@contextlib.asynccontextmanager
async def connected(url: str, *, name: str = "ro", seconds: float = CONNECT_SECONDS) -> AsyncIterator[Client]:
    """A connection for as long as the block lasts."""
    client = await connect(url, name=name, seconds=seconds)
    try:
        yield client
    finally:
        await close(client)


async def close(client: Client) -> None:
    """Close a connection, in whatever state it is.

    Closed in the moment in which it loses its server, nats-py cancels a future that it then waits for itself;
    in a task of its own that is not taken for our being cancelled."""
    if not client.servers:  # Never connected, because its address was none: there is nothing to close.
        return
    closing = asyncio.ensure_future(client.close())
    await asyncio.wait({closing})
    if not closing.cancelled() and (error := closing.exception()) is not None:
        log.info("broker error", extra={"error": str(error)})


async def _connected(connecting: "asyncio.Future[None]", watch: _Watch, servers: int, seconds: float) -> None:
    """Wait until it is connected, or every server has refused, or time is up.

    Time is counted in looks: while something holds this process up, an answer may lie there and is not heard."""
    for _ in range(max(1, round(seconds / LOOK_SECONDS))):
        if connecting.done() or watch.failures >= servers:
            break
        await asyncio.wait({connecting}, timeout=LOOK_SECONDS)
    if not connecting.done():
        raise LogUnreachableError("no answer")
    connecting.result()


async def _give_up(client: Client, connecting: "asyncio.Future[None]") -> None:
    connecting.cancel()
    await asyncio.wait({connecting})
    if not connecting.cancelled():
        connecting.exception()  # It was told already, or comes too late to be told.
    await close(client)


def _words_of(error: Exception) -> str:
    """What is wrong, and of the system's own errors neither their number nor asyncio's words around them."""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno) if error.errno > 0 else error.strerror or str(error)
    return str(error) or type(error).__name__


def _no_broker(url: str, reason: str | None) -> str:
    return f"no broker answers at {without_credentials(url)}: {without_credentials(reason or 'no answer in time')}"
