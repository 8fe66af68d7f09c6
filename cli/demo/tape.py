"""The tape of `ro demo`: it follows the log and lets the story wait for facts of it, by their identity.

What does not come in time is a broken promise of the demo, never something to pass over."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import msgspec

from remediation_orchestrator.bus.behind import append_behind
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import (
    ExecutionId,
    PhaseChanged,
    PolicyAdopted,
    Position,
    Recorded,
    RemediationId,
    RoutingDecided,
    SignalReceived,
    SignalResolved,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    decode,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes, source
from remediation_orchestrator.events.identity import position

T = TypeVar("T")

# The block takes twenty seconds, everything else less than one; a busy machine gets more.
PATIENCE_SECONDS = 30.0


class StoryError(Exception):
    """Something that the demo promises was not seen. The message is one line."""


class Tape:
    """All records of a log so far, and a place to wait for the next."""

    def __init__(self, log: JetStreamLog) -> None:
        self._log = log
        self._records: list[Recorded] = []
        self._grown = asyncio.Event()

    async def follow(self) -> None:
        """Read the log for ever."""
        async for message in self._log.read(follow=True):
            self._records += [one for one in decode(message) if isinstance(one, Recorded)]
            self._grown.set()

    async def verdict(self, signal: Position, attempt: int) -> tuple[Recorded, RoutingDecided]:
        """Wait for a verdict; signal and attempt together are unique in a log."""

        def asked_for(event: object) -> RoutingDecided | None:
            if isinstance(event, RoutingDecided) and (event.signal, event.attempt) == (signal, attempt):
                return event
            return None

        return await self._wait(asked_for, f"verdict {attempt} on the signal at {signal}")

    async def start(self, execution: ExecutionId) -> Recorded:
        """Wait until a run has begun."""

        def asked_for(event: object) -> WorkflowStarted | None:
            return event if isinstance(event, WorkflowStarted) and event.execution == execution else None

        return (await self._wait(asked_for, f"the start of {execution}"))[0]

    async def end(self, execution: ExecutionId) -> tuple[Recorded, WorkflowCompleted | WorkflowFailed]:
        """Wait until a run has ended, well or badly."""

        def asked_for(event: object) -> WorkflowCompleted | WorkflowFailed | None:
            if isinstance(event, WorkflowCompleted | WorkflowFailed) and event.execution == execution:
                return event
            return None

        return await self._wait(asked_for, f"the end of {execution}")

    async def change(self, remediation: RemediationId, phase: str) -> tuple[Recorded, PhaseChanged]:
        """Wait for a remediation to be said to be in a phase."""

        def asked_for(event: object) -> PhaseChanged | None:
            if isinstance(event, PhaseChanged) and (event.remediation, event.phase) == (remediation, phase):
                return event
            return None

        return await self._wait(asked_for, f"{remediation} {phase}")

    async def publish(self, signal: SignalReceived | SignalResolved) -> Position:
        """Publish a bare signal and return where it stands."""
        subject = subjects.signal(self._log.cell, "alertmanager")
        return position(await self._log.append(subject, msgspec.json.encode(signal)))

    async def adopt(self, fact: PolicyAdopted, now: datetime) -> Position:
        """Let an operator adopt a policy."""
        attributes = Attributes(id="adopt", source=source(self._log.cell, "operator/demo"), time=now)
        subject = subjects.operator(self._log.cell, fact)
        return position(await append_behind(self._log, subject, encode(fact, attributes), message_id="adopt"))

    async def _wait(self, asked_for: Callable[[object], T | None], what: str) -> tuple[Recorded, T]:
        seen = 0
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    self._grown.clear()
                    for record in self._records[seen:]:
                        found = asked_for(record.event)
                        if found is not None:
                            return record, found
                    seen = len(self._records)
                    await self._grown.wait()
        except TimeoutError:
            raise StoryError(f"not seen within {PATIENCE_SECONDS:.0f} s: {what}") from None
