"""Appending frames: each behind the last one, or not at all, and within the log's limit.

The log is shut for signals before it is full, so that what runs can end. What is in it already is still to be
answered, which may take many times its own room. So what those answers will take counts as used, as if they were
as large as those before them."""

import asyncio
import logging
from collections.abc import Callable

from remediation_orchestrator.bus.port import (
    FULL,
    EventLog,
    LogError,
    LogFullError,
    Room,
    StaleWriteError,
    TooLargeError,
)
from remediation_orchestrator.events import subjects
from remediation_orchestrator.events.codec import head_of

from .breath import Breath
from .inbox import Inbox
from .routing.chain import Chain

log = logging.getLogger(__name__)

ROOM = 0.80
"""At which share of its limit a log that was full takes signals again."""
# While frame follows frame it is looked at so often; at what a broker stores in that time, a few megabytes.
BUSY_SECONDS = 0.25
# Beside its decision in a frame, a message may be owed a command of about the same size.
ANSWER_FACTOR = 2
RETRY_SECONDS = 0.25


class FencedError(Exception):
    """Another orchestrator is active, or is about to be: stand by."""


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


class FrameAppender:
    """Appends one leader's frames, whatever others have left on the decision subject."""

    def __init__(
        self, log: EventLog, chain: Chain, inbox: Inbox, check_resigned: Callable[[], None], fill: float
    ) -> None:
        """`check_resigned` raises where this is the leader no more; `fill` says how often to look at the fill."""
        self._log = log
        self._chain = chain
        self._inbox = inbox
        self._check_resigned = check_resigned
        self._subject = subjects.decision(log.cell)
        self._breath = Breath()
        self.fill = FillWatch(log, fill)
        self.unstored: str | None = None
        """Why the frame under way is not stored yet."""

    async def append(self, payload: bytes) -> int:
        """Append a frame, whatever becomes of the answers: the same expectation admits it once."""
        expect = self._chain.last
        while True:
            try:
                return self._stored(payload, await self._log.append(self._subject, payload, expect=expect))
            except StaleWriteError as conflict:
                found, is_ours = await self._walk(expect, payload, conflict)
                if is_ours:
                    return self._stored(payload, found)
                if found == expect:
                    await self._check_still_there(expect)
                expect = found
            except TooLargeError:
                raise
            except LogFullError as error:
                await self.fill.refused(payload, self._chain.as_of)
                await self._bear(error)
            except LogError as error:
                await self._bear(error)

    async def _walk(self, expect: int, payload: bytes, conflict: StaleWriteError) -> tuple[int, bool]:
        """Return what stands behind a record of the decision subject: junk up to a sequence, or our frame, at one.

        Junk deposes nobody. Raises the conflict where another's frame stands there. It is read as far as the
        broker has told, and much at once: whoever floods the subject is to be overtaken."""
        while conflict.last is None or expect < conflict.last:
            try:
                messages = await self._log.behind(self._subject, expect)
            except LogError as error:
                await self._bear(error)
                continue
            if not messages:
                break
            for message in messages:
                if head_of(message) is not None:
                    if message.payload != payload:
                        raise conflict
                    return message.sequence, True  # Stored, although its append was not answered.
                expect = message.sequence
                await self._breath.draw()
        return expect, False

    async def _check_still_there(self, sequence: int) -> None:
        """Refused, and nothing stands behind what was expected. Raises FencedError where that is gone.

        Where it is there, the broker has refused what it will take in a moment."""
        try:
            if sequence and await self._log.at(sequence) is None:
                raise FencedError(f"{self._subject}: the frame {sequence} is not there any more")
        except LogError as error:
            await self._bear(error)
        self._check_resigned()
        await asyncio.sleep(RETRY_SECONDS)

    async def _bear(self, error: LogError) -> None:
        """The broker could not do it: wait, unless the log is known to be gone."""
        if self._inbox.failure is not None:
            raise self._inbox.failure from error
        if self.unstored != str(error):  # Where it stays so it is said once.
            self.unstored = str(error)
            log.warning("a frame is not stored yet", extra={"why": self.unstored})
        await asyncio.sleep(RETRY_SECONDS)

    def _stored(self, payload: bytes, sequence: int) -> int:
        self.unstored = None
        self.fill.stored(payload)
        return sequence
