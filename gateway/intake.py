"""Store the bodies of one source, each once, in frames of what is waiting. The log is the only memory.

The rule. A frame is appended with the sequence of the last record of its subject that this door has read, and
is refused by whoever stores where another record stands there. After a refusal, and after an answer that did not
come, the door reads what it has not read and looks whether the bodies in its hands are there; only those that are
not are appended, expecting the new last record. So a body is stored once by however many doors, whatever is killed
in between and however bodies are gathered: for as long as the window is, counted from when it was stored."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from remediation_orchestrator.bus.port import EventLog, LogError, StaleWriteError, UnknownOutcomeError
from remediation_orchestrator.bus.storing import EXPECTED
from remediation_orchestrator.events import Position, StoredMessage, subjects
from remediation_orchestrator.events.identity import position

from .frames import Body, Digest, bodies_in, fits, frame_of

# Alertmanager tries a notification again for as long as its group interval, five minutes by default; and within
# the default cooldown of five minutes the repetition of a signal could start nothing.
WINDOW = timedelta(minutes=5)
# About 100 MB: at 800 bodies a second the whole window. Beyond that the oldest are forgotten first.
BODIES_MAX = 250_000
# What waits is answered within seconds or refused; more than this is better kept by its sender.
WAITING_BYTES_MAX = 32 * 1024 * 1024
# How long a frame is tried again; longer than its senders wait. Before each try the log is read to its end, so
# only other doors' appends, or a log that comes and goes, use it up.
COMMIT_SECONDS = 10.0


class BusyError(Exception):
    """More bodies are waiting than the door holds."""


class Place(Struct, frozen=True, gc=False):
    """Where a body stands: its message, the index of its first event, how many they are, and since when."""

    sequence: int
    first: int
    events: int
    since: float

    def positions(self) -> list[Position]:
        """The position of each of its events."""
        return [position(self.sequence, self.first + index) for index in range(self.events)]


class Stored(Struct, frozen=True):
    """The answer to a body: where it stands, and whether it stood there before it came."""

    place: Place
    duplicate: bool


class _Waiting(Struct, eq=False):
    body: Body
    answer: "asyncio.Future[Stored]"


class Intake:
    """What one source sends. `run` stores it; `store` waits for that."""

    def __init__(self, log: EventLog, source: str, *, window: timedelta = WINDOW) -> None:
        self.source = source
        self.subject = subjects.signal(log.cell, source)
        self.frames = 0
        self._log = log
        self._window = window
        self._places: dict[Digest, Place] = {}
        self._waiting: deque[_Waiting] = deque()
        self._by_digest: dict[Digest, _Waiting] = {}
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._last = 0  # The last record on the subject that was read.
        self._is_read = False  # Whether that is the last there is, as far as anybody knows.

    async def store(self, body: Body) -> Stored:
        """Store a body, or find where it is stored. Raises LogError or BusyError: then it may be sent again."""
        self._forget()
        place = self._places.get(body.digest)
        if place is not None:
            return Stored(place, duplicate=True)
        waiting = self._by_digest.get(body.digest)
        if waiting is not None:  # The same body, twice at once.
            return Stored((await asyncio.shield(waiting.answer)).place, duplicate=True)
        if self._waiting_bytes + body.size > WAITING_BYTES_MAX:
            raise BusyError
        waiting = _Waiting(body, asyncio.get_running_loop().create_future())
        self._by_digest[body.digest] = waiting
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
        """Take from the front what fits in one message."""
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and fits(size, self._waiting[0].body):
            batch.append(self._waiting.popleft())
            size += batch[-1].body.size
        if not self._waiting:
            self._arrived.clear()
        return batch

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        """Store a batch. When it returns, each body of it has its answer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + COMMIT_SECONDS
        while loop.time() < deadline:
            batch = await self._not_yet_stored(batch)
            if not batch:
                return
            payload = frame_of([one.body for one in batch])
            try:
                sequence = await self._log.append(self.subject, payload, expect=self._last)
            except (StaleWriteError, UnknownOutcomeError):
                self._is_read = False  # It may be our own record that stands there.
                continue
            self._settle(batch, sequence)
            return
        raise UnknownOutcomeError(f"{self.subject}: not stored within {COMMIT_SECONDS:g} s")

    async def _not_yet_stored(self, batch: Sequence[_Waiting]) -> Sequence[_Waiting]:
        """Make sure that the subject is read to its end, and answer what was found there.

        Also what was found for the batches before: another door may have stored what still waited here."""
        if not self._is_read:
            await self.catch_up()
            self._forget()
        for one in batch:
            place = self._places.get(one.body.digest)
            if place is not None:
                self._release(one, Stored(place, duplicate=True))
        return [one for one in batch if not one.answer.done()]

    def _settle(self, batch: Sequence[_Waiting], sequence: int) -> None:
        """Remember and answer what is stored."""
        self.frames += 1
        self._last = sequence
        now = asyncio.get_running_loop().time()
        first = 0
        for one in batch:
            place = Place(sequence, first, len(one.body.events), now)
            first += place.events
            self._places[one.body.digest] = place
            self._release(one, Stored(place, duplicate=False))

    def _release(self, waiting: _Waiting, answer: Stored | Exception) -> None:
        """Answer whoever waits for a body, and let go of it."""
        del self._by_digest[waiting.body.digest]
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
        if newest is not None and newest.sequence > self._last:
            if _predecessor(newest) == self._last or self._is_old(newest):
                self._take(newest)  # One record by another door, or our own; or all of them are no news.
            else:
                await self._read_on()
        self._is_read = True

    async def _read_on(self) -> None:
        start = self._last + 1 if self._last else await self._before_window()
        async with aclosing(self._log.read(start)) as messages:  # type: ignore[type-var]
            async for message in messages:
                if message.subject == self.subject:
                    self._take(message)

    def _take(self, message: StoredMessage) -> None:
        """Remember the bodies of a message that was read, and that it was."""
        self._last = message.sequence
        age = max((datetime.now(UTC) - message.recorded_at).total_seconds(), 0.0)
        since = asyncio.get_running_loop().time() - age
        for found in bodies_in(message):
            self._places[found.digest] = Place(message.sequence, found.first, found.events, since)

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
        async with aclosing(self._log.read(sequence)) as messages:  # type: ignore[type-var]
            async for message in messages:
                return message
        return None

    def _forget(self) -> None:
        """Let go of the bodies that are older than the window, or too many."""
        begin = asyncio.get_running_loop().time() - self._window.total_seconds()
        while self._places:
            digest = next(iter(self._places))
            if self._places[digest].since >= begin and len(self._places) <= BODIES_MAX:
                return
            del self._places[digest]


def _predecessor(message: StoredMessage) -> int | None:
    """The last record on the subject before this one, where its writer demanded one."""
    expected = (message.headers or {}).get(EXPECTED, "")
    return int(expected) if expected.isdecimal() else None
