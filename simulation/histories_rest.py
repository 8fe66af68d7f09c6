"""What is asked of a history once it has been told: every promise about a log, and where it may be archived."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from remediation_orchestrator.bus.memory import MemoryCell
from remediation_orchestrator.events import (
    DecisionFrame,
    OrchestratorStarted,
    Position,
    Recorded,
    RoutingDecided,
    StoredMessage,
    decode,
)
from remediation_orchestrator.events.codec import attributes_of
from remediation_orchestrator.events.identity import position_key, signal_of
from remediation_orchestrator.events.subjects import Family, parse
from remediation_orchestrator.orchestrator.archive import Segment, where_to_cut
from remediation_orchestrator.orchestrator.marks import read_mark
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS, Drift
from remediation_orchestrator.orchestrator.queries.moments import moment_of
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.service import Orchestrator
from remediation_orchestrator.orchestrator.snapshots import from_beginning
from remediation_orchestrator.orchestrator.watch import MARK_SECONDS

from . import clock
from .checkers.log import compare_folds
from .explore_promises import OF_A_LOG, Rest
from .fold_order import in_fold_order
from .known import GRACE

if TYPE_CHECKING:
    from .world import Day

# A run that is overdue is revoked with the next round, and what is sent is tried again within a second.
OVERDUE = timedelta(seconds=10)
LATE = timedelta(seconds=6)
# Marks follow one another no faster, and another policy may have come between; and moments may be ahead.
MARKED = clock.CLOCKS_DIFFER + timedelta(seconds=MARK_SECONDS)


def fresh(cell: MemoryCell, live: Fold) -> Fold:
    """A fold of the whole log from its beginning, as far as a live one has come."""
    fold = Fold()
    for message in cell.messages:
        fold.take(message)
    fold.fold_facts(live.chain.as_of)
    return fold


def at_rest(service: Orchestrator, cell: MemoryCell, now: datetime | None) -> Iterator[str]:
    """What is so when everything was read, judged and sent; `now` where that is sure."""
    inbox, view = service.inbox, service.fold.view
    said = next((one for one in reversed(cell.messages) if parse(one.subject).family is Family.OPERATOR), None)
    if said is not None and said.sequence > service.fold.chain.covered:
        yield f"what an operator said at {said.sequence} is covered by no frame"
    if not inbox.waiting and inbox._bytes:
        yield f"nothing is in the inbox, and {inbox._bytes} bytes are counted there"
    for target in view.queues:
        if target not in view.holders:
            yield f"{target} is free, and {list(view.queues[target])} wait for it"
    for run in view.runs.values():
        if now is not None and not run.started and now > run.start_before + OVERDUE:
            yield f"nobody has begun {run.execution} before {run.start_before}, and it is not revoked at {now}"


def _sent(messages: list[StoredMessage]) -> Iterator[str]:
    """A command says in `time` when it was sent."""
    for message in messages:
        attributes = attributes_of(message.payload) if parse(message.subject).family is Family.COMMAND else None
        if attributes is not None and message.recorded_at - attributes.time > LATE:
            yield f"{message.subject} of {message.recorded_at} says that it was sent at {attributes.time}"


def _sent_early(messages: list[StoredMessage]) -> Iterator[str]:
    """No command says that it was sent before the moment of the decision that it follows from."""
    records = [one for message in messages for one in decode(message) if isinstance(one, Recorded)]
    decided = {one.position: moment_of(one.event) for one in records}
    for one in records:
        now = decided.get(getattr(one.event, "decided_at", Position("")))
        attributes = attributes_of(messages[position_key(one.position)[0] - 1].payload)
        if now is not None and attributes is not None and attributes.time < now:
            yield f"{one.position} says that it was sent at {attributes.time}, and was decided at {now}"


async def broken(cell: MemoryCell, begun: int, *, stepped: bool, unsent: bool) -> list[str]:
    """Every promise about its log that a history broke: so many were begun, and the clock was set or not.

    `unsent`: commands, or revocations, were lost for a while, which audit does not know and rightly misses."""
    messages = cell.messages
    whole = Fold()
    for message in messages:
        whole.take(message)
    kept = _memory(whole)
    rest = cast("Day", Rest(messages, _folded(whole), drained=False))
    wrong = [one for check in OF_A_LOG for one in check(rest)]
    wrong += [] if stepped else _sent(messages)
    wrong += _sent_early(messages)
    wrong += await _marked(cell, rest.records)
    led = sum(isinstance(one.event, OrchestratorStarted) for one in rest.records)
    if led > begun:
        wrong.append(f"{led} times somebody took the lead, and {begun} were begun")
    for finding in audit(messages):
        missed = unsent and finding.drift is Drift.UNANSWERED and finding.message.startswith("the command ")
        if finding.drift not in HARMLESS and not missed and not _is_forged(messages, finding.position):
            wrong.append(f"audit at {finding.position}: {finding.drift}: {finding.message}")
    return wrong or await _archived(cell, whole, kept)


async def _marked(cell: MemoryCell, records: list[Recorded]) -> list[str]:
    """The mark says when every run that was decided up to it has come to its deadline, and its grace."""
    _, mark = await read_mark(cell.marks)
    wrong = []
    for one in records if mark is not None else ():
        match one.event:
            case RoutingDecided(execution=str(execution), deadline=datetime() as deadline):
                decided = position_key(one.position)[0]
                if mark is not None and decided <= mark.sequence and mark.over < deadline + GRACE - MARKED:
                    wrong.append(
                        f"the mark says that all is over at {mark.over}, and {execution} may run to {deadline}"
                    )
            case _:
                pass
    return wrong


def _is_forged(messages: list[StoredMessage], place: Position) -> bool:
    """Whether somebody has told of a revocation who is no orchestrator: audit says so, and is right."""
    told = messages[position_key(place)[0] - 1]
    return b"WorkflowRevoked" in told.payload and b'"source":"/told"' in told.payload


def _folded(whole: Fold) -> Projection:
    whole.fold_facts()
    return whole.view


def _memory(whole: Fold) -> tuple[datetime, timedelta]:
    """The newest moment that a frame stands for, and the longest duration of the policies that judge."""
    judging = [policy for policy in (whole.view.policy, whole.view.shadow) if policy is not None]
    return whole.view.newest, max(policy.memory for policy in judging)


async def _archived(cell: MemoryCell, whole: Fold, kept: tuple[datetime, timedelta]) -> list[str]:
    """Where a log may be cut nothing is needed of what goes, and the rest goes on as all of it does."""
    log = cell.log()
    cut = await where_to_cut(log)
    if cut is None:
        return []
    wrong = list(_too_much(cell.messages, whole, cut.through, cut.frame, kept))
    segment = Segment(log, cut)
    async for _ in segment.lines():
        pass
    if segment.base is None:
        return [*wrong, f"there is no projection behind {cut.frame}"]
    await cell.archive.save(segment.base.parts, segment.base.its_head)
    rest = [one for one in cell.messages if one.sequence > cut.through]
    cell.keep(rest)
    fold = Fold()
    await from_beginning(fold, log)
    for message in rest:
        if message.sequence > fold.read:
            fold.take(message)
    if fold.broken is not None:
        return [*wrong, f"cut at {cut.through}, it is broken: {fold.broken}"]
    fold.fold_facts()
    return wrong + compare_folds(f"cut at {cut.through}", fold, whole)


def _too_much(
    messages: list[StoredMessage], whole: Fold, through: int, frame: int, kept: tuple[datetime, timedelta]
) -> list[str]:
    wrong, view = [], whole.view
    alive = {one.id for one in view.remediations.values() if not one.phase.ended}
    alive |= {run.remediation for run in view.runs.values()}
    for one in sorted(alive):
        if position_key(signal_of(one))[0] <= through:
            wrong.append(f"cut at {through}, and {one} is at work or holds its target")
    newest, memory = kept
    heads = [
        record.event
        for message in messages[:frame]
        for record in decode(message)[:1]
        if isinstance(record, Recorded) and isinstance(record.event, DecisionFrame)
    ]
    facts = [one for one in messages[:through] if parse(one.subject).family.is_fact]
    moments = {position_key(one.position)[0]: one.recorded_at for one in in_fold_order(messages)}
    if any(moments.get(one.sequence, newest - memory) > newest - memory for one in facts):
        wrong.append(f"cut at {through}, and policies remember what is younger than {newest - memory}")
    covered = max((head.as_of for head in heads), default=0)
    for fact in facts:
        if fact.sequence > covered:
            wrong.append(f"cut at {through}, and no frame before covers the fact at {fact.sequence}")
    return wrong
