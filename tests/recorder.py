"""A dry run that writes down the log that it would have made."""

from collections.abc import Iterator
from datetime import UTC, datetime

from remediation_orchestrator.events import CellName, Decision, ExecutionId, StoredMessage, WorkflowRevoked
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.orchestrator.queries.dry_run import DryRun
from remediation_orchestrator.orchestrator.routing.judge import judge
from remediation_orchestrator.orchestrator.routing.policy import Policy
from remediation_orchestrator.testing.writer import LogWriter

MAIN = CellName("main")
START = datetime(2026, 11, 21, 10, tzinfo=UTC)
AROUND = Attributes(id="1", source="/test", time=START)


class Recorder(DryRun):
    """A dry run that writes its log: a frame for each round, and its revocations as facts."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.log: list[StoredMessage] = []
        self.decided: list[Decision] = []
        self._writer = LogWriter(MAIN, fold=self.fold)

    def store(self, at: datetime, subject: str, payload: bytes) -> StoredMessage:
        """Write the next message, which is not read yet."""
        self.log.append(self._writer.message(at, subject, payload, self._writer.expecting(subject)))
        return self.log[-1]

    def round(self, now: datetime) -> Iterator[Decision]:
        """Judge as a dry run does, and write down all of it."""
        view = self.fold.view
        now = max(now, view.newest)
        while True:
            result = judge(view, now)
            if result.decisions:
                self.log.append(self._writer.frame(now, result.decisions))
            yield from result.decisions
            owed = [ExecutionId(name) for kind, name in view.owed if kind == "revoke"]
            if not result.overdue and not owed:
                return
            for execution in [*result.overdue, *owed]:
                self.log.append(self._writer.revoke(now, WorkflowRevoked(execution)))
                self.fold.fold_facts()
