"""What has been read and not yet taken: bounded, and a place to be woken at."""

import asyncio
from collections import deque
from contextlib import suppress

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
        self._error: Exception | None = None

    def fail(self, error: Exception) -> None:
        """Reading has ended for good: whoever takes is told."""
        self._error = error
        self._woken.set()

    async def put(self, message: StoredMessage) -> None:
        """Add a message, as soon as there is room."""
        if len(self._messages) >= INBOX_MAX:
            self._room.clear()
            await self._room.wait()
        self._messages.append(message)
        self._woken.set()

    def take(self, most: int) -> list[StoredMessage]:
        """Take what is there, so many at most. Raises the error that has ended the reading."""
        if self._error is not None and not self._messages:
            raise self._error
        taken = [self._messages.popleft() for _ in range(min(most, len(self._messages)))]
        self._room.set()
        return taken

    def wake(self) -> None:
        """Wake whoever waits."""
        self._woken.set()

    async def wait(self, seconds: float | None) -> None:
        """Return when a message is there, when woken, or when the time is up."""
        if self._messages or (seconds is not None and seconds <= 0):
            await asyncio.sleep(0)  # Others live here too.
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
        self._woken.clear()
