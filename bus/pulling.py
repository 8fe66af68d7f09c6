"""FastStream's broker, pulling as we need it: slowly where nobody can answer, and knowing when each question went.

FastStream asks again at once, and for ever, when a pull fails at once: while the broker is away that took a core
and a log line for each try. A pull of ours fails as slowly as one that finds nothing. Each question has an inbox
of its own, so what arrives there was delivered after it was asked, however late it is looked at. And whatever
anybody has published, the connection goes on reading."""

import asyncio
import logging
from collections.abc import Callable

import msgspec
import nats.errors
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from .api import API
from .connection import TolerantClient
from .topology import NANOSECONDS

# Not ours, so what a service logs of its own life has nothing of the library's: its warnings alone.
LIBRARY = "faststream"
# A lost connection is only seen by looking. A broker that is back waits no longer than this for its executor.
LOOK_SECONDS = 0.1
# After a refusal: a leader is being elected, the consumer is gone, the connection was lost meanwhile.
REST_SECONDS = 0.5
# The broker says when a question has run out. Where it is silent for so long after that, it will not.
LATE_SECONDS = 1.0
_STATUS = "Status"
_NOTHING_CAME = "408"


class Pulled(Msg):
    """A message, and an instant before the broker delivered it."""

    asked_at: float


class PullBroker(NatsBroker):
    """FastStream's broker on a connection of ours, for it has no way to be given one. It reconnects for ever, and
    buffers nothing meanwhile."""

    def __init__(
        self, servers: list[str], *, name: str, monotonic: Callable[[], float], graceful_seconds: float
    ) -> None:
        """`monotonic` tells the instants of questions. Handlers have `graceful_seconds` to end when it stops."""
        super().__init__(
            servers,
            name=name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            pending_size=0,
            graceful_timeout=graceful_seconds,
            logger=logging.getLogger(LIBRARY),
            log_level=logging.DEBUG,
        )
        self._monotonic = monotonic

    async def _connect(self) -> Client:
        connection = _PullClient(self._monotonic)
        await connection.connect(**self._connection_kwargs)
        self.config.connect(connection)
        return connection


class _PullClient(TolerantClient):
    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self.monotonic = monotonic

    def jetstream(self, **options: object) -> JetStreamContext:
        return _PullContext(self, **options)  # type: ignore[arg-type]  # As FastStream hands them on.


class _PullContext(JetStreamContext):
    async def pull_subscribe(  # type: ignore[override]  # Of consumers that are there, as FastStream asks for it.
        self, subject: str, durable: str, stream: str, **_options: object
    ) -> "Pull":
        assert isinstance(self._nc, _PullClient)
        return Pull(self._nc, stream, durable, self._nc.monotonic)


class Pull:
    """A pull subscription, as FastStream uses one."""

    def __init__(self, connection: Client, stream: str, durable: str, monotonic: Callable[[], float]) -> None:
        self._connection = connection
        self._subject = f"{API}.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._monotonic = monotonic

    async def fetch(self, batch: int, timeout: float) -> list[Msg]:  # noqa: ASYNC109 - FastStream calls it so
        """Wait for messages. Raises TimeoutError of nats-py where there are none, for whatever reason."""
        if not self._connection.is_connected:
            await asyncio.sleep(LOOK_SECONDS)
            raise nats.errors.TimeoutError
        try:
            return [await self._ask(batch, timeout)]
        except nats.errors.TimeoutError:
            raise
        except (nats.errors.Error, OSError) as error:
            await asyncio.sleep(REST_SECONDS)
            raise nats.errors.TimeoutError from error

    async def unsubscribe(self) -> None:
        """There is nothing to end: a question that is under way runs out by itself."""

    async def _ask(self, batch: int, seconds: float) -> Msg:
        """Ask for one message. Raises as fetch does, or the error of a refusal."""
        assert batch == 1  # A slot takes nothing before it can begin it.
        inbox = self._connection.new_inbox()
        answers = await self._connection.subscribe(inbox)
        try:
            asked_at = self._monotonic()
            body = {"batch": 1, "expires": int(seconds * NANOSECONDS)}
            await self._connection.publish(self._subject, msgspec.json.encode(body), reply=inbox)
            message = await answers.next_msg(seconds + LATE_SECONDS)
        finally:
            await answers.unsubscribe()
        status = (message.headers or {}).get(_STATUS) if not message.reply else None
        if status == _NOTHING_CAME:
            raise nats.errors.TimeoutError
        if status is not None:
            raise nats.errors.Error(f"the broker refuses to deliver: {status}")
        return _pulled(message, asked_at)


def _pulled(message: Msg, asked_at: float) -> Pulled:
    pulled = Pulled(
        message._client, message.subject, message.reply, message.data, message.headers, _sid=message._sid
    )
    pulled.asked_at = asked_at
    return pulled
