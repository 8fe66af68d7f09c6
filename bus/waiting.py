"""Wait for answers on a connection, and not for those that cannot come any more.

The client tells nobody that a connection was lost under a request. So one look, ten times a second, serves all
requests that are under way on a connection, however many; none of them has a timer or a look of its own."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from nats.aio.client import Client

T = TypeVar("T")

# A lost connection is only seen by looking.
LOOK_SECONDS = 0.1


class LostError(Exception):
    """The connection was lost before the answer came."""


class _Watch:
    """Those who wait on one connection, and how often it had been lost when they began."""

    def __init__(self, connection: Client) -> None:
        self._connection = connection
        self._waiting: dict[asyncio.Task[Any], int] = {}
        self._looking = False
        self.lost: set[asyncio.Task[Any]] = set()

    def add(self, answer: asyncio.Task[Any]) -> None:
        self._waiting[answer] = self._connection.stats["reconnects"]
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def remove(self, answer: asyncio.Task[Any]) -> None:
        self._waiting.pop(answer, None)
        self.lost.discard(answer)

    def _look(self) -> None:
        reconnects, connected = self._connection.stats["reconnects"], self._connection.is_connected
        for answer, before in self._waiting.items():
            if not connected or reconnects != before:
                self.lost.add(answer)
                answer.cancel()
        self._looking = bool(self._waiting)
        if self._looking:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)


_watches: WeakKeyDictionary[Client, _Watch] = WeakKeyDictionary()


async def answered(connection: Client, asking: Coroutine[Any, Any, T]) -> T:
    """Wait for an answer. Raises LostError where the connection was lost since; leaves no request behind.

    Being cancelled when the answer comes is being cancelled: the client's own waiting may forget it."""
    watch = _watches.get(connection)
    if watch is None:
        watch = _watches[connection] = _Watch(connection)
    waiter = asyncio.current_task()
    assert waiter is not None
    cancellations = waiter.cancelling()
    answer = asyncio.ensure_future(asking)
    watch.add(answer)
    try:
        result = await answer
    except asyncio.CancelledError:
        if waiter.cancelling() == cancellations and answer in watch.lost:
            raise LostError from None
        raise
    finally:
        watch.remove(answer)
        answer.cancel()
    if waiter.cancelling() > cancellations:
        raise asyncio.CancelledError
    return result
