"""What has been read and not yet taken: bounded, and a place to be woken at."""

import asyncio
from collections import deque

from remediation_orchestrator.events import StoredMessage

# Two rounds' worth: reading goes on while a round is stored, and no further.
INBOX_MAX = 2_000


class Inbox:
    """A bounded queue of messages. Whoever waits at it can also be woken for other reasons."""

    def __init__(self) -> None:
        self._messages: deque[StoredMessage] = deque()
        self._woken = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def put(self, message: StoredMessage) -> None:
        """Add a message, as soon as there is room."""
        if len(self._messages) >= INBOX_MAX:
            self._room.clear()
            await self._room.wait()
        self._messages.append(message)
        self._woken.set()

    def take(self, most: int) -> list[StoredMessage]:
        """Take what is there, so many at most."""
        taken = [self._messages.popleft() for _ in range(min(most, len(self._messages)))]
        self._room.set()
        return taken

    def wake(self) -> None:
        """Wake whoever waits."""
        self._woken.set()

    async def wait(self, seconds: float | None) -> None:
        """Return when a message is there, when woken, or when the time is up."""
        if not self._messages and (seconds is None or seconds > 0):
            try:
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            except TimeoutError:
                pass
        self._woken.clear()
