"""What a log says of its own verdicts and runs, gathered before it is judged again.

It only looks up; what follows from it is the backtest's to say."""

from datetime import datetime, timedelta

from msgspec import Struct, field

from remediation_orchestrator.events import (
    DecisionFrame,
    ExecutionId,
    OrchestratorStarted,
    PolicyAdopted,
    Position,
    Recorded,
    RoutingDecided,
    StoredMessage,
    Undecodable,
    Verdict,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
    decode,
)
from remediation_orchestrator.events.subjects import Family, parse

from .routing.policy import DEFAULT, Policy, PolicyError, policy_of


class Was(Struct, frozen=True, gc=False):
    """A recorded verdict, and the times that it set."""

    verdict: Verdict
    at: datetime
    start_before: datetime | None
    deadline: datetime | None

    @classmethod
    def of(cls, decided: RoutingDecided) -> "Was":
        """What is compared of a verdict."""
        return cls(decided.verdict, decided.situation.now, decided.start_before, decided.deadline)


class Known(Struct):
    """All that a log has decided, and how its runs went."""

    read: int = 0
    """Sequence of the newest message."""
    last_frame: int = 0
    as_of: int = 0
    """Facts beyond this sequence are answered by no decision."""
    verdicts: dict[tuple[Position, int], Was] = field(default_factory=dict)
    decided: dict[str, datetime] = field(default_factory=dict)
    """Runs and analyses that were decided, and when."""
    runs: int = 0
    started: dict[str, datetime] = field(default_factory=dict)
    ended: dict[str, datetime] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    told: dict[str, int] = field(default_factory=dict)
    """Sequence of the last fact about each execution, and about each remediation's analyses."""
    policy: Policy = DEFAULT
    """In force at the end."""
    adopted: bool = False
    unknown: str | None = None
    """A decision of a type that this version does not know."""

    def take(self, message: StoredMessage) -> None:
        """Read the next message."""
        self.read = message.sequence
        subject = parse(message.subject)
        match subject.family:
            case Family.DECISION:
                self._take_frame(message)
            case Family.EXECUTION | Family.ANALYSIS:
                self.told[subject.rest] = message.sequence
                self._take_facts(message)
            case Family.OPERATOR:
                self._take_facts(message)
            case Family.SIGNAL | Family.COMMAND:
                pass

    def start_latency(self, execution: ExecutionId) -> timedelta | None:
        """How long after its decision a run was started; None where the log shows no start."""
        return _between(self.decided.get(execution), self.started.get(execution))

    def end_latency(self, execution: ExecutionId) -> timedelta | None:
        """How long after its decision a run ended; None where the log shows no end."""
        return _between(self.decided.get(execution), self.ended.get(execution))

    def _take_frame(self, message: StoredMessage) -> None:
        self.last_frame = message.sequence
        for record in decode(message):
            if isinstance(record, Undecodable):
                if record.unknown_type is not None:
                    self.unknown = f"{record.unknown_type} at {record.position}"
                continue
            match record.event:
                case DecisionFrame(as_of=as_of):
                    self.as_of = max(self.as_of, as_of)
                case RoutingDecided() as decided:
                    self._take_verdict(decided)
                case OrchestratorStarted(policy=dict() as policy) if not self.adopted:
                    self._adopt(policy)
                case _:
                    pass

    def _take_verdict(self, decided: RoutingDecided) -> None:
        self.verdicts[decided.signal, decided.attempt] = Was.of(decided)
        for what in (decided.execution, decided.analysis):
            if what is not None:
                self.decided[what] = decided.situation.now
        self.runs += decided.execution is not None

    def _take_facts(self, message: StoredMessage) -> None:
        for record in decode(message):
            match record.event if isinstance(record, Recorded) else None:
                case WorkflowStarted(execution=execution):
                    self.started.setdefault(execution, record.recorded_at)
                case WorkflowCompleted(execution=execution) | WorkflowFailed(execution=execution):
                    self.started.setdefault(execution, record.recorded_at)
                    self.ended.setdefault(execution, record.recorded_at)
                case WorkflowRevoked(execution=execution):
                    self.revoked.add(execution)
                case PolicyAdopted(policy=policy):
                    self._adopt(policy)
                case _:
                    pass

    def _adopt(self, document: dict[str, object]) -> None:
        try:
            self.policy = policy_of(document)
        except PolicyError:
            return
        self.adopted = True


def _between(earlier: datetime | None, later: datetime | None) -> timedelta | None:
    return None if earlier is None or later is None else later - earlier
