"""A rehearsal that writes down the log that it would have made."""

from collections.abc import Iterator
from datetime import UTC, datetime

from remediation_orchestrator.events import (
    CellName,
    Decision,
    ExecutionId,
    StoredMessage,
    WorkflowRevoked,
    encode,
    encode_frame,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.events.stored import EXPECTED
from remediation_orchestrator.orchestrator.queries.rehearsal import Rehearsal
from remediation_orchestrator.orchestrator.routing.judge import judge
from remediation_orchestrator.orchestrator.routing.policy import Policy

MAIN = CellName("main")
START = datetime(2026, 11, 21, 10, tzinfo=UTC)
AROUND = Attributes(id="1", source="/test", time=START)


class Recorder(Rehearsal):
    """A rehearsal that writes its log: a frame for each round, and its revocations as facts."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.log: list[StoredMessage] = []
        self.decided: list[Decision] = []

    def store(self, at: datetime, subject: str, payload: bytes) -> StoredMessage:
        """Write the next message."""
        last = next((one.sequence for one in reversed(self.log) if one.subject == subject), 0)
        message = StoredMessage(len(self.log) + 1, at, subject, payload, {EXPECTED: str(last)})
        self.log.append(message)
        return message

    def round(self, now: datetime) -> Iterator[Decision]:
        """Judge as a rehearsal does, and write down all of it."""
        view = self.fold.view
        now = max(now, view.newest)
        while True:
            result = judge(view, now)
            if result.decisions:
                self._frame(result.decisions, now)
            yield from result.decisions
            owed = [ExecutionId(name) for kind, name in view.owed if kind == "revoke"]
            if not result.overdue and not owed:
                return
            for execution in [*result.overdue, *owed]:
                revoked = encode(WorkflowRevoked(execution), AROUND)
                self.fold.take(self.store(now, subjects.execution(MAIN, execution), revoked))
                self.fold.fold_facts()

    def _frame(self, decisions: list[Decision], now: datetime) -> None:
        frame = [self.fold.head("o1", now), *decisions]
        payload = encode_frame((decision, AROUND) for decision in frame)
        message = self.store(now, subjects.decision(MAIN), payload)
        self.fold.stored(message.sequence, frame, payload)
        self.fold.skip(message)
