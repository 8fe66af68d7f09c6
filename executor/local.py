"""Engines whose runs live and die in this process. Whoever is kept from looking at one to its end ends it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from remediation_orchestrator.events import ExecutionId

from .engine import Absent, Ended, Run, RunOutcome, Sight, Stop

Perform = Callable[[Run, Stop], Awaitable[RunOutcome]]
"""Does what a run is, to its end, or until it is wished to stop."""


@dataclass
class _Begun:
    task: asyncio.Future[RunOutcome]
    stop: Stop


class LocalEngine:
    """An engine made of what performs a run here: at most once, for no other process finds it."""

    def __init__(self, perform: Perform) -> None:
        self._perform = perform
        self._begun: dict[ExecutionId, _Begun] = {}

    async def begin(self, run: Run) -> None:
        """Begin it, or find that it has begun here."""
        if run.execution not in self._begun:
            stop = Stop()
            self._begun[run.execution] = _Begun(asyncio.ensure_future(self._perform(run, stop)), stop)

    async def look(self, run: Run) -> Sight:
        """Wait for its end. Whoever waits and is cancelled takes the run along: nobody would tell how it ends."""
        begun = self._begun.get(run.execution)
        return Absent() if begun is None else Ended(await begun.task)

    async def cancel(self, run: Run, reason: str) -> None:
        """Wish that it ends."""
        begun = self._begun.get(run.execution)
        if begun is not None:
            begun.stop.wish(reason)

    async def forget(self, run: Run) -> None:
        """Know nothing of it any more."""
        self._begun.pop(run.execution, None)
