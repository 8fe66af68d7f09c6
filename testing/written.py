"""A log as a cell would have written it: facts at given minutes, frames and commands as they follow, no broker."""

from datetime import datetime
from pathlib import Path

import msgspec

from remediation_orchestrator.events import (
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
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.events.stored import export_line
from remediation_orchestrator.orchestrator.routing.judge import judge
from remediation_orchestrator.orchestrator.routing.policy import Policy, policy_of

from .story import CELL, CHECKOUT, STEADY, minute
from .writer import LogWriter

SOURCE = f"/ro/{CELL}/orchestrator/o1"


class WrittenLog(LogWriter):
    """Every message of a cell's log, as it would be stored."""

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__(CELL)
        self.messages: list[StoredMessage] = []
        document = STEADY if policy is None else policy.document()
        started = OrchestratorStarted(self.orchestrator, "test", "0123abcd", document, policy_of(document).digest)
        self.begin(minute(0), started)

    def message(
        self, at: datetime, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> StoredMessage:
        """Store it, and keep it."""
        message = super().message(at, subject, payload, headers)
        self.messages.append(message)
        return message

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
        self.store(at, subject, encode(fact, attributes), self.expecting(subject))
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
        return Position(str(self.append(minute(at), subject, payload, headers).sequence))

    def decide(self, at: float) -> None:
        """A round: its frame, and the commands that it owes."""
        now = minute(at)
        self.fold.fold_facts(not_after=now)
        list(self.frames(now, judge(self.fold.view, now).decisions))
        list(self.send(now))

    def export(self, path: Path) -> Path:
        """Write it as `ro export` does."""
        path.write_bytes(b"".join(export_line(message) + b"\n" for message in self.messages))
        return path
