"""What a log says of one remediation, in order: an observer that looks on while the log is folded.

Pure: it keeps records, words them for readers, and changes nothing of the fold."""

from datetime import datetime
from textwrap import shorten

from msgspec import Struct
from msgspec.structs import replace

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    AnalyzeSignal,
    ApprovalGranted,
    ApprovalRejected,
    ArchiveRequested,
    BlockCleared,
    CancelWorkflow,
    CreateWorkflow,
    DecisionFrame,
    Duplicate,
    Event,
    ExecutionId,
    Fingerprint,
    LogArchived,
    LossAccepted,
    Notify,
    OrchestratorStarted,
    PhaseChanged,
    PolicyAdopted,
    PolicyRejected,
    PolicyShadowed,
    Position,
    Recorded,
    RemediationCancelled,
    RemediationId,
    RetryRequested,
    RoutingDecided,
    ShadowDecided,
    SignalReceived,
    SignalRejected,
    SignalResolved,
    StoredMessage,
    Target,
    TargetReleased,
    Undecodable,
    VerificationEnded,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
    decode,
)
from remediation_orchestrator.events.about import about
from remediation_orchestrator.events.facts import OperatorFact, RunFact
from remediation_orchestrator.events.identity import position_key, signal_of
from remediation_orchestrator.events.wording import plainly
from remediation_orchestrator.orchestrator.routing.fold import Observer
from remediation_orchestrator.orchestrator.routing.state import Remediation
from remediation_orchestrator.orchestrator.routing.words import describe, describe_tried

from .chronicle import Chronicle
from .obstacles import FINGERPRINT_DIGITS


class Entry(Struct, frozen=True):
    """A record that is about the remediation."""

    position: Position
    recorded_at: datetime
    type: str
    says: str
    data: Event


class RunView(Struct, frozen=True, kw_only=True):
    """One run of a remediation, as far as it has come."""

    execution: ExecutionId
    workflow: str | None
    outcome: str
    decided_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    executor: str | None = None
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None
    output: str | None = None


class History(Observer):
    """Gathers the records of one remediation."""

    def __init__(self, remediation: RemediationId) -> None:
        self.chronicle = Chronicle()
        self._entries: list[Entry] = []
        self.counted_on: RemediationId | None = None
        """The remediation that its signal turned out to repeat."""
        self._remediation = remediation
        self._signal = signal_of(remediation)
        self._fingerprint: Fingerprint | None = None
        self._target: Target | None = None
        self._ended = False
        self._succeeded = False
        """Whether another has come after it on the same problem."""
        self._unjudged: dict[Position, Recorded] = {}
        """Signals of its problem without a verdict: which of them counts on it is said by that."""

    @property
    def entries(self) -> list[Entry]:
        """The records about it, in the order of the log."""
        return sorted(self._entries, key=lambda one: position_key(one.position))

    def fact(self, record: Recorded | Undecodable, *, fits: bool) -> None:
        """Keep a fact that is about it."""
        self.chronicle.fact(record, fits=fits)
        if isinstance(record, Undecodable):
            return
        if record.position == self._signal and isinstance(record.event, SignalReceived):
            self._fingerprint = Fingerprint(record.event.fingerprint)
            self._target = record.event.target
            self._keep(record)
        elif isinstance(record.event, SignalReceived):
            if record.event.fingerprint == self._fingerprint:
                self._unjudged[record.position] = record
        elif self._concerns(record.event):
            self._keep(record)

    def decision(self, record: Recorded | Undecodable) -> None:
        """Keep a decision on it."""
        self.chronicle.decision(record)
        if isinstance(record, Undecodable):
            return
        match record.event:
            case RoutingDecided(signal=self._signal, verdict=Duplicate(of=original)) if (
                original != self._remediation
            ):
                self.counted_on = original
            case RoutingDecided(remediation=self._remediation, verdict=Duplicate()) as decided:
                repeated = self._unjudged.pop(decided.signal, None)
                if repeated is not None:
                    self._keep(repeated)
                self._keep(record)
            case RoutingDecided(remediation=self._remediation) as decided:
                self._ended = self._succeeded = False
                self._target = decided.situation.target
                self._keep(record)
            case RoutingDecided(signal=other) if self._unjudged.pop(other, None) is not None:
                self._succeeded = True
            case PhaseChanged(remediation=self._remediation) as changed:
                self._ended = changed.phase.ended
                self._keep(record)
            case event if about(event) == self._remediation:
                self._keep(record)

    def command(self, message: StoredMessage, key: tuple[str, str]) -> None:
        """Keep a command that it led to."""
        for record in decode(message):
            if isinstance(record, Recorded) and about(record.event) == self._remediation:
                self._keep(record)

    def forgotten(self, remediation: Remediation) -> None:
        """Keep what the projection lets go of it."""
        if remediation.id == self._remediation:
            self.chronicle.forgotten(remediation)

    def _concerns(self, event: Event) -> bool:
        match event:
            case SignalResolved():  # That it is over is said behind its repair, until it shows itself again.
                shown_again = self._succeeded or (self._ended and bool(self._unjudged))
                return event.fingerprint == self._fingerprint and not shown_again
            case BlockCleared():
                return not self._succeeded and (
                    event.fingerprint == self._fingerprint if event.fingerprint else event.target == self._target
                )
            case _:
                return about(event) == self._remediation

    def _keep(self, record: Recorded) -> None:
        kind = f"{type(record.event).__name__}.v1"
        self._entries.append(Entry(record.position, record.recorded_at, kind, says(record.event), record.event))


class Locator(Chronicle):
    """Finds the remediation that has a record at a position. ValueError where `place` is no position."""

    def __init__(self, place: str) -> None:
        super().__init__()
        position_key(place)
        self._place = place
        self.found: RemediationId | None = None

    def fact(self, record: Recorded | Undecodable, *, fits: bool) -> None:
        """A fact may name it; a signal's verdict comes later."""
        super().fact(record, fits=fits)
        self._look(record)

    def decision(self, record: Recorded | Undecodable) -> None:
        """A decision names its remediation, and the fact that caused it."""
        super().decision(record)
        self._look(record)
        event = record.event if isinstance(record, Recorded) else None
        if isinstance(event, RoutingDecided | PhaseChanged) and self.found is None:
            because = event.because.position
            if self._place in (because, getattr(event, "signal", None)):
                self.found = event.remediation

    def command(self, message: StoredMessage, key: tuple[str, str]) -> None:
        """A command names its remediation."""
        for record in decode(message):
            self._look(record)

    def _look(self, record: Recorded | Undecodable) -> None:
        here = self._place in (record.position, record.position.partition("-")[0])
        if self.found is None and here and isinstance(record, Recorded):
            self.found = about(record.event)


def run_views(entries: list[Entry]) -> list[RunView]:
    """The runs that a remediation's records tell of, in their order."""
    runs: dict[ExecutionId, RunView] = {}
    for entry in entries:
        match entry.data:
            case RoutingDecided(execution=str(execution), workflow=workflow):
                runs[ExecutionId(execution)] = RunView(
                    execution=ExecutionId(execution),
                    workflow=workflow.id if workflow else None,
                    outcome="not begun",
                    decided_at=entry.recorded_at,
                )
            case WorkflowStarted() | WorkflowCompleted() | WorkflowFailed() | WorkflowRevoked() as event:
                run = runs.get(event.execution)
                if run is not None and run.ended_at is None:
                    runs[event.execution] = _with(run, event, entry.recorded_at)
            case _:
                pass
    return list(runs.values())


# Enough to tell the plans of one remediation apart, and few enough to be typed.
PLAN_DIGITS = 12
# All of Alertmanager's, and the beginning of what is longer.
ALERT_CHARACTERS = 24
# All of it stands in the record: `ro show --json`.
RATIONALE_CHARACTERS = 200


def says(event: Event) -> str:
    """One line for a person on what a record says."""
    match event:
        case RoutingDecided():
            return _verdict(event)
        case PhaseChanged():
            plan = event.plan and f"of plan {event.plan[:PLAN_DIGITS]}"
            return _joined(event.phase, event.outcome, event.failure_phase, plan, f"because {event.because.kind}")
        case SignalReceived() | SignalResolved():
            alert = event.alert and f"alert {event.alert[:ALERT_CHARACTERS]}"
            return _joined(event.name, "on", str(event.target), alert)
        case CreateWorkflow():
            return _joined(event.execution, event.workflow.id, "on", str(event.target))
        case WorkflowStarted():
            return _joined(event.execution, event.executor and f"by {event.executor}")
        case WorkflowFailed():
            when = "during execution" if event.was_execution_failure else "before execution"
            return _joined(event.execution, event.reason, when, _last_line(event.message))
        case AnalyzeSignal():
            return _joined("a workflow for", event.name, "on", str(event.target), describe_tried(event.tried))
        case AnalysisCompleted():
            return _found(event)
        case Notify() | AnalysisFailed():
            return _joined(*_reason(event))
        case ShadowDecided():
            return _joined("another policy, in shadow:", describe(event.verdict))
        case RemediationCancelled() | RetryRequested() | ArchiveRequested() | LossAccepted():
            return _act(event)
        case BlockCleared() | ApprovalGranted() | ApprovalRejected() | PolicyAdopted() | PolicyShadowed():
            return _act(event)
        case VerificationEnded():
            return _joined(event.execution, event.result)
        case WorkflowCompleted() | TargetReleased():
            return event.execution
        case WorkflowRevoked() | CancelWorkflow():
            return _joined(event.execution, event.reason)
        case SignalRejected():
            return _joined(event.reason, plainly(event.message))
        case DecisionFrame() | OrchestratorStarted() | PolicyRejected() | LogArchived():
            return ""


def _verdict(decided: RoutingDecided) -> str:
    leads = decided.execution or (f"analysis {decided.analysis}" if decided.analysis else "")
    attempt = f"(attempt {decided.attempt}, because {decided.because.kind})"
    return _joined(describe(decided.verdict), leads and f"→ {leads}", attempt)


def _act(act: OperatorFact) -> str:
    problem = act.fingerprint[:FINGERPRINT_DIGITS] if isinstance(act, BlockCleared) and act.fingerprint else None
    who = act.by and (f"by {act.by}: " if act.reason else f"by {act.by}")
    return _joined(problem, f"{who}{act.reason}")


def _found(event: AnalysisCompleted) -> str:
    """What an analyser has chosen, how sure it is, and why."""
    chosen = event.workflow.id if event.workflow else "no workflow fits"
    sure = "" if event.confidence is None else f"(confidence {event.confidence:g})"
    others = ", ".join(one.workflow for one in event.alternatives)
    why = shorten(event.rationale, RATIONALE_CHARACTERS, placeholder="…")
    return _joined(
        chosen,
        sure,
        event.analyser and f"by {event.analyser}",
        others and f"rather than {others}",
        why and f"because: {why}",
    )


def _joined(*parts: str | None) -> str:
    return " ".join(part for part in parts if part)


def _reason(event: Notify | AnalysisFailed) -> tuple[str | None, ...]:
    if isinstance(event, Notify):
        return event.outcome, event.reason
    return event.reason, event.message


def _last_line(text: str) -> str:
    """What a program said last is most often what went wrong."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


def _with(
    run: RunView,
    event: RunFact,
    at: datetime,
) -> RunView:
    match event:
        case WorkflowStarted():
            return replace(run, outcome="running", started_at=at, executor=event.executor or None)
        case WorkflowCompleted():
            return replace(run, outcome="completed", ended_at=at, output=event.output)
        case WorkflowFailed():
            return replace(
                run,
                outcome="failed",
                ended_at=at,
                reason=event.reason,
                message=event.message,
                exit_code=event.exit_code,
            )
        case WorkflowRevoked():
            return replace(run, outcome="revoked", ended_at=at, reason=event.reason)
