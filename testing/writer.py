"""A log as a cell would write it, with no broker and no clock: what is stored is numbered, and read by one fold.

An orchestrator's part of it is made by the orchestrator's own functions."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from remediation_orchestrator.events import (
    CellName,
    Command,
    Decision,
    DecisionFrame,
    OrchestratorStarted,
    PhaseChanged,
    StoredMessage,
    WorkflowRevoked,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import event_source, join_frame
from remediation_orchestrator.events.stored import EXPECTED
from remediation_orchestrator.orchestrator.frames import (
    Batch,
    batches,
    command_attributes,
    decision_attributes,
    revocation_attributes,
)
from remediation_orchestrator.orchestrator.routing.decisions import fold_decision
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.outbox import command_of, revocation_of


class LogWriter:
    """Stores what happens in a cell, and what its one orchestrator makes of it when it is told to."""

    def __init__(self, cell: CellName, orchestrator: str = "o1", *, fold: Fold | None = None) -> None:
        self.cell = cell
        self.orchestrator = orchestrator
        self.source = event_source(cell, f"orchestrator/{orchestrator}")
        self.fold = Fold() if fold is None else fold
        self._stored = 0
        self._last: dict[str, int] = {}
        """Of each subject the newest record."""

    def expecting(self, subject: str) -> dict[str, str]:
        """Return what whoever stores the next record on a subject says of the last."""
        return {EXPECTED: str(self._last.get(subject, 0))}

    def message(
        self, at: datetime, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> StoredMessage:
        """Store a message; nobody has read it yet."""
        self._stored += 1
        self._last[subject] = self._stored
        return StoredMessage(self._stored, at, subject, payload, headers)

    def append(
        self, at: datetime, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> StoredMessage:
        """Store a message, and read it."""
        message = self.message(at, subject, payload, headers)
        self.fold.take(message)
        return message

    def begin(self, now: datetime, started: OrchestratorStarted) -> StoredMessage:
        """The orchestrator begins."""
        message = self.frame(now, [started])
        fold_decision(self.fold.view, started, None)
        return message

    def batches(self, decisions: Sequence[Decision], now: datetime) -> Iterator[Batch]:
        """How decisions are parted, and written."""
        return batches(decisions, self.source, now)

    def frames(self, now: datetime, decisions: Sequence[Decision]) -> Iterator[StoredMessage]:
        """Store the decisions of a round: one frame, or a few."""
        for batch in self.batches(decisions, now):
            yield self.frame(now, batch.decisions, batch.encoded)

    def frame(
        self, now: datetime, decisions: Sequence[Decision], encoded: Sequence[bytes] | None = None
    ) -> StoredMessage:
        """Store a frame behind the one before it."""
        head, payload = self.written(now, decisions, encoded)
        subject = subjects.decision(self.cell)
        message = self.message(now, subject, payload, self.expecting(subject))
        self.fold.stored(message.sequence, [head, *decisions], payload)
        self.fold.skip(message)
        return message

    def written(
        self, now: datetime, decisions: Sequence[Decision], encoded: Sequence[bytes] | None = None
    ) -> tuple[DecisionFrame, bytes]:
        """The head of the next frame, and the frame's bytes."""
        head = self.fold.head_of_next(self.orchestrator, now)
        items = encoded or [encode(one, decision_attributes(one, self.source, now)) for one in decisions]
        return head, join_frame([encode(head, decision_attributes(head, self.source, now)), *items])

    def send(self, now: datetime) -> Iterator[tuple[Command, StoredMessage]]:
        """Store every command that is owed."""
        for (kind, _), owed in list(self.fold.view.owed.items()):
            if kind != "revoke" and owed.position is not None:
                command = command_of(kind, owed.decision, owed.position)
                subject = subjects.command(self.cell, command)
                payload = encode(command, command_attributes(command, self.source, now))
                yield command, self.append(now, subject, payload, self.expecting(subject))

    def revoke(self, now: datetime, fact: WorkflowRevoked) -> StoredMessage:
        """Store that a run is over which nobody has begun."""
        subject = subjects.execution(self.cell, fact.execution)
        payload = encode(fact, revocation_attributes(fact, self.source, now))
        return self.append(now, subject, payload, self.expecting(subject))

    def revoke_owed(self, now: datetime) -> Iterator[StoredMessage]:
        """Store every revocation that is owed."""
        for (kind, _), owed in list(self.fold.view.owed.items()):
            if kind == "revoke" and isinstance(owed.decision, PhaseChanged):
                yield self.revoke(now, revocation_of(owed.decision))
