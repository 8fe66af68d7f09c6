"""Accept connections, and rest where the machine has none to give.

asyncio's own way takes a full table of files for news two thousand times a second, and logs each."""

import asyncio
import errno
import logging
import os
import resource
import socket
from collections.abc import Callable

log = logging.getLogger(__name__)

# So many a turn, so that those who are connected already are served in between.
ACCEPTS_A_TURN = 32
REST_SECONDS = 0.5
# Who is at a bound stays there for a while, and says so once.
SAY_SECONDS = 60.0
# Beyond these a machine has other worries than this process's files.
CONNECTIONS_MAX = 4_096
# For what was accepted and is not counted yet, and for all else that a process opens while it serves.
FILES_RESERVED = 4 * ACCEPTS_A_TURN
_NONE_TO_GIVE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def connections_that_fit() -> int:
    """How many connections this process may hold, by its limit of open files and by what it has open now."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    try:
        open_now = len(os.listdir("/dev/fd"))
    except OSError:
        open_now = FILES_RESERVED
    return max(1, min(CONNECTIONS_MAX, limit - open_now - FILES_RESERVED))


class Saying:
    """Says a thing once, and then once a minute how often it was meanwhile."""

    def __init__(self, event: str, **fields: object) -> None:
        self._event = event
        self._fields = fields
        self._times = 0
        self._next = 0.0

    def __call__(self) -> None:
        """It is so once more."""
        self._times += 1
        now = asyncio.get_running_loop().time()
        if now >= self._next:
            log.warning(self._event, extra={**self._fields, "times": self._times})
            self._times, self._next = 0, now + SAY_SECONDS


class Acceptor:
    """Gives every connection that comes a protocol of its own."""

    def __init__(
        self, listening: socket.socket, make: Callable[[], asyncio.Protocol], make_room: Callable[[], bool]
    ) -> None:
        self._listening = listening
        self._make = make
        self._make_room = make_room
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[object]] = set()
        self._resting: asyncio.TimerHandle | None = None
        self._no_files = Saying("no more files to accept connections with")

    def start(self) -> None:
        """From now on accept."""
        self._resting = None
        self._listening.setblocking(False)
        self._loop.add_reader(self._listening, self._accept)

    def stop(self) -> None:
        """Accept no more, and give the address back."""
        self._loop.remove_reader(self._listening)
        self._listening.close()
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None

    def _accept(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _NONE_TO_GIVE:
                    self._rest()
                    return
                continue  # It has gone before it was taken.
            accepted.setblocking(False)
            task: asyncio.Task[object] = self._loop.create_task(
                self._loop.connect_accepted_socket(self._make, accepted)
            )
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def _rest(self) -> None:
        """Others than we have taken the files: make room, and come back."""
        self._no_files()
        self._make_room()
        self._loop.remove_reader(self._listening)
        self._resting = self._loop.call_later(REST_SECONDS, self.start)
