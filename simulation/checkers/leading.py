"""Who decides, on what clock, and how soon: the diary has what the log does not tell."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from remediation_orchestrator.events import (
    DecisionFrame,
    OrchestratorStarted,
    PhaseChanged,
    Recorded,
    RoutingDecided,
    TargetReleased,
    VerificationEnded,
)
from remediation_orchestrator.simulation.clock import CLOCKS_DIFFER, MOMENT

from .reading import NEVER, moments, sequence_of

if TYPE_CHECKING:
    from remediation_orchestrator.simulation.world import Day

# Where it reads its clock a process may be ahead by what nobody waits for: when a frame is acknowledged, and when
# a round begins.
READING = 2 * timedelta(seconds=MOMENT)
# A lease lapses after two minutes on a simulated day, and a dead orchestrator is replaced within one.
LED_SECONDS = 300.0
REST_SECONDS = 6 * 3_600.0


def check_now(day: "Day") -> Iterator[str]:
    """`now` is what the process's clock ought to show, or the newest moment that it knows, if that is later."""
    shown = moments(day)
    newest, covered = NEVER, 0
    round_: tuple[object, ...] = ()
    right: tuple[datetime, datetime] | None = None
    for head, frame in frames(day):
        assert isinstance(head.event, DecisionFrame)
        newest = max(newest, shown.get(head.event.as_of, newest))
        tried = day.diary.tried.get(day.at(head).payload)
        bound = head.event.not_after
        before_it, after = tried.reckoning if tried is not None else (bound - CLOCKS_DIFFER, bound - CLOCKS_DIFFER)
        if head.event.as_of > covered and not _is_within(bound - CLOCKS_DIFFER, before_it, after):
            yield f"{head.position} takes facts up to {bound}, and its writer's clock shows {before_it} to {after}"
        covered = head.event.as_of
        begins = any(isinstance(record.event, OrchestratorStarted) for record in frame)
        if round_ != (round_ := (head.event.orchestrator, head.event.as_of, bound, begins)):
            right = None if tried is None else (max(tried.clock[0], newest), max(tried.clock[1], newest))
        said = next(filter(None, map(_now, frame)), None)
        if said and right and not _is_within(said, *right):
            yield f"{head.position} is judged at {said}, and its writer's clock shows {right[0]} to {right[1]}"
        if any(now not in (None, said) for now in map(_now, frame)):
            yield f"{head.position} is judged at more than one moment"
        newest = max(newest, said or newest)


def _is_within(said: datetime, begun: datetime, end: datetime) -> bool:
    """Whether a clock has shown it while something was computed, which takes its time on a slow machine."""
    return begun - READING <= said <= end + READING


def _now(record: Recorded) -> datetime | None:
    match record.event:
        case RoutingDecided(situation=situation):
            return situation.now
        case PhaseChanged(now=now) | VerificationEnded(now=now) | TargetReleased(now=now):
            return now
        case _:
            return None


def frames(day: "Day") -> Iterator[tuple[Recorded, list[Recorded]]]:
    """Each frame of the log: its head and its decisions."""
    head: Recorded | None = None
    decisions: list[Recorded] = []
    for record in day.records:
        if isinstance(record.event, DecisionFrame):
            if head is not None:
                yield head, decisions
            head, decisions = record, []
        elif head is not None and sequence_of(record) == sequence_of(head):
            decisions.append(record)
    if head is not None:
        yield head, decisions


def check_a_first_frame_is_read_back(day: "Day") -> Iterator[str]:
    """Who takes the fence sets its clock by the stamp of its first frame before it decides anything."""
    started: tuple[str, int] | None = None
    for head, frame in frames(day):
        assert isinstance(head.event, DecisionFrame)
        process, sequence = head.event.orchestrator, sequence_of(head)
        tried = day.diary.tried.get(day.at(head).payload)
        if started is not None and started[0] == process and tried is not None:
            seen = day.diary.read_back.get(started)
            if seen is None or seen > tried.at:
                yield f"{process} decides at {sequence}, and has not read its first frame at {started[1]}"
        started = None
        if any(isinstance(record.event, OrchestratorStarted) for record in frame):
            started = (process, sequence)


def check_drained(day: "Day") -> Iterator[str]:
    """When the faults have stopped, somebody leads within five minutes, and all is at rest within six hours.

    Counted from where the broker's clock has come again to the newest moment: until then time stands still."""
    if day.led_after is None or day.led_after > LED_SECONDS:
        yield f"after the faults somebody led after {day.led_after} seconds"
    if not day.drained:
        view = day.view
        waiting = [f"{one.id} {one.phase}" for one in view.remediations.values() if not one.phase.ended]
        yield f"never at rest: {waiting[:3]}, owed {list(view.owed)[:3]}, unjudged {list(view.unjudged)[:3]}"
    elif day.rested_after is not None and day.rested_after > REST_SECONDS + day.behind:
        yield f"after the faults all was at rest after {day.rested_after} seconds"
