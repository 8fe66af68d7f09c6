"""Read a stream by a consumer of one's own: in order, each message once, through every break.

Whatever looks wrong (a number missing, silence, a reconnect, a consumer that is gone) ends the consumer, and a
new one goes on after the last message that was handed out. Never trusts that a message will still come."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime, timedelta

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error

from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.events.durations import EPOCH

from . import api
from .api import LOOK_SECONDS, LostError, hear, waiting_on
from .port import LogError, LogUnreachableError, NotWholeError
from .topology import NANOSECONDS

log = logging.getLogger(__name__)

# One request is under way and one batch in hand, so twice this many messages, or bytes, are held at most.
BATCH_MESSAGES = 1_000
BATCH_BYTES = 16 * 1024 * 1024
# A request ends after this long, and then says how many messages it still owes: so a lost one is missed.
REQUEST_SECONDS = 10
HEARTBEAT_SECONDS = 1
SILENCE_SECONDS = 2.5 * HEARTBEAT_SECONDS
PAUSE_SECONDS_MAX = 1.0
# The server forgets the consumer of a reader that has gone, or was busy for so long; that one makes a new one.
INACTIVE_SECONDS = 60
# How long a stream may be missing, while a cluster finds itself again, before we say that it is gone.
GONE_SECONDS = 10.0

_ACK_TOKENS = 9
_STATUS = "Status"
_COMPLETED = "Batch Completed"
# These statuses end a request as planned before its count is used up: by time or by bytes.
_PLANNED = ("Request Timeout", "Message Size Exceeds MaxBytes", "Exceeded MaxRequestMaxBytes")


class _BrokenError(Exception):
    """This consumer cannot be relied on any more."""


class _StreamGoneError(LogUnreachableError):
    """There is no stream of that name (at the moment)."""


@contextlib.contextmanager
def _breaking() -> Iterator[None]:
    """Turn the client's errors into a broken consumer."""
    try:
        yield
    except Error as error:
        raise _BrokenError(str(error) or type(error).__name__) from error


def recorded_at(nanoseconds: int) -> datetime:
    """The broker's stamp in whole microseconds, truncated: a float is off by one in half of all stamps."""
    return EPOCH + timedelta(microseconds=nanoseconds // 1_000)


def read_reply(reply: str) -> tuple[int, int, int, int]:
    """Read a reply subject of JetStream: the stream's sequence, the consumer's, the stamp, and what is pending.

    It is `$JS.ACK.<stream>.<consumer>.<tries>.<sequence>.<count>.<stamp>.<pending>`, or, with a domain and an
    account before the stream, two words longer, with perhaps one more at its end."""
    tokens = reply.split(".")
    at = 5 if len(tokens) == _ACK_TOKENS else 7
    return int(tokens[at]), int(tokens[at + 1]), int(tokens[at + 2]), int(tokens[at + 3])


class Feed:
    """The messages of a stream from `start` on, as batches. `seconds` bounds how long it tries to get through
    in a row; None: for ever."""

    def __init__(
        self,
        connection: Client,
        stream: str,
        created: str,
        *,
        start: int = 1,
        subject: str | None = None,
        seconds: float | None = None,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._created = created
        self._subject = subject
        self._seconds = seconds
        self.next_sequence = start
        self._last: StoredMessage | None = None
        """The newest message that was handed out."""
        self.drained = False
        """Whether nothing more was stored when the last message was sent."""
        self._consumer = ""
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._arrived: list[Msg] = []
        self._coming: asyncio.Future[Exception | None] | None = None
        """Whoever waits for the first of them."""
        self._owed = 0
        self._expected = 1
        self._reconnects = 0

    async def batches(self) -> AsyncGenerator[list[StoredMessage], None]:
        """Yield what has arrived, an empty batch whenever a new consumer begins."""
        loop = asyncio.get_running_loop()
        failing_since: float | None = None
        pause = LOOK_SECONDS
        try:
            while True:
                try:
                    await self._open()
                    yield []
                    while True:
                        batch = await self._batch()
                        failing_since, pause = None, LOOK_SECONDS
                        yield batch
                except (_BrokenError, LogUnreachableError) as error:
                    now = loop.time()
                    failing_since = now if failing_since is None else failing_since
                    self._check_time(error, now - failing_since)
                    await self._close()
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, PAUSE_SECONDS_MAX)
        finally:
            await self._close()

    def _check_time(self, error: Exception, failing: float) -> None:
        if self._connection.is_closed:
            raise LogUnreachableError(f"{self._stream}: the connection was closed while it was read") from error
        if isinstance(error, _StreamGoneError) and failing > GONE_SECONDS:
            raise error
        if self._seconds is not None and failing > self._seconds:
            raise LogUnreachableError(f"{self._stream}: reading broke off: {error}") from error
        log.debug("reading again", extra={"stream": self._stream, "next": self.next_sequence, "why": str(error)})

    async def _open(self) -> None:
        self._reconnects = self._connection.stats["reconnects"]
        await self._check_same_stream()
        self._consumer = f"ro-{secrets.token_hex(8)}"
        self._arrived.clear()
        self._owed, self._expected = 0, 1
        info = await self._create_consumer()
        self.drained = info.num_pending == 0
        self._inbox = self._connection.new_inbox()
        with _breaking():
            self._subscription = await hear(self._connection, self._inbox, self._on_message)
            await self._ask()

    async def _check_same_stream(self) -> None:
        """What we have handed out must still be there: sequences mean nothing in another stream."""
        info = await api.stream_info(self._connection, self._stream)
        if info is None:
            raise _StreamGoneError(f"the stream {self._stream} is not there")
        if info.created != self._created:
            raise LogError(f"the stream {self._stream} was deleted and made again while it was read")
        if self._last is not None:
            await self._check_there(self._last, info.state.last_seq)

    async def _check_there(self, last: StoredMessage, end: int) -> None:
        """The newest that we have handed out stands where it stood, or was taken away since."""
        lost = f"the stream {self._stream} has lost records: "
        if end < last.sequence:
            raise NotWholeError(f"{lost}it ends at {end}, and {last.sequence} was read already")
        there = await api.message_at(self._connection, self._stream, last.sequence)
        if there is not None and (there.subject, there.data) != (last.subject, last.payload):
            raise NotWholeError(f"{lost}it has another record at {last.sequence} than was read already")

    async def _create_consumer(self) -> api.ConsumerInfo:
        config = {
            "name": self._consumer,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": max(1, self.next_sequence),
            "ack_policy": "none",
            "replay_policy": "instant",
            "inactive_threshold": INACTIVE_SECONDS * NANOSECONDS,
            "num_replicas": 1,
            "mem_storage": True,
        }
        if self._subject is not None:
            config["filter_subjects"] = [self._subject]
        verb = f"CONSUMER.CREATE.{self._stream}.{self._consumer}"
        body = {"stream_name": self._stream, "config": config, "action": "create"}
        try:
            return await api.call(self._connection, verb, body, api.ConsumerInfo)
        except api.ApiError as error:  # While a cluster elects, it refuses; a wrong request would fail in tests.
            raise _BrokenError(str(error)) from error

    def _on_message(self, message: Msg) -> None:
        self._arrived.append(message)
        if self._coming is not None and not self._coming.done():
            self._coming.set_result(None)

    async def _ask(self) -> None:
        self._owed = BATCH_MESSAGES
        body = {
            "batch": BATCH_MESSAGES,
            "max_bytes": BATCH_BYTES,
            "expires": REQUEST_SECONDS * NANOSECONDS,
            "idle_heartbeat": HEARTBEAT_SECONDS * NANOSECONDS,
        }
        subject = f"{api.API}.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        await self._connection.publish(subject, msgspec.json.encode(body), reply=self._inbox)

    async def _batch(self) -> list[StoredMessage]:
        """Wait for messages, and ask for more before handing these out."""
        if not self._arrived:
            await self._wait()
        arrived, self._arrived = self._arrived, []
        batch: list[StoredMessage] = []
        try:
            for message in arrived:
                self._take(message, batch)
            if self._owed == 0:
                with _breaking():
                    await self._ask()
        except _BrokenError:
            if not batch:
                raise
            # What came before the break is good; the silence after it will end this consumer.
            self._reconnects = -1
        if batch:
            self._last = batch[-1]
            self.next_sequence = self._last.sequence + 1
        return batch

    async def _wait(self) -> None:
        """Wait until something arrives. Raises _BrokenError where nothing can be coming."""
        if self._connection.stats["reconnects"] != self._reconnects or not self._connection.is_connected:
            raise _BrokenError("the connection was lost")
        self._coming = asyncio.get_running_loop().create_future()
        try:
            await waiting_on(self._connection).wait(self._coming, SILENCE_SECONDS, self._reconnects)
        except LostError as error:
            raise _BrokenError("the connection was lost") from error
        except TimeoutError as error:
            raise _BrokenError("the consumer is silent") from error

    def _take(self, message: Msg, batch: list[StoredMessage]) -> None:
        if not message.reply:
            self._take_status(message)
            return
        sequence, count, nanoseconds, pending = read_reply(message.reply)
        if count != self._expected:
            raise _BrokenError(f"message {self._expected} of the consumer is missing")
        self._expected += 1
        self._owed -= 1
        self.drained = pending == 0
        if sequence >= self.next_sequence:  # A start beyond the end is answered from the end on.
            stamp = recorded_at(nanoseconds)
            batch.append(StoredMessage(sequence, stamp, message.subject, message.data, message.headers or None))

    def _take_status(self, message: Msg) -> None:
        headers = message.headers or {}
        if headers.get(_STATUS) == "100":
            return
        description = headers.get("Description", "")
        if description.startswith(_COMPLETED):
            return  # Of a request whose messages we count ourselves, so the next one may be under way already.
        if not description.startswith(_PLANNED) or int(headers.get("Nats-Pending-Messages", -1)) != self._owed:
            raise _BrokenError(f"the request ended: {headers.get(_STATUS)} {description}")
        self._owed = 0

    async def _close(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        with contextlib.suppress(Error):
            await subscription.unsubscribe()
        with contextlib.suppress(Error):
            await self._connection.publish(f"{api.API}.CONSUMER.DELETE.{self._stream}.{self._consumer}", b"")
