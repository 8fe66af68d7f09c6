"""What is decided: every signal, once, by numbers that a naive recount finds too."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from remediation_orchestrator.events import (
    Cause,
    Duplicate,
    Position,
    Proceed,
    Refuse,
    RoutingDecided,
    SignalReceived,
)
from remediation_orchestrator.simulation.course import recount

if TYPE_CHECKING:
    from remediation_orchestrator.simulation.world import Day


def check_one_chain_of_verdicts(day: "Day") -> Iterator[str]:
    """Every firing signal has a first verdict, and its attempts count on by one."""
    attempts: dict[Position, list[int]] = {}
    for record in day.records:
        match record.event:
            case SignalReceived():
                attempts[record.position] = []
            case RoutingDecided(signal=signal, attempt=attempt):
                attempts.setdefault(signal, []).append(attempt)
            case _:
                pass
    for signal, counted in attempts.items():
        if counted != list(range(1, len(counted) + 1)) or not counted:
            yield f"the signal at {signal} has the attempts {counted}"


def check_nobody_runs_after_refuse(day: "Day") -> Iterator[str]:
    """What was refused runs again only if somebody asked for it by a retry."""
    refused = set()
    for record in day.records:
        match record.event:
            case RoutingDecided(verdict=Refuse(), remediation=remediation):
                refused.add(remediation)
            case RoutingDecided(verdict=verdict, remediation=remediation, because=because):
                if because.kind is Cause.RETRY and not isinstance(verdict, Duplicate):
                    refused.discard(remediation)
                elif isinstance(verdict, Proceed) and remediation in refused:
                    yield f"{remediation} was refused, and proceeds at {record.position}"
            case _:
                pass


def check_counts(day: "Day") -> Iterator[str]:
    """Every value that a verdict is based on, and the last state, is what a naive recount of the log finds."""
    numbers, wrong = recount(day.messages)
    yield from wrong
    now = day.view.newest
    for fingerprint in day.view.histories:
        known, counted = (
            day.view.retention.remembered(fingerprint, now).failures,
            numbers.failures.remembered(fingerprint, now),
        )
        if known != counted:
            yield f"{fingerprint} has {known} failures, counted are {counted}"
    if set(day.view.half_done) != set(numbers.half_done):
        yield f"half-done is {set(day.view.half_done)}, counted is {set(numbers.half_done)}"
