"""A log that loses appends and answers when it is told to, and deliveries of commands on it."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from remediation_orchestrator.bus.port import LogError, Room, StaleWriteError
from remediation_orchestrator.events import CellName, Event, Recorded, StoredMessage, decode
from remediation_orchestrator.events.stored import EXPECTED

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
SUBJECT = "ro.main.execution.wfe-1"
COMMAND = "ro.main.command.workflow.wfe-1"
FENCED = {EXPECTED: "0"}


class FaultyLog:
    """A log that can be told to lose an append or its answer. `faults` are taken one an append."""

    cell = CellName("main")
    identity = "00000000"

    def __init__(self) -> None:
        self.stored: list[StoredMessage] = []
        self.faults: list[tuple[LogError, bool]] = []

    async def append(
        self, subject: str, payload: bytes, *, expect: int | None = None, message_id: str | None = None
    ) -> int:
        """Store it if the expectation holds, unless a fault says otherwise."""
        await asyncio.sleep(0)
        error, stores = self.faults.pop(0) if self.faults else (None, True)
        last = await self.last(subject)
        found = last.sequence if last else 0
        if stores:
            if expect is not None and expect != found:
                raise StaleWriteError(subject, expect, found)
            headers = None if expect is None else {EXPECTED: str(expect)}
            self.stored.append(StoredMessage(len(self.stored) + 1, NOW, subject, payload, headers))
        if error:
            raise error
        return len(self.stored)

    async def last(self, subject: str) -> StoredMessage | None:
        """The newest message on a subject."""
        return next((one for one in reversed(self.stored) if one.subject == subject), None)

    async def next_on(self, subject: str, after: int) -> StoredMessage | None:
        """The first message on a subject behind a sequence."""
        return next((one for one in self.stored if one.subject == subject and one.sequence > after), None)

    async def behind(self, subject: str, after: int) -> list[StoredMessage]:
        """All messages on a subject behind a sequence."""
        return [one for one in self.stored if one.subject == subject and one.sequence > after]

    async def read(self, start: int = 1, *, follow: bool = False) -> AsyncGenerator[StoredMessage, None]:
        """Every message."""
        for one in self.stored[start - 1 :]:
            yield one

    async def last_sequence(self) -> int:
        """How many there are."""
        return len(self.stored)

    async def first_sequence(self) -> int:
        """Always the first."""
        return 1

    async def room(self) -> Room:
        """It has no limit, and takes everything."""
        return Room(0.0, None, takes_signals=True, last=len(self.stored))

    async def take_signals(self, *, enabled: bool) -> None:
        """It takes everything."""

    def facts(self) -> list[Event]:
        """What was told on the execution's subject."""
        found = [one for message in self.stored if message.subject == SUBJECT for one in decode(message)]
        return [one.event for one in found if isinstance(one, Recorded)]


class Delivered:
    """A delivery that counts what is said to the broker."""

    def __init__(
        self,
        payload: bytes,
        *,
        number: int = 1,
        sequence: int = 41,
        recorded_at: datetime = NOW,
        subject: str = COMMAND,
        headers: dict[str, str] | None = FENCED,
    ) -> None:
        self.command = StoredMessage(sequence, recorded_at, subject, payload, headers)
        self.number = number
        self.confirmed = 0
        self.acknowledged = 0
        self.passed_on: list[float] = []

    async def confirm(self) -> None:
        """The broker answers, whoever has the command now."""
        self.confirmed += 1

    async def acknowledge(self) -> None:
        """Once is right."""
        self.acknowledged += 1

    async def pass_on(self, seconds: float) -> None:
        """To somebody else, after so long."""
        self.passed_on.append(seconds)
