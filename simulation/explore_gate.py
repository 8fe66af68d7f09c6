"""Choices at the ports: each call of a process waits here, and whoever runs the world says which goes next.

Between two calls a process is deterministic. So a state of the world is its log and what each process was answered
until now, and a world can be lived through again from its choices alone."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

from .clock import VirtualLoop, _Selector


class CallKind(StrEnum):
    """What a call is about; it decides what may go wrong with it and what it commutes with."""

    READ = "reads"
    """Takes the next record of the log: it changes nothing for anybody else."""
    ASK = "asks for"
    APPEND = "appends"
    LEASE = "asks for the lease"
    PULL = "takes"
    ACK = "answers"
    BEGIN = "begins"
    """A script is about to touch its target."""


class How(StrEnum):
    """How a call goes. What is not done is a departure from the schedule, and a fault."""

    DONE = "done"
    LOSE = "lose"
    """It is done, and its answer is lost."""
    DROP = "drop"
    """It is not done, and nobody says so."""
    LATE = "late"
    """No answer comes, and it is done later, when nobody expects it any more."""


WRITES = frozenset({CallKind.APPEND, CallKind.LEASE, CallKind.ACK, CallKind.BEGIN})
"""What others can tell from a process's life: between two of these it does not matter when it dies."""


@dataclass(eq=False)
class Actor:
    """A process as the scheduler sees it."""

    name: str
    rank: int
    lapse: float
    """How long it must be paused for others to take over from it, in seconds; 0 for whoever is never paused."""
    crash: Callable[[], None]
    crashes: bool = True
    stop: Callable[[], None] | None = None
    """Has it end cleanly, as by SIGTERM."""
    dead: bool = False
    paused: bool = False
    history: "blake2b" = field(default_factory=lambda: blake2b(digest_size=12))
    _running: asyncio.Event = field(default_factory=asyncio.Event)

    def pause(self) -> None:
        """Stop it, as by SIGSTOP."""
        self.paused = True
        self._running.clear()

    def go_on(self) -> None:
        """Let it go on where it was stopped."""
        self.paused = False
        self._running.set()

    async def runs(self) -> None:
        """Return as soon as it is not paused; never for a dead one."""
        while self.dead:
            await asyncio.Event().wait()
        while self.paused:
            await self._running.wait()

    def answered(self, *what: object) -> None:
        """Something that it may tell its future by."""
        self.history.update(repr(what).encode())


@dataclass(eq=False)
class Call:
    """One call that waits."""

    actor: Actor
    kind: CallKind
    about: str
    possible: Callable[[], bool]
    seen: Callable[[], object]
    """What the answer depends on beside the call itself."""
    going: "asyncio.Future[How]"

    def __str__(self) -> str:
        return f"{self.actor.name} {self.kind} {self.about}".rstrip()


def _always() -> bool:
    return True


def _nothing() -> object:
    return None


class Gate:
    """Where calls wait. `idle` is asked whenever no process can go on by itself."""

    def __init__(self) -> None:
        self.waiting: list[Call] = []

    async def call(
        self,
        actor: Actor,
        kind: CallKind,
        about: str = "",
        *,
        possible: Callable[[], bool] = _always,
        seen: Callable[[], object] = _nothing,
    ) -> How:
        """Wait to be let through."""
        await actor.runs()
        call = Call(actor, kind, about, possible, seen, asyncio.get_running_loop().create_future())
        self.waiting.append(call)
        try:
            return await call.going
        finally:
            if call in self.waiting:
                self.waiting.remove(call)

    def let(self, call: Call, how: How) -> None:
        """Let a call through."""
        self.waiting.remove(call)
        moment = round(asyncio.get_running_loop().time(), 6)
        call.actor.answered(call.kind, call.about, how, call.seen(), moment)
        call.going.set_result(how)

    def possible(self) -> list[Call]:
        """The calls that could go on now, in an order that says nothing about when they came."""
        calls = [one for one in self.waiting if not one.actor.paused and not one.actor.dead and one.possible()]
        return sorted(calls, key=lambda one: one.actor.rank)


class _ChoosingSelector(_Selector):
    """Before time passes, whoever chooses is asked."""

    def __init__(self, idle: Callable[[], bool]) -> None:
        super().__init__()
        self._idle = idle

    def select(self, timeout: float | None) -> list[object]:
        """Let somebody go on, or time pass."""
        if timeout == 0 or self._idle():
            return []
        return super().select(timeout)


class ChoosingLoop(VirtualLoop):
    """A virtual loop on which time passes only where nobody is let through."""

    def __init__(self, idle: Callable[[], bool]) -> None:
        super().__init__()
        self._selector = _ChoosingSelector(idle)
