"""The promises that a small world has to keep when it has come to rest, or was left."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from remediation_orchestrator.events import (
    FailureReason,
    OrchestratorStarted,
    Position,
    Recorded,
    StoredMessage,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    decode,
)
from remediation_orchestrator.events.codec import attributes_of
from remediation_orchestrator.events.identity import position_key
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS, Drift
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.projection import Projection

from .checkers import log, order, sending, table, verdicts
from .checkers.reading import records
from .explore_cast import catalog

if TYPE_CHECKING:
    from .explore_stage import ExploredStage
    from .world import Day

# Those of a day that read its log and its last state alone.
OF_A_LOG = (
    verdicts.check_one_chain_of_verdicts,
    verdicts.check_nobody_runs_after_refuse,
    verdicts.check_counts,
    sending.check_cancels_are_covered,
    sending.check_nothing_is_sent_of_what_is_over,
    table.check_verdicts_follow,
    table.check_the_table_at_its_boundaries,
    order.check_the_order_of_judgement,
    order.check_the_line,
)


# One takes over from whoever is struck; and where that was paused, it may be back and take over once more.
TAKEOVERS_MAX = 2


@dataclass
class Rest:
    """What those checkers read of a day."""

    messages: list[StoredMessage]
    view: Projection
    drained: bool

    @cached_property
    def records(self) -> list[Recorded]:
        """Every event of the log that can be read, in the log's order."""
        return list(records(self.messages))


def broken(stage: "ExploredStage") -> Iterator[str]:
    """Every promise that a life broke."""
    yield from stage.life.wrong
    yield from _runs(stage)
    yield from _ends(stage)
    yield from _takeovers(stage)
    yield from _lost(stage)
    yield from _analysed(stage)
    fresh = Fold()
    for message in stage.cell.messages:
        fresh.take(message)
    if not stage.drained:
        yield f"never at rest: {_who_waits(stage, fresh)}"
    yield from _live_state(stage)
    fresh.fold_facts()
    for sequence, payload in stage.accepted:
        if stage.cell.messages[sequence - 1].payload != payload:
            yield f"what was accepted as {sequence} is not there"
    rest = cast("Day", Rest(stage.cell.messages, fresh.view, stage.drained))
    for check in OF_A_LOG:
        yield from check(rest)
    for finding in audit(stage.cell.messages):
        junk = finding.drift is Drift.UNREADABLE and _is_junk(stage, finding.position)
        if finding.drift not in HARMLESS and not junk:
            yield f"audit at {finding.position}: {finding.drift}: {finding.message}"


def _runs(stage: "ExploredStage") -> Iterator[str]:
    """Nothing is run twice, nothing without its command, and no two that may touch one target."""
    touches = sorted(stage.touches, key=lambda one: one.begun)
    for before, following in pairwise(touches):  # There is one target in a small world.
        if before.target == following.target and (before.ended is None or following.begun < before.ended):
            yield f"{before.execution} and {following.execution} at once on one target"
    names = [one.execution for one in touches]
    commanded = {
        one.subject.rpartition(".")[2] for one in stage.cell.messages if ".command.workflow." in one.subject
    }
    for name in sorted(set(names)):
        if names.count(name) > 1:
            yield f"{name} was run {names.count(name)} times"
        if name not in commanded:
            yield f"{name} ran without a command"


def _ends(stage: "ExploredStage") -> Iterator[str]:
    """When the end of a run is told, nothing touches its target any more, and nothing of it begins afterwards."""
    ended: dict[str, tuple[float, str]] = {}
    for message, at in zip(stage.cell.messages, stage.stored_at, strict=False):
        for record in decode(message):
            if isinstance(record, Recorded) and isinstance(record.event, WorkflowCompleted | WorkflowFailed):
                ended.setdefault(record.event.execution, (at, type(record.event).__name__))
    for touch in stage.touches:
        at, what = ended.get(touch.execution, (math.inf, ""))
        if touch.begun > at:
            yield f"{touch.execution} begins at {touch.begun:.1f} s, and its {what} stands since {at:.1f} s"
        elif at < math.inf and (touch.ended is None or touch.ended > at):
            yield f"{touch.execution} runs on, and its {what} stands since {at:.1f} s"


def _lost(stage: "ExploredStage") -> Iterator[str]:
    """No run is told to be lost whose executor was neither killed nor stopped for longer than its lease.

    And as safe to repeat it is told only by the very file that it was claimed with."""
    struck = any(choice.startswith(("!crash-e", "!pause-e")) for choice in stage.choices.values())
    digests: dict[str, str] = {}
    for record in records(stage.cell.messages):
        match record.event:
            case WorkflowStarted(execution=execution, digest=digest):
                digests.setdefault(execution, digest)
            case WorkflowFailed(execution=execution, idempotent=safe) if _is_lost(record.event):
                if not struck:
                    yield f"{execution} is told to be lost, and nobody was struck"
                if safe and not _may_be_repeated(digests.get(execution, "")):
                    yield f"{execution} is told to be safe to repeat, and was claimed with {digests[execution]}"
            case _:
                pass


def _is_lost(fact: WorkflowFailed) -> bool:
    return fact.was_execution_failure and fact.reason == FailureReason.EXECUTOR_LOST


def _may_be_repeated(digest: str) -> bool:
    files = [file for others in (False, True) for file in catalog(others=others).workflows.values()]
    return any(file.digest == digest and file.spec.idempotent for file in files)


def _analysed(stage: "ExploredStage") -> Iterator[str]:
    """A command to analyse has one answer, however often it is delivered."""
    answered: set[str] = set()
    for message in stage.cell.messages:
        attributes = attributes_of(message.payload) if ".analysis." in message.subject else None
        if attributes is not None and attributes.id.startswith("analysis-"):
            if attributes.id in answered:
                yield f"{attributes.id} stands there once more at {message.sequence}"
            answered.add(attributes.id)


def _is_junk(stage: "ExploredStage", place: Position) -> bool:
    """Whether somebody had this stored who had nothing to say there."""
    payload = stage.cell.messages[position_key(place)[0] - 1].payload
    return any(payload == accepted for _, accepted in stage.accepted)


def _takeovers(stage: "ExploredStage") -> Iterator[str]:
    """Nobody takes the lead from one that was neither killed, nor paused, nor stopped."""
    struck = sum(choice.startswith(("!crash-o", "!pause-o", "!stop-o")) for choice in stage.choices.values())
    led = sum(isinstance(one.event, OrchestratorStarted) for one in records(stage.cell.messages))
    if led > 1 + TAKEOVERS_MAX * struck and not stage.world.clock_steps:
        yield f"{led} have led, and {struck} were struck"


def _live_state(stage: "ExploredStage") -> Iterator[str]:
    """Whoever leads knows what a fresh fold of the log knows."""
    for role in stage.orchestrators:
        if stage.drained and role.leads:
            live, fresh = role.service.fold, Fold()
            for message in stage.cell.messages:
                fresh.take(message)
            fresh.fold_facts(live.chain.as_of)
            yield from log.compare_folds(role.actor.name, live, fresh)


def _who_waits(stage: "ExploredStage", fresh: Fold) -> str:
    view = fresh.view
    waiting = [f"{one.id} {one.phase}" for one in view.remediations.values() if not one.phase.ended]
    calls = [str(one) for one in stage.gate.waiting]
    return f"{waiting}, owed {list(view.owed)}, unjudged {list(view.unjudged)}, waiting calls {calls}"
