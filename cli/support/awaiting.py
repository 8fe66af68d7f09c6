"""Wait for the decision that answers what an operator has said: only what an orchestrator has taken is done.

What is stored is taken once a frame covers it, and all that a frame covers is judged before anything else is. So
what has no verdict when everything has one came too late."""

import asyncio
import math
from contextlib import aclosing
from typing import Any

import click
import msgspec
from msgspec import Struct

from remediation_orchestrator.bus.port import EventLog, LogError, LogUnreachableError
from remediation_orchestrator.events import (
    Decision,
    PhaseChanged,
    PolicyRejected,
    Position,
    Recorded,
    RoutingDecided,
    decode,
)
from remediation_orchestrator.events.identity import position
from remediation_orchestrator.events.subjects import Family, parse
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.words import describe_decided

from .output import RefusedError

# An active orchestrator answers within milliseconds, one that takes over within two seconds.
ANSWER_SECONDS = 10.0
# A broker that is there answers within milliseconds; a person waits for the line.
THERE_SECONDS = 2.0


class _Seconds(click.FloatRange):
    """Seconds within its bounds; what is no number is within none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is no number of seconds", param, ctx)
        return seconds


# How long a verb waits for an answer: a day at most.
SECONDS = _Seconds(min=0.1, max=86_400)


class UndecidedError(LogUnreachableError):
    """It is stored, and nobody has decided on it."""


class Answer(Struct, frozen=True):
    """A decision that followed from what was said."""

    position: Position
    type: str
    decision: Decision

    def line(self) -> str:
        """The decision, for people."""
        match self.decision:
            case RoutingDecided(remediation=remediation) as decided:
                what = describe_decided(decided)
            case PhaseChanged(remediation=remediation, phase=phase):
                what = phase
            case _:
                return f"{self.position}: {self.type}"
        return f"{self.position}: {what} ({remediation})"

    def document(self) -> dict[str, Any]:
        """The decision, for programs."""
        return {"position": self.position, "type": f"{self.type}.v1", "data": msgspec.to_builtins(self.decision)}


async def answers(log: EventLog, fold: Fold, stored: int, seconds: float, *, asks: bool = True) -> list[Answer]:
    """The decisions that answer the fact at a sequence. `fold` has read the log up to before it.

    Raises UndecidedError where nobody has taken it in that time, and RefusedError where it was taken and came to
    nothing: with `asks`, one that fits is answered."""
    place, found = position(stored), list[Answer]()
    try:
        async with (
            asyncio.timeout(seconds),
            aclosing(log.read(fold.read + 1, follow=True)) as messages,
        ):
            async for message in messages:
                fold.take(message)
                if parse(message.subject).family is not Family.DECISION:
                    continue
                found += [one for record in decode(message) if (one := _answer(record, place)) is not None]
                if fold.chain.covered >= stored and (found or not asks or _is_at_rest(fold)):
                    break
    except TimeoutError as error:
        raise UndecidedError(f"{place}: recorded, and {await _why_late(log, seconds)}") from error
    for one in found:
        if isinstance(one.decision, PolicyRejected):
            raise RefusedError(f"{place}: refused at {one.position}: {one.decision.message}")
    if asks and not found:
        raise RefusedError(f"{place}: recorded, and it came too late: nothing follows from it")
    return found


async def _why_late(log: EventLog, seconds: float) -> str:
    """Why no decision was seen: where the broker is away, there may be one."""
    try:
        async with asyncio.timeout(THERE_SECONDS):
            await log.last_sequence()
    except (TimeoutError, LogError):
        return "the broker does not answer any more: whether it has been decided on is not known"
    return f"no orchestrator has decided on it within {seconds:g} s: it takes effect as soon as one does"


def _is_at_rest(fold: Fold) -> bool:
    return not fold.view.tasks and not fold.view.unjudged


def _answer(record: object, place: Position) -> Answer | None:
    if not isinstance(record, Recorded):
        return None
    event = record.event
    because = event.because.position if isinstance(event, RoutingDecided | PhaseChanged) else None
    about = event.position if isinstance(event, PolicyRejected) else because
    if about != place:
        return None
    return Answer(record.position, type(event).__name__, event)  # type: ignore[arg-type]  # It is one of these.
