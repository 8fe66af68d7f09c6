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
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT, Policy, PolicyError, policy_of

from .moments import LogEnd, Moments


class Was(Struct, frozen=True, gc=False):
    """A recorded verdict, and the times that it set."""

    verdict: Verdict
    at: datetime
    start_before: datetime | None
    deadline: datetime | None

    @classmethod
    def of(cls, decided: RoutingDecided) -> "Was":
        """Return what is compared of a verdict."""
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
    started: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    ended: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    """Where the log tells of it, and its stamp there."""
    revoked: set[str] = field(default_factory=set)
    told: dict[str, int] = field(default_factory=dict)
    """Sequence of the last fact about each execution, and about each remediation's analyses."""
    policy: Policy = DEFAULT
    """In force at the end."""
    adopted: bool = False
    moments: Moments = field(default_factory=Moments)
    """Of all facts."""
    unknown: str | None = None
    """A decision of a type that this version does not know."""

    def take(self, message: StoredMessage) -> None:
        """Read the next message."""
        self.read = message.sequence
        subject = parse(message.subject)
        records: list[Recorded | Undecodable] = []
        match subject.family:
            case Family.DECISION:
                records = decode(message)
                self._take_frame(message.sequence, records)
            case Family.EXECUTION | Family.ANALYSIS:
                self.told[subject.rest] = message.sequence
                self._take_runs(message)
            case Family.OPERATOR:
                self._take_policies(message)
            case Family.SIGNAL | Family.COMMAND:
                pass
        self.moments.take(message, records)

    def end(self, cut: LogEnd | None = None) -> None:
        """The log is over: the moment of everything in it is known, be it by what stands behind a cut."""
        self.moments.end()
        if cut is not None:
            self.moments = cut.moments

    def start_latency(self, execution: ExecutionId) -> timedelta | None:
        """How long after its decision a run was started; None where the log shows no start."""
        return self._since_decided(execution, self.started.get(execution))

    def end_latency(self, execution: ExecutionId) -> timedelta | None:
        """How long after its decision a run ended; None where the log shows no end."""
        return self._since_decided(execution, self.ended.get(execution))

    def _since_decided(self, execution: ExecutionId, told: tuple[int, datetime] | None) -> timedelta | None:
        decided = self.decided.get(execution)
        return None if decided is None or told is None else self.moments.at(*told) - decided

    def _take_frame(self, sequence: int, records: list[Recorded | Undecodable]) -> None:
        self.last_frame = sequence
        for record in records:
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

    def _take_policies(self, message: StoredMessage) -> None:
        for record in decode(message):
            if isinstance(record, Recorded) and isinstance(record.event, PolicyAdopted):
                self._adopt(record.event.policy)

    def _take_runs(self, message: StoredMessage) -> None:
        here = message.sequence, message.recorded_at
        for record in decode(message):
            match record.event if isinstance(record, Recorded) else None:
                case WorkflowStarted(execution=execution):
                    self.started.setdefault(execution, here)
                case WorkflowCompleted(execution=execution) | WorkflowFailed(execution=execution):
                    self.started.setdefault(execution, here)
                    self.ended.setdefault(execution, here)
                case WorkflowRevoked(execution=execution):
                    self.revoked.add(execution)
                case _:
                    pass

    def _adopt(self, document: dict[str, object]) -> None:
        try:
            self.policy = policy_of(document)
        except PolicyError:
            return
        self.adopted = True
