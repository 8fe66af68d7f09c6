"""Who leads, and for how long; and how much one round takes. The diary says who was in trouble, and when."""

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from remediation_orchestrator.events import Cause, DecisionFrame, OrchestratorStarted, Recorded, RoutingDecided
from remediation_orchestrator.events.subjects import Family, parse
from remediation_orchestrator.simulation.orchestrators import PACE

from .leading import LED_SECONDS, frames
from .reading import sequence_of

if TYPE_CHECKING:
    from remediation_orchestrator.simulation.world import Day

# What goes wrong with a leader, or with the broker, may cost it the lead for some lives of a lease afterwards.
AFTERWARDS_SECONDS = 600.0
# Whoever has computed reads a later time than what is stored in the same turn: it may be struck just behind that.
COMPUTED_SECONDS = 0.1
# Who is begun anew reads the log first, and one that is dead is begun anew within a minute.
REPLACED_SECONDS = LED_SECONDS


def check_a_leader_that_works_keeps_the_lead(day: "Day") -> Iterator[str]:
    """Nobody takes over from a leader that works, while nothing is the matter with it or with the broker."""
    leader = ""
    for head, frame in frames(day):
        assert isinstance(head.event, DecisionFrame)
        writer, at = head.event.orchestrator, day.diary.stored_at[sequence_of(head)]
        begins = any(isinstance(record.event, OrchestratorStarted) for record in frame)
        concerned = ("", leader, writer)  # Who has slept may wake in the middle of taking over.
        gone = any(one.what == "ended" and one.process == leader and one.begun <= at for one in day.diary.troubles)
        troubled = gone or _troubled(day, concerned, at - AFTERWARDS_SECONDS, at + COMPUTED_SECONDS)
        if begins and leader not in ("", writer) and not troubled:
            yield f"{writer} takes over from {leader} at {at:.0f}, which works"
        leader = writer


def check_a_dead_leader_is_replaced(day: "Day") -> Iterator[str]:
    """When a leader has crashed, and nothing else is the matter, another leads within five minutes."""
    led = [(day.diary.stored_at[sequence_of(head)], head.event) for head, _ in frames(day)]
    for one in day.diary.troubles:
        before = [event for at, event in led if at <= one.begun]
        last = one.begun + REPLACED_SECONDS
        writer = before[-1].orchestrator if before and isinstance(before[-1], DecisionFrame) else ""
        if one.what != "crashed" or writer != one.process or last > day.seconds:
            continue
        others = [
            other
            for other in day.diary.troubles
            if other is not one and _meets(other.begun, other.ended, one.begun, last)
        ]
        stepped = any(one.begun - AFTERWARDS_SECONDS <= at <= last for at, _ in day.diary.steps)
        if not others and not stepped and not any(one.begun < at <= last for at, _ in led):
            yield f"{one.process} has crashed at {one.begun:.0f}, and nobody leads {REPLACED_SECONDS:.0f} s later"


def _troubled(day: "Day", concerned: tuple[str, ...], since: float, until: float) -> bool:
    """Whether something was the matter with a process, or with the broker, meanwhile."""
    wrong = [one for one in day.diary.troubles if one.process in concerned]
    stepped = any(since <= at <= until for at, _ in day.diary.steps)
    return stepped or any(_meets(one.begun, one.ended, since, until) for one in wrong)


def _meets(begun: float, ended: float, since: float, until: float) -> bool:
    return begun <= until and ended >= since


def check_rounds_are_bounded(day: "Day") -> Iterator[str]:
    """However many signals come at once, a round judges no more than its bound, and one message."""
    largest = max((_signals(day, sequence) for sequence in _arrays(day)), default=1)
    rounds = groupby(frames(day), key=lambda one: (*_round(one[0]), _moment(one[1])))
    for (writer, as_of, _), round_ in rounds:
        count = sum(map(_is_signals, (record for _, frame in round_ for record in frame)))
        if count > PACE.records + largest:
            yield f"{writer} judges {count:,} signals in the round behind {as_of}"


def _round(head: Recorded) -> tuple[str, int]:
    """Whose round a frame is of, and how far it has folded the facts."""
    assert isinstance(head.event, DecisionFrame)
    return head.event.orchestrator, head.event.as_of


def _moment(frame: list[Recorded]) -> datetime | None:
    """At which moment it is judged."""
    return next((one.event.situation.now for one in frame if isinstance(one.event, RoutingDecided)), None)


def _is_signals(record: Recorded) -> bool:
    """Whether it is the first verdict on a signal."""
    return isinstance(record.event, RoutingDecided) and record.event.because.kind is Cause.SIGNAL


def _arrays(day: "Day") -> Iterator[int]:
    """The sequences of signals whose message is long enough to be one."""
    for message in day.messages:
        if parse(message.subject).family is Family.SIGNAL and message.payload[:1] == b"[":
            yield message.sequence


def _signals(day: "Day", sequence: int) -> int:
    return day.messages[sequence - 1].payload.count(b'"target"')
