"""A log as a cell would have written it: facts at given minutes, frames and commands as they follow, no broker."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from story import CELL, CHECKOUT, STEADY, minute

from remediation_orchestrator.events import (
    Decision,
    ExecutionId,
    Fact,
    OrchestratorStarted,
    Position,
    StoredMessage,
    Target,
    WorkflowFailed,
    WorkflowStarted,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes, join_frame
from remediation_orchestrator.events.stored import EXPECTED, export_line
from remediation_orchestrator.orchestrator.frames import Batch, batches, command_attributes, decision_attributes
from remediation_orchestrator.orchestrator.routing.decisions import fold_decision
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.judge import judge
from remediation_orchestrator.orchestrator.routing.owed import command_of
from remediation_orchestrator.orchestrator.routing.policy import policy_of

SOURCE = f"/ro/{CELL}/orchestrator/o1"


class WrittenLog:
    """Every message of a cell's log, as it would be stored."""

    def __init__(self) -> None:
        self.messages: list[StoredMessage] = []
        self._fold = Fold()
        started = OrchestratorStarted("o1", "test", "0123abcd", STEADY, policy_of(STEADY).digest)
        attributes = decision_attributes(started, SOURCE, minute(0))
        self._store_frame(minute(0), [started], [encode(started, attributes)])
        fold_decision(self._fold.view, started, None)

    def signal(
        self, at: float, name: str = "KubePodCrashLooping", *, target: Target = CHECKOUT, **more: object
    ) -> Position:
        """A bare signal that names its workflow, from a source that resolves, and what is decided on it."""
        body = {"name": name, "target": target, "resolves": True, "workflow": {"id": "restart"}, **more}
        place = self.store(at, subjects.signal(CELL, "test"), msgspec.json.encode(body))
        self.decide(at)
        return place

    def fact(self, at: float, subject: str, fact: Fact) -> None:
        """A fact, and what is decided on it."""
        attributes = Attributes(id=str(len(self.messages)), source=SOURCE, time=minute(at))
        self.store(at, subject, encode(fact, attributes), self._expecting(subject))
        self.decide(at)

    def fails(self, at: float, execution: str, *, idempotent: bool = True) -> None:
        """A run is started, and fails half-way."""
        run = ExecutionId(execution)
        subject = subjects.execution(CELL, run)
        self.fact(at, subject, WorkflowStarted(run, executor="e1"))
        failed = WorkflowFailed(run, reason="TaskFailed", message="exit code 3", idempotent=idempotent)
        self.fact(at, subject, failed)

    def store(self, at: float, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> Position:
        """Store a message, with nothing decided on it yet."""
        message = StoredMessage(len(self.messages) + 1, minute(at), subject, payload, headers)
        self.messages.append(message)
        self._fold.take(message)
        return Position(str(message.sequence))

    def decide(self, at: float) -> None:
        """A round: its frame, and the commands that it owes."""
        now = minute(at)
        self._fold.fold_facts(not_after=now)
        for batch in self.batches(judge(self._fold.view, now).decisions, now):
            self._store_frame(now, batch.decisions, batch.encoded)
        for (kind, _), owed in list(self._fold.view.owed.items()):
            if kind != "revoke" and owed.position is not None:
                command = command_of(kind, owed.decision, owed.position)
                subject = subjects.command(CELL, command)
                payload = encode(command, command_attributes(command, SOURCE, now))
                self.store(at, subject, payload, self._expecting(subject))

    def batches(self, decisions: list[Decision], now: datetime) -> Iterator[Batch]:
        """How decisions are written."""
        return batches(decisions, SOURCE, now)

    def export(self, path: Path) -> Path:
        """Write it as `ro export` does."""
        path.write_bytes(b"".join(export_line(message) + b"\n" for message in self.messages))
        return path

    def _store_frame(self, now: datetime, decisions: Sequence[Decision], encoded: list[bytes]) -> None:
        head = self._fold.head("o1", now)
        payload = join_frame([encode(head, decision_attributes(head, SOURCE, now)), *encoded])
        subject = subjects.decision(CELL)
        message = StoredMessage(len(self.messages) + 1, now, subject, payload, self._expecting(subject))
        self.messages.append(message)
        self._fold.stored(message.sequence, [head, *decisions], payload)
        self._fold.skip(message)

    def _expecting(self, subject: str) -> dict[str, str]:
        """What is said of the last record on a subject by whoever stores the next."""
        last = next((one.sequence for one in reversed(self.messages) if one.subject == subject), 0)
        return {EXPECTED: str(last)}
