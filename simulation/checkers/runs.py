"""What runs: once, alone on its target, by a command, in time, and ended once. The diary says what really ran."""

import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from remediation_orchestrator.events import (
    BlockCleared,
    CreateWorkflow,
    FailureReason,
    Proceed,
    Recorded,
    RoutingDecided,
    Target,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
    decode,
)
from remediation_orchestrator.events.stored import EXPECTED
from remediation_orchestrator.events.subjects import Family, parse
from remediation_orchestrator.simulation.broker import ACK_WAIT
from remediation_orchestrator.simulation.diary import Touch

from .reading import sequence_of

if TYPE_CHECKING:
    from remediation_orchestrator.simulation.world import Day

# A round's moment is read a little before what it sends is on its way.
SENDING = timedelta(seconds=1)
# What the clocks of two machines may differ by, and one in two thousand of half an hour.
DRIFT_SECONDS = 7.0
# An executor's own clock may be slow by one in two thousand of a lease.
SKEW_SECONDS = 0.05
# A script is asked to end, and killed five seconds later.
KILL_SECONDS = 5.0


def check_one_run_at_a_time(day: "Day") -> Iterator[str]:
    """Nothing touches a target while something else does, unless a person said of a lost run that it does not."""
    by_target: dict[Target, list[Touch]] = defaultdict(list)
    for touch in day.diary.touches:
        by_target[touch.target].append(touch)
    for target, touches in by_target.items():
        touches.sort(key=lambda one: one.begun)
        for before, following in pairwise(touches):
            together = before.ended is None or following.begun < before.ended
            if together and not _was_given_away(day, before, following):
                yield f"{before.execution} and {following.execution} at once on {target}"


def _was_given_away(day: "Day", before: Touch, following: Touch) -> bool:
    """Whether somebody cleared the target of a run that was said to be lost, and was wrong about it."""
    lost = False
    for record in day.records:
        match record.event:
            case WorkflowFailed(execution=before.execution, reason=FailureReason.EXECUTOR_LOST):
                lost = True
            case BlockCleared(target=target) if target == before.target and lost:
                return True
            case CreateWorkflow(execution=following.execution):
                return False
            case _:
                pass
    return False


def check_runs_at_most_once(day: "Day") -> Iterator[str]:
    """A local run is never run again."""
    seen = set()
    for touch in day.diary.touches:
        if touch.execution in seen:
            yield f"{touch.execution} was run twice"
        seen.add(touch.execution)


def check_every_run_was_commanded(day: "Day") -> Iterator[str]:
    """No run without a command, no command without a Proceed, and one command a Proceed."""
    proceeded, commanded = set(), set()
    for record in day.records:
        match record.event:
            case RoutingDecided(verdict=Proceed(), execution=str(execution)):
                if execution in proceeded:
                    yield f"{execution} proceeds twice"
                proceeded.add(execution)
            case CreateWorkflow(execution=execution):
                if execution not in proceeded:
                    yield f"{execution} is commanded and nobody decided so"
                if execution in commanded:
                    yield f"{execution} is commanded twice"
                commanded.add(execution)
            case _:
                pass
    for touch in day.diary.touches:
        if touch.execution not in commanded:
            yield f"{touch.execution} ran without a command"


def check_nothing_begins_too_late(day: "Day") -> Iterator[str]:
    """No command is sent, and no run begun, after its `start_before`; what runs has ended at its deadline.

    Both by the clock of who leads: one that is behind what was decided stands still until it has come there."""
    limits: dict[str, tuple[float, float]] = {}
    decided_at: dict[str, datetime] = {}
    for record in day.records:
        match record.event:
            case RoutingDecided(
                execution=str(execution), start_before=datetime() as before, deadline=datetime() as end
            ):
                tried, now = day.diary.tried.get(day.at(record).payload), record.event.situation.now
                decided_at[execution] = now
                if tried is not None:
                    begun, ended = (before - now).total_seconds(), (end - now).total_seconds()
                    limits[execution] = tried.at + begun, tried.at + ended
            case CreateWorkflow(execution=execution, start_before=before, deadline=end):
                sent = day.diary.sent[day.at(record).subject]
                if any(shown > before + SENDING for shown, _ in sent):
                    yield f"{execution} is sent at {sent[-1][0]}, and was to begin before {before}"
                if sent and execution in limits:  # What is under way looks like clocks that differ.
                    late = max(0.0, day.diary.stored_at[sequence_of(record)] - sent[-1][1])
                    shown, at = max(sent[-1][0], decided_at[execution]), sent[-1][1]
                    left = (at + (before - shown).total_seconds(), at + (end - shown).total_seconds())
                    begun, ended = map(max, limits[execution], left)
                    limits[execution] = begun + late, ended + late
            case _:
                pass
    for touch in day.diary.touches:
        if any(at < touch.begun for at, _ in day.diary.steps):
            continue  # Time stands still where that clock was set back, and what it stamps is no measure.
        begin, end_at = limits.get(touch.execution, (math.inf, math.inf))
        if touch.begun > begin + DRIFT_SECONDS:
            yield f"{touch.execution} begins at {touch.begun}, and was to begin before {begin}"
        if touch.ended is not None and touch.ended > end_at + DRIFT_SECONDS + KILL_SECONDS:
            yield f"{touch.execution} ends at {touch.ended}, and was to end at {end_at}"


def check_ends_are_fenced(day: "Day") -> Iterator[str]:
    """A claim is the first record of its run or a revocation is, and every end expects the claim that it ends.

    Of what was archived the server knows nothing any more."""
    newest: dict[str, int] = {}
    told: set[str] = set()
    for message in day.messages:
        if parse(message.subject).family is not Family.EXECUTION:
            continue
        before, newest[message.subject] = newest.get(message.subject, 0), message.sequence
        before = 0 if before <= day.store.archived_at(message.sequence) else before
        record = decode(message)[0]
        if day.is_stray(message) or not isinstance(record, Recorded):
            continue
        if not isinstance(record.event, WorkflowStarted | WorkflowRevoked | WorkflowCompleted | WorkflowFailed):
            continue
        expected = (message.headers or {}).get(EXPECTED)
        what = f"{type(record.event).__name__} of {record.event.execution} at {message.sequence}"
        if expected != str(before):
            yield f"{what} expects {expected} before it, and finds {before}"
        if isinstance(record.event, WorkflowCompleted | WorkflowFailed):
            if record.event.execution in told:
                yield f"{what} is its second end"
            told.add(record.event.execution)


def check_a_lapsed_claim_stays_lapsed(day: "Day") -> Iterator[str]:
    """Who has not been confirmed for half of `ack_wait` is dead soon, whatever is confirmed later."""
    for touch in day.diary.touches:
        surely = touch.delivered + ACK_WAIT / 2
        for asked in day.diary.confirmed.get((touch.executor, touch.command), ()):
            if touch.delivered <= asked <= surely + SKEW_SECONDS:
                surely = max(surely, asked + ACK_WAIT / 2)
        if touch.ended is not None and touch.ended > surely + KILL_SECONDS + SKEW_SECONDS:
            yield f"{touch.execution} ended at {touch.ended}, and was surely its executor's until {surely}"


def check_nothing_is_half(day: "Day") -> Iterator[str]:
    """At rest every run that was decided has its command and its end, or was revoked, and every claim its end."""
    if not day.drained:
        return
    decided: dict[str, set[str]] = defaultdict(set)
    for record in day.records:
        match record.event:
            case RoutingDecided(verdict=Proceed(), execution=str(execution)):
                decided[execution].add("decided")
            case CreateWorkflow(execution=execution):
                decided[execution].add("commanded")
            case WorkflowStarted(execution=execution):
                decided[execution].add("begun")
            case WorkflowCompleted(execution=execution) | WorkflowFailed(execution=execution):
                decided[execution].add("ended")
            case WorkflowRevoked(execution=execution):
                decided[execution].add("revoked")
            case _:
                pass
    for run, about in decided.items():
        if "decided" in about and not about & {"ended", "revoked"}:
            yield f"{run} is {', '.join(sorted(about))}, and never ended"
        if "begun" in about and "decided" in about and "ended" not in about:
            yield f"{run} was begun, and its end was never told"
