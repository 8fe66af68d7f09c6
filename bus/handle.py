"""One process's end of the line to a broker in memory: where faults strike."""

from collections.abc import Awaitable, Callable
from enum import StrEnum


class FaultPoint(StrEnum):
    """When a fault may strike a handle."""

    STORE = "store"
    """Before an append is stored: an error leaves nothing behind."""
    ANSWER = "answer"
    """After it was stored and before its answer: an error leaves the record there."""
    ASK = "ask"
    """Before a question is answered: `last` and all others, and every call of a lease."""
    DELIVER = "deliver"
    """Before a message is handed to a reader."""


Faults = Callable[[FaultPoint, str], Awaitable[None]]
"""Awaited at every moment with the subject: may wait as long as it likes, and may raise any LogError."""


class Handle:
    """One process's end of the line to the broker."""

    def __init__(self, faults: Faults | None) -> None:
        self._faults = faults

    async def strike(self, moment: FaultPoint, subject: str) -> None:
        """Let a fault strike, if one wants to."""
        if self._faults is not None:
            await self._faults(moment, subject)
