"""What durable consumers deliver, through FastStream: each slot asks for one command and hands it to its handler.

The bytes are the handler's to read, and so is every word to the broker about them: each waits for its answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import nats.errors
from faststream import AckPolicy, StreamMessage
from faststream.nats import JStream, NatsMessage, PullSub
from faststream.nats.subscriber.usecases import PullStreamSubscriber
from nats.aio.client import Client
from nats.aio.msg import Msg

from remediation_orchestrator.events import CellName, StoredMessage

from .consumers import DurableConsumer, created_at, watch_consumers, why_no_work
from .feed import read_reply, recorded_at
from .jetstream import JetStreamLog
from .port import Delivery, DeliveryError, stream_name
from .pulling import LIBRARY, PullBroker, Pulled
from .topology import NANOSECONDS

log = logging.getLogger(__name__)

_IN_PROGRESS = b"+WPI"
_ACKNOWLEDGED = b"+ACK"
_NOT_NOW = b'-NAK {"delay": %d}'

Handle = Callable[[Delivery, float], Awaitable[None]]
"""Answers a delivery, which the broker had not made yet at this instant."""


class NatsDelivery:
    """One message that a pull consumer delivered. `answer_wait` bounds, in seconds, the wait for the broker."""

    def __init__(self, message: Msg, connection: Client, answer_wait: float) -> None:
        self._message = message
        self._connection = connection
        self._answer_wait = answer_wait
        sequence, _, nanoseconds, _ = read_reply(message.reply)
        self._command = StoredMessage(
            sequence, recorded_at(nanoseconds), message.subject, message.data, message.headers or None
        )

    @property
    def command(self) -> StoredMessage:
        """The command as it is stored."""
        return self._command

    @property
    def number(self) -> int:
        """The count of its deliveries so far, this one too."""
        return self._message.metadata.num_delivered

    async def confirm(self) -> None:
        """Ask the broker for another `ack_wait`. Raises DeliveryError."""
        await self._say(_IN_PROGRESS)

    async def acknowledge(self) -> None:
        """Tell the broker that it is done. Raises DeliveryError."""
        await self._say(_ACKNOWLEDGED)

    async def pass_on(self, seconds: float) -> None:
        """Have it delivered again after so long, to whoever asks then. Raises DeliveryError."""
        await self._say(_NOT_NOW % int(seconds * NANOSECONDS))

    async def _say(self, word: bytes) -> None:
        """As a request, because a published word may be lost with its connection and nobody would know."""
        try:
            await self._connection.request(self._message.reply, word, timeout=self._answer_wait)
        except (nats.errors.Error, OSError) as error:
            raise DeliveryError(f"no answer to {word.decode()}: {error or type(error).__name__}") from error


class Deliveries:
    """The commands of a cell as they are delivered, on a connection of its own that reconnects for ever."""

    def __init__(
        self, url: str, cell: CellName, *, name: str, monotonic: Callable[[], float], graceful_seconds: float
    ) -> None:
        """`monotonic` tells the instants; handlers have `graceful_seconds` to end when this is stopped."""
        logging.getLogger(LIBRARY).setLevel(logging.WARNING)
        self._cell = cell
        self._broker = PullBroker(
            url.split(","), name=name, monotonic=monotonic, graceful_seconds=graceful_seconds
        )
        self._served: tuple[DurableConsumer, ...] = ()

    async def connect(self) -> JetStreamLog:
        """Connect, and open the log on the same connection. Raises LogError where it is not there."""
        await self._broker.connect()
        return await JetStreamLog.open(self._broker.connection, self._cell)

    def serve(
        self,
        durable: DurableConsumer,
        subject: str,
        handle: Handle,
        *,
        slots: int = 1,
        pull: float,
        answer_wait: float,
    ) -> None:
        """Hand what a durable consumer delivers to a handler, as many at a time as there are slots.

        A slot asks anew after `pull` seconds, and a handler's words are answered within `answer_wait`."""

        async def on_message(message: NatsMessage) -> None:
            pulled = message.raw_message
            assert isinstance(pulled, Pulled)  # Every question is ours.
            await handle(NatsDelivery(pulled, self._broker.connection, answer_wait), pulled.asked_at)

        self._served += (durable,)
        for _ in range(slots):  # Each waits for nobody else's run, and takes nothing before it can begin it.
            self._broker.subscriber(
                subject,
                stream=JStream(stream_name(self._cell), declare=False),
                durable=durable.name,
                pull_sub=PullSub(batch_size=1, timeout=pull),
                ack_policy=AckPolicy.MANUAL,
                decoder=_as_it_is,
            )(on_message)

    async def start(self) -> None:
        """Ask, from now on."""
        await self._broker.start()

    async def watch(self) -> None:
        """Return never; raise ConsumerGoneError when one that is served is gone, or another by now."""
        await watch_consumers(self._broker.connection, self._cell, self._served)

    async def counted_since(self, durable: str) -> datetime:
        """Since when the deliveries of a durable consumer are counted, by the broker's clock. Raises LogError."""
        return await created_at(self._broker.connection, self._cell, durable)

    async def why_none(self) -> str | None:
        """Why none can come at the moment, in one line; None where one can."""
        return await why_no_work(self._broker.connection, self._cell, tuple(one.name for one in self._served))

    async def stop(self) -> None:
        """Ask for nothing more, wait for the handlers, and leave. What goes wrong with that is logged."""
        stops = [subscriber.stop() for subscriber in self._broker.subscribers]
        ends = await asyncio.gather(*stops, return_exceptions=True)
        self._forget_tasks()
        ends += await asyncio.gather(self._broker.stop(), return_exceptions=True)
        for error in filter(None, ends):
            log.warning("not stopped cleanly", extra={"error": f"{type(error).__name__}: {error}"})

    def _forget_tasks(self) -> None:
        """Where nobody answers, a subscriber cannot unsubscribe and keeps its tasks: FastStream begins each of
        those again when it ends, also when the loop does, and the process would never be over."""
        for subscriber in self._broker.subscribers:
            if isinstance(subscriber, PullStreamSubscriber):
                for task in subscriber.tasks:
                    task.cancel()
                subscriber.tasks.clear()


async def _as_it_is(message: StreamMessage[Any]) -> bytes:
    """The handler reads the bytes, so that what cannot be read is answered too."""
    return message.body
