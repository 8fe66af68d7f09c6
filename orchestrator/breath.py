"""Letting others live on the event loop while there is much to do: the lease is renewed and the broker answered.

Whoever works asks for a breath between two pieces of work, each of which is short; it is given when it is due."""

import asyncio

# Renewing a lease takes some turns, and a quarter of a second is the time for it.
SLICE_SECONDS = 0.02
# To hear an answer of the broker takes some turns of the event loop: a timer, a socket, a parser, a task.
TURNS = 4


class Breath:
    """How long others have waited."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()

    @property
    def due(self) -> bool:
        """Whether others have waited long enough; to ask costs less than to draw, where there is much to do."""
        return self._loop.time() - self._since >= SLICE_SECONDS

    async def draw(self) -> None:
        """Let everybody else have a turn, if it is time."""
        if not self.due:
            return
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self._since = self._loop.time()
