"""Letting others live on the event loop while there is much to do: the lease is renewed and the broker answered.

Whoever works asks for a breath between two pieces of work, each of which is short; it is given when it is due."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

# Renewing a lease takes some turns, and a quarter of a second is the time for it.
SLICE_SECONDS = 0.02
# To look at the clock is as dear as a twentieth of a signal's fold: it is done after about so many bytes of work,
# which are well below a slice. A piece of work counts as so many more than it has.
LOOK_BYTES, PIECE_BYTES = 16 * 1024, 512
# To hear an answer of the broker takes some turns of the event loop: a timer, a socket, a parser, a task.
TURNS = 4


class Breath:
    """How long others have waited."""

    def __init__(self) -> None:
        self._time = asyncio.get_running_loop().time
        self._since = self._time()
        self._done = 0

    def is_due(self, done: int) -> bool:
        """Whether others have waited long enough, after one more piece of work of so many bytes."""
        self._done += PIECE_BYTES + done
        if self._done < LOOK_BYTES:
            return False
        self._done = 0
        return self._time() - self._since >= SLICE_SECONDS

    async def draw(self) -> None:
        """Let everybody else have a turn, if it is time."""
        if self._time() - self._since < SLICE_SECONDS:
            return
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self._since = self._time()


@asynccontextmanager
async def beside(*work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Have work done for as long as the context lasts; what becomes of it is its own affair."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
