"""Judge facts that no decision answers, as a live service would whose clock stands at each fact's stamp.

Each fact is a round of its own; wake-ups come exactly when they are due, before a fact of the same instant;
the clock stops at the last fact. It writes nothing: revocations take effect where a service would store them."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from remediation_orchestrator.events import (
    Decision,
    ExecutionId,
    Position,
    Recorded,
    StoredMessage,
    WorkflowRevoked,
)

from .routing.facts import fold_fact
from .routing.fold import Fold
from .routing.judge import judge
from .routing.policy import Policy


class Rehearsal:
    """A cell that is only thought through."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.fold = Fold()
        if policy is not None:
            self.fold.view.adopt(policy)

    def tell(self, fact: StoredMessage) -> Iterator[Decision]:
        """Let time pass up to a fact, then let the fact happen."""
        yield from self.wait(fact.recorded_at)
        self.fold.take(fact)
        self.fold.fold_facts()
        yield from self._round(max(fact.recorded_at, self.fold.view.newest))

    def wait(self, until: datetime) -> Iterator[Decision]:
        """Let time pass, waking whenever something is due."""
        view = self.fold.view
        while (due := view.next_wakeup()) is not None and due <= until:
            yield from self._round(max(due, view.newest))

    def _round(self, now: datetime) -> Iterator[Decision]:
        view = self.fold.view
        while True:
            result = judge(view, now)
            yield from result.decisions
            owed = [ExecutionId(name) for kind, name in view.owed if kind == "revoke"]
            if not result.overdue and not owed:
                return
            for execution in [*result.overdue, *owed]:
                fold_fact(view, Recorded(Position(""), now, WorkflowRevoked(execution)))


def rehearse(facts: Iterable[StoredMessage], policy: Policy | None = None) -> Iterator[Decision]:
    """Yield every decision that a log of facts alone would have led to."""
    cell = Rehearsal(policy)
    for fact in facts:
        yield from cell.tell(fact)
