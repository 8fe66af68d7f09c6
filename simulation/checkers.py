"""The promises, each held by a small function over what a simulated day has left. Empty means: kept.

They read the log and the ledger of what really ran, and share no code with the core where they recount it."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from remediation_orchestrator.events import (
    Cause,
    CreateWorkflow,
    Duplicate,
    Position,
    Proceed,
    Recorded,
    Refuse,
    RoutingDecided,
    SignalReceived,
    StoredMessage,
    decode,
)
from remediation_orchestrator.orchestrator.audit import audit
from remediation_orchestrator.orchestrator.findings import HARMLESS
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.projection import Projection

from .recount import recount

if TYPE_CHECKING:
    from .world import Day

Checker = Callable[["Day"], Iterator[str]]


def records(messages: list[StoredMessage]) -> Iterator[Recorded]:
    """Every event of a log that can be read, in the log's order."""
    for message in messages:
        for record in decode(message):
            if isinstance(record, Recorded):
                yield record


def check_one_run_at_a_time(day: "Day") -> Iterator[str]:
    """Nothing touches a target while something else does."""
    by_target = defaultdict(list)
    for touch in day.ledger.touches:
        by_target[touch.target].append(touch)
    for target, touches in by_target.items():
        touches.sort(key=lambda one: one.begun)
        for before, following in pairwise(touches):
            if before.ended is None or following.begun < before.ended:
                yield f"{before.execution} and {following.execution} at once on {target}"


def check_runs_at_most_once(day: "Day") -> Iterator[str]:
    """A local run is never run again."""
    seen = set()
    for touch in day.ledger.touches:
        if touch.execution in seen:
            yield f"{touch.execution} was run twice"
        seen.add(touch.execution)


def check_every_run_was_commanded(day: "Day") -> Iterator[str]:
    """No run without a command, no command without a Proceed, and one command a Proceed."""
    proceeded, commanded = set(), set()
    for record in records(day.messages):
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
    for touch in day.ledger.touches:
        if touch.execution not in commanded:
            yield f"{touch.execution} ran without a command"


def check_one_chain_of_verdicts(day: "Day") -> Iterator[str]:
    """Every firing signal has a first verdict, and its attempts count on by one."""
    attempts: dict[Position, list[int]] = {}
    for record in records(day.messages):
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
    for record in records(day.messages):
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
    """Every verdict and the last state know the failures and half-done runs that a naive recount finds."""
    numbers = recount(day.messages)
    yield from numbers.wrong
    now = day.view.newest
    for fingerprint in day.view.histories:
        known, counted = day.view.remembered(fingerprint, now).failures, numbers.remembered(fingerprint, now)
        if known != counted:
            yield f"{fingerprint} has {known} failures, counted are {counted}"
    if set(day.view.half_done) != set(numbers.half_done):
        yield f"half-done is {set(day.view.half_done)}, counted is {set(numbers.half_done)}"


def check_nothing_accepted_is_lost(day: "Day") -> Iterator[str]:
    """What was acknowledged is in the log where the acknowledgement said."""
    for accepted in day.accepted:
        if day.messages[accepted.sequence - 1].payload != accepted.payload:
            yield f"what was accepted as {accepted.sequence} is not there"


def check_audit(day: "Day") -> Iterator[str]:
    """The chain is whole and every decision can be derived again."""
    for finding in audit(day.messages):
        if finding.drift not in HARMLESS:
            yield f"audit at {finding.position}: {finding.drift}: {finding.message}"


def check_drained(day: "Day") -> Iterator[str]:
    """After the faults everything came to an end."""
    if not day.drained:
        view = day.view
        waiting = [f"{one.id} {one.phase}" for one in view.remediations.values() if not one.phase.ended]
        yield f"never at rest: {waiting[:3]}, owed {list(view.owed)[:3]}, unjudged {list(view.unjudged)[:3]}"


def compare_folds(where: str, live: Fold, fresh: Fold) -> list[str]:
    """Name the tables in which what is live differs from a fresh fold of the same log."""
    mine, theirs = _tables(live.view), _tables(fresh.view)
    wrong = [f"{where}: live and replayed `{name}` differ" for name in mine if mine[name] != theirs[name]]
    if live.chain.previous(live.read) != fresh.chain.previous(live.read):
        wrong.append(f"{where}: live and replayed chains differ")
    return wrong


def _tables(view: Projection) -> dict[str, object]:
    """Every table, and where order is meaning, in its order."""
    queues = {target: list(queue) for target, queue in view.queues.items()}
    return {**view.tables(), "queues": queues, "agenda": list(view.agenda.items()), "order": list(view.unjudged)}


CHECKERS: tuple[Checker, ...] = (
    check_one_run_at_a_time,
    check_runs_at_most_once,
    check_every_run_was_commanded,
    check_one_chain_of_verdicts,
    check_nobody_runs_after_refuse,
    check_counts,
    check_nothing_accepted_is_lost,
    check_audit,
    check_drained,
)


def violations(day: "Day") -> Iterator[str]:
    """Everything in which a day broke a promise."""
    yield from day.violations
    for check in CHECKERS:
        yield from check(day)
