"""Logs in which others write, too: right in every digest, and nothing that an orchestrator of ours would write."""

import msgspec
from story import CELL, CHECKOUT, STEADY, minute
from tampered import Odd

from remediation_orchestrator.events import (
    Decision,
    ExecutionId,
    OrchestratorStarted,
    RemediationId,
    WorkflowRevoked,
    encode,
    encode_frame,
    subjects,
)
from remediation_orchestrator.orchestrator.frames import decision_attributes, revocation_attributes
from remediation_orchestrator.orchestrator.routing.judge import judge
from remediation_orchestrator.orchestrator.routing.policy import policy_of

DIGEST = policy_of(STEADY).digest
DECISION = subjects.decision(CELL)
SIGNALS = subjects.signal(CELL, "test")
RR, WFE = RemediationId("rr-2"), ExecutionId("wfe-2")


def by(orchestrator: str) -> str:
    """The source of what an orchestrator writes."""
    return f"/ro/{CELL}/orchestrator/{orchestrator}"


def start(orchestrator: str) -> OrchestratorStarted:
    """A start as it comes in a log that has its policy."""
    return OrchestratorStarted(orchestrator, "test", "0123abcd", None, DIGEST)


class Forged(Odd):
    """A log in which others write frames, too, that are right but for who writes them and what is in them."""

    def forge(self, at: float, orchestrator: str, *decisions: Decision) -> int:
        """Store a frame of an orchestrator."""
        head = self.fold.head_of_next(orchestrator, minute(at))
        events = [(one, decision_attributes(one, by(orchestrator), minute(at))) for one in (head, *decisions)]
        return int(self.store(at, DECISION, encode_frame(events), self.expecting(DECISION)))

    def unsent(self, at: float) -> None:
        """Decide, and send nothing of what that owes."""
        self.fold.fold_facts(not_after=minute(at))
        list(self.frames(minute(at), judge(self.fold.view, minute(at)).decisions))

    def revoked(self, at: float, run: str, *, orchestrator: str = "o1") -> int:
        """Store the end of a run that nobody has begun."""
        fact, subject = WorkflowRevoked(ExecutionId(run)), subjects.execution(CELL, ExecutionId(run))
        payload = encode(fact, revocation_attributes(fact, by(orchestrator), minute(at)))
        return int(self.store(at, subject, payload, self.expecting(subject)))


def body(**more: object) -> bytes:
    """A bare signal."""
    said = {"name": "KubePodCrashLooping", "target": CHECKOUT, "resolves": True}
    return msgspec.json.encode({**said, **{key: value for key, value in more.items() if value is not None}})


def newest(log: Forged, part: str = ".decision") -> int:
    """The newest record of a kind."""
    return max(one.sequence for one in log.messages if part in one.subject)
