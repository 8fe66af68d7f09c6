"""Store the bodies of one source, each once, in frames of what is waiting. The log is the only memory.

The rule. A frame is appended with the sequence of the last record of its subject that this door has read, and
is refused by whoever stores where another record stands there. After a refusal, and after an answer that did not
come, the door reads what it has not read: its own frame is known there by its bytes, and another door's bodies by
what their events say; only what is not there is appended, expecting the new last record. A body that is larger
than a frame is several, stored together or not at all. So a body is stored once by however many doors, whatever is
killed in between and however bodies are gathered, for as long as the window is, counted from when it was stored;
unless another body about one of its problems was stored after it: then it is news, and stored again."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from remediation_orchestrator.bus.port import EventLog, LogError, StaleWriteError, UnknownOutcomeError
from remediation_orchestrator.events import StoredMessage, subjects
from remediation_orchestrator.events.stored import EXPECTED

from .frames import Digest, StoredBody, bodies_in, fits, frames_of
from .known import BodyPlace, KnownBodies

# Alertmanager tries a notification again for as long as its group interval, five minutes by default; and within
# the default cooldown of five minutes the repetition of a signal could start nothing.
WINDOW = timedelta(minutes=5)
# What waits is answered within seconds or refused; more than this is better kept by its sender.
WAITING_BYTES_MAX = 32 * 1024 * 1024
# How long a frame is tried again; longer than its senders wait. Before each try the log is read to its end, so
# only other doors' appends, or a log that comes and goes, use it up.
COMMIT_SECONDS = 10.0


class BusyError(Exception):
    """More bodies are waiting than the door holds."""


class Stored(Struct, frozen=True):
    """The answer to a body: where it stands, and whether it stood there before it came."""

    place: BodyPlace
    duplicate: bool


class _Waiting(Struct, eq=False):
    body: StoredBody
    answer: "asyncio.Future[Stored]"


class _Append(Struct):
    """A batch of bodies on its way into the log, and the messages that it is."""

    batch: Sequence[_Waiting]
    frames: list[bytes]


class Intake:
    """What one source sends. `run` stores it; `store` waits for that."""

    def __init__(self, log: EventLog, source: str, *, window: timedelta = WINDOW) -> None:
        self.source = source
        self.subject = subjects.signal(log.cell, source)
        self._log = log
        self._window = window
        self._known = KnownBodies()
        self._waiting: deque[_Waiting] = deque()
        self._by_digest: dict[Digest, _Waiting] = {}
        self._by_problem: dict[Digest, _Waiting] = {}
        """Of what waits, the last with a digest, and the last about a problem."""
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._last = 0  # The last record on the subject that was read, and its digest.
        self._digest = b""
        self._is_read = False  # Whether that is the last there is, as far as anybody knows.
        self._appending: _Append | None = None

    async def store(self, body: StoredBody) -> Stored:
        """Store a body, or find where it is stored. Raises LogError or BusyError: then it may be sent again."""
        waiting = self._by_digest.get(body.digest)
        if waiting is not None and all(self._by_problem.get(one) is waiting for one in body.problems):
            # The same body, twice at once, and nothing that overtakes the first.
            return Stored((await asyncio.shield(waiting.answer)).place, duplicate=True)
        if self._waiting_bytes + body.size > WAITING_BYTES_MAX:
            raise BusyError
        if self._known.find(body.digest) is not None:
            self._is_read = False  # Whether something has overtaken it is for the log to say.
        waiting = _Waiting(body, asyncio.get_running_loop().create_future())
        self._by_digest[body.digest] = waiting
        self._by_problem.update(dict.fromkeys(body.problems, waiting))
        self._waiting.append(waiting)
        self._waiting_bytes += body.size
        self._arrived.set()
        return await asyncio.shield(waiting.answer)

    async def run(self) -> None:
        """Store what is waiting, a frame at a time, for ever."""
        batch: list[_Waiting] = []
        try:
            while True:
                await self._arrived.wait()
                batch = self._gather()
                try:
                    await self._commit(batch)
                except LogError as error:
                    self._refuse(batch, error)
        finally:
            self._refuse([*batch, *self._waiting], UnknownOutcomeError("the door closes"))

    def _gather(self) -> list[_Waiting]:
        """Take from the front what fits in one message; what fits in none goes alone."""
        batch = [self._waiting.popleft()]
        size = batch[0].body.size
        while batch[0].body.fits and self._waiting and fits(size, self._waiting[0].body):
            batch.append(self._waiting.popleft())
            size += batch[-1].body.size
        if not self._waiting:
            self._arrived.clear()
        return batch

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        """Store a batch. When it returns, each body of it has its answer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + COMMIT_SECONDS
        try:
            while loop.time() < deadline:
                batch = await self._not_yet_stored(batch)
                if not batch:
                    return
                self._appending = _Append(batch, frames_of([one.body for one in batch]))
                frames = self._appending.frames
                try:
                    first = await self._log.append_in_a_row(self.subject, frames, expect=self._last)
                except (StaleWriteError, UnknownOutcomeError):
                    self._is_read = False  # It may be our own record that stands there.
                    continue
                self._stand_behind(first + len(frames) - 1, frames[-1])
                self._settle(batch, first)
                return
        finally:
            self._appending = None
        raise UnknownOutcomeError(f"{self.subject}: not stored within {COMMIT_SECONDS:g} s")

    async def _not_yet_stored(self, batch: Sequence[_Waiting]) -> Sequence[_Waiting]:
        """Make sure that the subject is read to its end, and answer what was found there.

        Also what was found for the batches before: another door may have stored what still waited here."""
        if not self._is_read:
            await self.catch_up()
        self._known.forget(asyncio.get_running_loop().time() - self._window.total_seconds())
        left: list[_Waiting] = []
        overtaken: set[Digest] = set()
        for one in batch:
            place = self._known.find(one.body.digest)
            if one.answer.done():
                continue
            if place is not None and overtaken.isdisjoint(one.body.problems):
                self._release(one, Stored(place, duplicate=True))
            else:
                left.append(one)
                overtaken |= one.body.problems
        return left

    def _settle(self, batch: Sequence[_Waiting], sequence: int) -> None:
        """Remember and answer what is stored from this message on."""
        now = asyncio.get_running_loop().time()
        first = 0
        for one in batch:
            parts = []
            for number, frame in enumerate(one.body.frames):
                parts.append((sequence + number, first if number == 0 else 0, len(frame)))
            first += len(one.body.frames[0])
            place = BodyPlace(tuple(parts), now)
            self._known.add(one.body.digest, place, one.body.problems)
            self._release(one, Stored(place, duplicate=False))

    def _release(self, waiting: _Waiting, answer: Stored | Exception) -> None:
        """Answer whoever waits for a body, and let go of it."""
        if self._by_digest.get(waiting.body.digest) is waiting:
            del self._by_digest[waiting.body.digest]
        for problem in waiting.body.problems:
            if self._by_problem.get(problem) is waiting:
                del self._by_problem[problem]
        self._waiting_bytes -= waiting.body.size
        if isinstance(answer, Stored):
            waiting.answer.set_result(answer)
        else:
            waiting.answer.set_exception(answer)
            waiting.answer.exception()  # Told here, in case that nobody waits any more.

    def _refuse(self, batch: Sequence[_Waiting], error: LogError) -> None:
        for one in batch:
            if not one.answer.done():
                self._release(one, error)

    async def catch_up(self) -> None:
        """Read the subject from where this door stands, or from where the window begins, to its end."""
        newest = await self._log.last(self.subject)
        await self._check_last()
        if newest is not None and newest.sequence > self._last:
            if _predecessor(newest) == self._last or self._is_old(newest):
                self._take(newest)  # One record by another door, or our own; or all of them are no news.
            else:
                await self._read_on()
        self._is_read = True

    async def _check_last(self) -> None:
        """See that the last record that was read is still there. What was archived stays known; where the log has
        lost it, nothing is known any more: a body that was stored may be lost, too."""
        if not self._last:
            return
        there = await self._log.at(self._last)
        if there is not None and _digest(there.payload) == self._digest:
            return
        if there is not None or await self._log.first_sequence() <= self._last:
            self._known = KnownBodies()
        self._stand_behind(0, b"")

    def _stand_behind(self, sequence: int, payload: bytes) -> None:
        self._last, self._digest = sequence, _digest(payload)

    async def _read_on(self) -> None:
        start = self._last + 1 if self._last else await self._before_window()
        async with aclosing(self._log.read(start)) as messages:
            async for message in messages:
                if message.subject == self.subject:
                    self._take(message)

    def _take(self, message: StoredMessage) -> None:
        """Remember the bodies of a message that was read, and that it was."""
        self._stand_behind(message.sequence, message.payload)
        if self._appending is not None and message.payload == self._appending.frames[0]:
            self._settle(self._appending.batch, message.sequence)  # Ours, and its answer was lost.
            self._appending = None
            return
        age = max((datetime.now(UTC) - message.recorded_at).total_seconds(), 0.0)
        since = asyncio.get_running_loop().time() - age
        for found in bodies_in(message):
            self._known.read(found, message.sequence, since)

    def _is_old(self, message: StoredMessage) -> bool:
        return message.recorded_at < datetime.now(UTC) - self._window

    async def _before_window(self) -> int:
        """A sequence at or before the first record that is younger than the window, found by halving."""
        begin = datetime.now(UTC) - self._window
        low, high = await self._log.first_sequence(), await self._log.last_sequence()
        while low < high:
            middle = (low + high) // 2
            found = await self._at(middle)
            if found is None or found.recorded_at >= begin:
                high = middle
            else:
                low = middle + 1
        return low

    async def _at(self, sequence: int) -> StoredMessage | None:
        async with aclosing(self._log.read(sequence)) as messages:
            async for message in messages:
                return message
        return None


def _digest(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()


def _predecessor(message: StoredMessage) -> int | None:
    """The last record on the subject before this one, where its writer demanded one."""
    expected = (message.headers or {}).get(EXPECTED, "")
    return int(expected) if expected.isdecimal() else None
