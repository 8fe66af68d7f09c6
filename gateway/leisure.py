"""Long work in short turns: whoever shares the loop is served in between."""

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

# Short beside what a sender notices, long beside what a turn itself costs.
TURN_SECONDS = 0.005


class Leisure:
    """Does work in turns. What is short is done within its first and waits for nobody; of what is long, or turns
    out to be, one is in hand at a time."""

    def __init__(self) -> None:
        self._long = asyncio.Lock()

    async def do(self, work: Generator[None, None, T], *, long: bool = False) -> T:
        """Do all of it, and let others have their turn in between. Return what it returns."""
        try:
            if not long:
                _take_a_turn(work)
            async with self._long:
                while True:
                    await asyncio.sleep(0)
                    _take_a_turn(work)
        except StopIteration as done:
            found: T = done.value
            return found


def _take_a_turn(work: Generator[None, None, object]) -> None:
    began = time.perf_counter()
    while time.perf_counter() - began < TURN_SECONDS:
        next(work)
