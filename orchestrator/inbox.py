"""What has been read and not yet taken: bounded, and a place to be woken at."""

import asyncio
from collections import deque
from contextlib import suppress

from remediation_orchestrator.events import StoredMessage

# Two rounds' worth: reading goes on while a round is stored, and no further.
INBOX_MAX = 2_000
# Of the largest facts only so many: what is read ahead is held in memory twice, here and by the reader.
INBOX_BYTES_MAX = 8 * 1024 * 1024


class Inbox:
    """A bounded queue of messages. Whoever waits at it can also be woken for other reasons."""

    def __init__(self) -> None:
        self._messages: deque[StoredMessage] = deque()
        self._bytes = 0
        self._woken = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._error: Exception | None = None

    def fail(self, error: Exception) -> None:
        """Reading has ended for good: whoever takes is told."""
        self._error = error
        self._woken.set()

    @property
    def failure(self) -> Exception | None:
        """What has ended the reading for good, if anything has."""
        return self._error

    @property
    def waiting(self) -> bool:
        """Whether a message is there."""
        return bool(self._messages)

    async def put(self, message: StoredMessage) -> None:
        """Add a message, as soon as there is room."""
        if len(self._messages) >= INBOX_MAX or self._bytes >= INBOX_BYTES_MAX:
            self._room.clear()
            await self._room.wait()
        self._messages.append(message)
        self._bytes += len(message.payload)
        self._woken.set()

    def next(self) -> StoredMessage | None:
        """Take the oldest, if one is there. Raises the error that has ended the reading."""
        if not self._messages:
            if self._error is not None:
                raise self._error
            return None
        message = self._messages.popleft()
        self._bytes -= len(message.payload)
        self._room.set()
        return message

    def wake(self) -> None:
        """Wake whoever waits."""
        self._woken.set()

    async def wait(self, seconds: float) -> None:
        """Return when a message is there, when woken, or when the time is up."""
        if self._messages or seconds <= 0:
            await asyncio.sleep(0)  # Others live here too.
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
        self._woken.clear()
