"""Logs that somebody has changed who has the store: every digest that follows is computed anew."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace
from story import CELL
from written import WrittenLog

from remediation_orchestrator.events import StoredMessage, Target, subjects
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.findings import Drift, Finding
from remediation_orchestrator.orchestrator.routing.chain import Chain

Items = list[dict[str, Any]]
ELSEWHERE = Target("elsewhere")


def rewritten(log: Sequence[StoredMessage], change: Callable[[int, Items], Items]) -> list[StoredMessage]:
    """The log with its frames changed and every digest computed anew, as whoever has the store can do."""
    chain, whole = Chain(), list[StoredMessage]()
    for message in log:
        if message.subject == subjects.decision(CELL):
            items = change(message.sequence, msgspec.json.decode(message.payload))
            head = items[0]["data"]
            was, head["previous"] = head["previous"], chain.previous(head["read"])
            if items[0]["id"] == f"frame.{was[:16]}":
                items[0]["id"] = f"frame.{head['previous'][:16]}"
            message = replace(message, payload=msgspec.json.encode(items))
            chain.frame(message.sequence, head["previous"], message.payload, read=head["read"])
        chain.record(message)
        whole.append(message)
    return whole


def found(log: Sequence[StoredMessage]) -> list[Finding]:
    """What audit says of it."""
    return list(audit(log))


def drifts(log: Sequence[StoredMessage]) -> list[tuple[str, Drift]]:
    """Where, and what."""
    return [(one.position, one.drift) for one in found(log)]


def data(item: dict[str, Any]) -> dict[str, Any]:
    """What an event says."""
    said: dict[str, Any] = item["data"]
    return said


class Odd(WrittenLog):
    """A cell whose orchestrator has a mind of its own: it judges in turn, and writes down, what it is told to."""

    def together(self, at: float, *tell: Callable[[], object]) -> None:
        """Facts that one round judges."""
        decide, self.decide = self.decide, lambda at: None  # type: ignore[method-assign]
        for one in tell:
            one()
        self.decide = decide  # type: ignore[method-assign]
        self.decide(at)

    def reversed_signals(self) -> None:
        """As if the newest signal came first."""
        unjudged = self.fold.view.occurrences.unjudged
        for place in list(reversed(unjudged))[1:]:
            unjudged.move_to_end(place)
