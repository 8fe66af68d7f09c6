"""Ask on a connection and wait for what comes in, and not for what cannot come any more.

The client tells nobody that a connection was lost under a request. So one look, ten times a second, serves all
who wait on a connection, however many: none of them has a timer, a task or a look of its own."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import NoRespondersError

T = TypeVar("T")

# A lost connection is only seen by looking.
LOOK_SECONDS = 0.1
_STATUS, _NO_RESPONDERS = "Status", "503"


class LostError(Exception):
    """The connection was lost before it came."""


class _HandedOver(asyncio.Queue[Msg]):
    """Takes the place of a subscription's queue: each message is taken as it is read, and no task is woken."""

    def __init__(self, take: Callable[[Msg], None]) -> None:
        super().__init__()
        self._take = take

    def put_nowait(self, message: Msg) -> None:
        self._take(message)


async def hear(connection: Client, subject: str, take: Callable[[Msg], None]) -> Subscription:
    """Have each message on an inbox taken as soon as the connection has read it. `take` never raises."""
    subscription = await connection.subscribe(subject, pending_msgs_limit=0, pending_bytes_limit=0)
    subscription._pending_queue = _HandedOver(take)
    return subscription


class Waiting:
    """Those who wait on one connection: how often it had been lost when they began, and until when they wait."""

    def __init__(self, connection: Client) -> None:
        self._connection = ref(
            connection
        )  # Who waits keeps no connection alive: it is the key under which this stands.
        self._waiting: dict[asyncio.Future[Any], tuple[int, float]] = {}
        self._looking = False
        self._beginning = asyncio.Lock()
        self._inbox = ""
        """Where all answers come in; empty where nobody has asked yet."""
        self._asked = 0
        self._asking: dict[str, asyncio.Future[Msg | Exception]] = {}
        """By the last word of where its answer comes in."""

    async def wait(self, coming: "asyncio.Future[T | Exception]", seconds: float, lost: int) -> T:
        """Wait for what is coming. Raises LostError where the connection was lost since then, or TimeoutError."""
        loop = asyncio.get_running_loop()
        self._waiting[coming] = lost, loop.time() + seconds
        if not self._looking:
            self._looking = True
            loop.call_later(LOOK_SECONDS, self._look)
        try:
            found = await coming
        finally:
            del self._waiting[coming]
        if isinstance(found, Exception):
            raise found
        return found

    async def ask(self, subject: str, payload: bytes, seconds: float, headers: dict[str, str] | None) -> Msg:
        """Ask once, and leave nothing behind. Raises LostError, TimeoutError, or nats-py's errors."""
        connection = self._connection()
        if connection is None:
            raise LostError
        lost: int = connection.stats["reconnects"]
        if not self._inbox:
            await self._begin(connection)
        self._asked += 1
        word = str(self._asked)
        coming = self._asking[word] = asyncio.get_running_loop().create_future()
        try:
            await connection.publish(subject, payload, reply=f"{self._inbox}{word}", headers=headers)
            answer: Msg = await self.wait(coming, seconds, lost)
        finally:
            del self._asking[word]
        if answer.headers and answer.headers.get(_STATUS) == _NO_RESPONDERS:
            raise NoRespondersError
        return answer

    async def _begin(self, connection: Client) -> None:
        """Hear answers, before anybody asks."""
        async with self._beginning:
            if not self._inbox:
                inbox = f"{connection.new_inbox()}."
                await hear(connection, f"{inbox}*", self._on_answer)
                self._inbox = inbox

    def _on_answer(self, answer: Msg) -> None:
        coming = self._asking.get(answer.subject[len(self._inbox) :])
        if coming is not None and not coming.done():
            coming.set_result(answer)

    def _look(self) -> None:
        loop, connection = asyncio.get_running_loop(), self._connection()
        reconnects = -1 if connection is None or not connection.is_connected else connection.stats["reconnects"]
        for coming, (lost, until) in self._waiting.items():
            if not coming.done():
                if reconnects != lost:
                    coming.set_result(LostError())
                elif loop.time() >= until:
                    coming.set_result(TimeoutError())
        self._looking = bool(self._waiting)
        if self._looking:
            loop.call_later(LOOK_SECONDS, self._look)


_all: WeakKeyDictionary[Client, Waiting] = WeakKeyDictionary()


def waiting_on(connection: Client) -> Waiting:
    """Who waits on a connection."""
    found = _all.get(connection)
    if found is None:
        found = _all[connection] = Waiting(connection)
    return found
