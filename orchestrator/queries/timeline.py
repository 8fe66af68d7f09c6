"""The story of a remediation, of a problem or of a target: its records in order, and what lasted as bars.

Pure: it looks on while a log is folded, and words what it has seen. Commands are left out: they follow from
decisions."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    Block,
    BlockCleared,
    Duplicate,
    Event,
    Phase,
    PhaseChanged,
    Position,
    Reason,
    Recorded,
    RemediationId,
    RoutingDecided,
    SignalReceived,
    SignalResolved,
    Undecodable,
    VerificationEnded,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
)
from remediation_orchestrator.events.about import about
from remediation_orchestrator.events.identity import position_key, remediation_id
from remediation_orchestrator.orchestrator.routing.fold import Observer
from remediation_orchestrator.orchestrator.routing.state import Remediation

from .history import says


class Step(Struct, frozen=True, tag="step", tag_field="kind"):
    """One record. What is about a problem or a target as a whole names no remediation."""

    position: Position
    recorded_at: datetime
    remediation: RemediationId | None
    type: str
    says: str
    data: Event


class Lasting(StrEnum):
    """What takes time in a remediation's life."""

    ANALYSIS = "analysis"
    APPROVAL = "approval"
    BLOCK = "block"
    QUEUE = "queue"
    START = "start"
    RUN = "run"
    VERIFICATION = "verification"


class Bar(Struct, frozen=True, tag="bar", tag_field="kind"):
    """Something that lasted; without an end it does so still."""

    remediation: RemediationId
    what: Lasting
    says: str
    begin: datetime
    end: datetime | None = None
    outcome: str = ""


class Timeline(Observer):
    """Gathers the records about some remediations, and about their problems and targets while these lived."""

    def __init__(self, wanted: Iterable[Remediation]) -> None:
        remediations = list(wanted)
        self._wanted = {one.id for one in remediations}
        self._fingerprints = {one.fingerprint for one in remediations}
        self._targets = {one.target for one in remediations}
        self._steps: list[Step] = []

    @property
    def steps(self) -> list[Step]:
        """What happened, in the order of the log, from the first to the last record about a remediation."""
        ordered = sorted(self._steps, key=lambda one: position_key(one.position))
        own = [number for number, step in enumerate(ordered) if step.remediation is not None]
        return ordered[own[0] : own[-1] + 1] if own else []

    def fact(self, record: Recorded | Undecodable, *, fits: bool) -> None:
        """Keep a fact that is about one of them."""
        if isinstance(record, Undecodable):
            return
        match record.event:
            case SignalReceived() | SignalResolved() as signal:
                opened = remediation_id(record.position)
                if signal.fingerprint in self._fingerprints:
                    self._keep(record, opened if opened in self._wanted else None)
            case BlockCleared() as cleared:
                if cleared.fingerprint in self._fingerprints or cleared.target in self._targets:
                    self._keep(record, None)
            case _:
                self._keep_own(record)

    def decision(self, record: Recorded | Undecodable) -> None:
        """Keep a decision about one of them."""
        if isinstance(record, Recorded):
            self._keep_own(record)

    def _keep_own(self, record: Recorded) -> None:
        remediation = about(record.event)
        if remediation in self._wanted:
            self._keep(record, remediation)

    def _keep(self, record: Recorded, remediation: RemediationId | None) -> None:
        kind = f"{type(record.event).__name__}.v1"
        self._steps.append(
            Step(record.position, record.recorded_at, remediation, kind, says(record.event), record.event)
        )


def bars(steps: Iterable[Step]) -> list[Bar]:
    """Return what lasted, by its beginning."""
    lasting = _Lasting()
    for step in steps:
        if step.remediation is not None:
            lasting.take(step, step.remediation)
    return sorted([*lasting.over, *lasting.going.values()], key=lambda one: one.begin)


class _Lasting:
    """What goes on, by the remediation or the run that it is about, and what is over."""

    def __init__(self) -> None:
        self.going: dict[str, Bar] = {}
        self.over: list[Bar] = []

    def take(self, step: Step, remediation: RemediationId) -> None:
        at = step.recorded_at
        match step.data:
            case RoutingDecided() as decided if not isinstance(decided.verdict, Duplicate):
                self._end(remediation, at)
                self._begin(decided, remediation, at)
            case WorkflowStarted(execution=execution) if execution in self.going:
                self._end(execution, at)
                self.going[execution] = Bar(remediation, Lasting.RUN, execution, at)
            case WorkflowCompleted(execution=execution):
                self._end(execution, at, "completed")
            case WorkflowFailed(execution=execution, reason=reason):
                self._end(execution, at, f"failed: {reason}")
            case WorkflowRevoked(execution=execution):
                self._end(execution, at, "revoked")
            case AnalysisCompleted() | AnalysisFailed():
                self._end(remediation, at, step.says)
            case PhaseChanged(phase=Phase.AWAITING_APPROVAL):
                self.going[remediation] = Bar(remediation, Lasting.APPROVAL, "waits for a person", at)
            case PhaseChanged(phase=Phase.VERIFYING):
                self.going[remediation] = Bar(remediation, Lasting.VERIFICATION, "is verified", at)
            case VerificationEnded(result=result):
                self._end(remediation, at, result)
            case PhaseChanged(phase=phase) if phase.ended:
                self._end(remediation, at, phase)
            case _:
                pass

    def _begin(self, decided: RoutingDecided, remediation: RemediationId, at: datetime) -> None:
        if decided.execution is not None:
            waits = f"{decided.execution} waits for an executor"
            self.going[decided.execution] = Bar(remediation, Lasting.START, waits, at)
        elif decided.analysis is not None:
            self.going[remediation] = Bar(remediation, Lasting.ANALYSIS, f"analysis {decided.analysis}", at)
        elif isinstance(decided.verdict, Block):
            queues = decided.verdict.reason is Reason.RESOURCE_BUSY
            what = Lasting.QUEUE if queues else Lasting.BLOCK
            self.going[remediation] = Bar(remediation, what, decided.verdict.reason, at)

    def _end(self, key: str, at: datetime, outcome: str = "") -> None:
        bar = self.going.pop(key, None)
        if bar is not None:
            self.over.append(replace(bar, end=at, outcome=outcome))
