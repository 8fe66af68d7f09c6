"""The guard of the log's limit: it is shut for signals before it is full, so that what runs can end.

What is in the log already is still to be answered, which may take many times its own room. So the guard counts as
used what those answers will take if they are as large as those before them."""

import asyncio
import logging

from remediation_orchestrator.bus.port import FULL, EventLog, LogError, Room

log = logging.getLogger(__name__)

ROOM = 0.80
"""At which share of its limit a log that was full takes signals again."""
# While frame follows frame it is looked at so often; at what a broker stores in that time, a few megabytes.
BUSY_SECONDS = 0.25


# Beside its decision in a frame, a message may be owed a command of about the same size.
ANSWER_FACTOR = 2


class FillWatch:
    """How full the log is, looked at now and then, and more often while much is stored."""

    def __init__(self, log_: EventLog, every: float) -> None:
        """`every` is in seconds: how often it is looked at where nothing is stored."""
        self._log = log_
        self._every = every
        self._due = 0.0
        self._stored = 0
        self._refused = 0
        """Bytes of the frame that is tried and for which there was no room."""
        self._answered = 0
        """What was stored, and how far the log was answered, when the mean was taken."""
        self._mean = 0.0
        """Bytes of frames for a message."""

    def stored(self, payload: bytes) -> None:
        """A frame was stored."""
        self._stored += len(payload)
        self._refused = 0

    async def refused(self, payload: bytes, answered: int) -> None:
        """There was no room for a frame: what it needs is not for signals, whatever else there is room for."""
        self._refused = len(payload)
        await self.watch(answered, busy=True)

    async def watch(self, answered: int, *, busy: bool = False) -> None:
        """Shut the log for signals, or open it, where it is time to look. `answered` is how far it is."""
        moment = asyncio.get_running_loop().time()
        if moment < self._due - (self._every - min(BUSY_SECONDS, self._every) if busy else 0.0):
            return
        self._due = moment + self._every
        try:
            await self._look(answered)
        except LogError as error:
            log.warning("the log's fill is not known", extra={"why": str(error)})

    async def _look(self, answered: int) -> None:
        room = await self._log.room()
        owed = self._owed(room, answered)
        wanted = room.fill + owed < (FULL if room.takes_signals else ROOM)
        if wanted != room.takes_signals:
            await self._log.take_signals(enabled=wanted)
            extra = {"fill": room.fill, "owed": owed}
            log.warning("the log takes signals" if wanted else "the log is full", extra=extra)

    def _owed(self, room: Room, answered: int) -> float:
        """The share of the limit that the answers to what is there already will take."""
        if self._answered < answered:
            self._mean = self._stored / (answered - self._answered) if self._answered else 0.0
            self._stored, self._answered = 0, answered
        if room.limit is None:
            return 0.0
        owed = ANSWER_FACTOR * self._mean * (room.last - answered)
        return max(owed, self._refused) / room.limit
