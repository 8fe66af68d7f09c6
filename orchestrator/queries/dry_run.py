"""A cell that is only thought through: facts are told, time passes, and the core decides.

Nothing is written. Where a service would store a revocation, it takes effect at once."""

from collections.abc import Iterator
from datetime import datetime

from remediation_orchestrator.events import (
    Decision,
    ExecutionId,
    Position,
    Recorded,
    StoredMessage,
    WorkflowRevoked,
)
from remediation_orchestrator.orchestrator.routing.facts import fold_fact
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.judge import judge
from remediation_orchestrator.orchestrator.routing.policy import Policy
from remediation_orchestrator.orchestrator.routing.projection import Projection


class DryRun:
    """A fold that is judged at the moments it is told of."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.fold = Fold()
        if policy is not None:
            self.view.retention.adopt(policy)

    @property
    def view(self) -> Projection:
        """What the cell knows."""
        return self.fold.view

    def tell(self, fact: StoredMessage) -> Iterator[Decision]:
        """Let time pass up to a fact, then let the fact happen: a round of its own."""
        yield from self.wait(fact.recorded_at)
        self.fold.take(fact)
        self.fold.fold_facts()
        yield from self.round(fact.recorded_at)

    def wait(self, until: datetime, *, but: frozenset[str] = frozenset()) -> Iterator[Decision]:
        """Let time pass, waking exactly when something is due; stop where the next is one of `but`."""
        while (due := self.view.timers.next_due()) is not None and due[0] <= until and due[1] not in but:
            yield from self.round(due[0])

    def round(self, now: datetime) -> Iterator[Decision]:
        """Judge all that waits, at a moment that is never earlier than any fact folded."""
        now = max(now, self.view.newest)
        while True:
            result = judge(self.view, now)
            yield from result.decisions
            if not self.conclude([*result.overdue, *self.view.outbox.to_revoke()], now):
                return

    def conclude(self, revoked: list[ExecutionId], now: datetime) -> bool:
        """Let revocations take effect; True where that makes another judgement necessary."""
        for execution in revoked:
            fold_fact(self.view, Recorded(Position(""), now, WorkflowRevoked(execution)))
        return bool(revoked)
