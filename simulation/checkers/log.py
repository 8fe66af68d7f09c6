"""What stands in the log: all that was accepted, an unbroken chain, and nothing that audit is not right about."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from remediation_orchestrator.events.subjects import Family, parse
from remediation_orchestrator.orchestrator.audit import audit
from remediation_orchestrator.orchestrator.findings import HARMLESS
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.projection import Projection

if TYPE_CHECKING:
    from remediation_orchestrator.simulation.world import Day

# A verdict with its situation and its command have some two kilobytes; an occurrence is judged a few times.
WRITTEN_FOR_EACH_EVENT_MAX = 6 * 1024
WRITTEN_ANYWAY_MAX = 1024 * 1024


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


def check_growth(day: "Day") -> Iterator[str]:
    """What the cell writes is bounded by what others have published: so many bytes for each event."""
    facts, written = 0, 0
    for message in day.messages:
        if parse(message.subject).family in (Family.DECISION, Family.COMMAND):
            written += len(message.payload)
    facts = sum(1 for record in day.records if parse(day.at(record).subject).family.is_fact)
    allowed = WRITTEN_ANYWAY_MAX + WRITTEN_FOR_EACH_EVENT_MAX * facts
    if written > allowed:
        yield f"{written:,} bytes were written for {facts:,} events: {allowed:,} were allowed"


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
