"""Which remediation a record is about, as far as the record itself says so: one place that knows every event."""

from typing import assert_never

from .codec import Event
from .commands import AnalyzeSignal, CancelWorkflow, CreateWorkflow, Notify
from .decisions import (
    DecisionFrame,
    LogArchived,
    OrchestratorStarted,
    PhaseChanged,
    PolicyRejected,
    RoutingDecided,
    ShadowDecided,
    SignalRejected,
    TargetReleased,
    VerificationEnded,
)
from .facts import (
    AnalysisCompleted,
    AnalysisFailed,
    ApprovalGranted,
    ApprovalRejected,
    ArchiveRequested,
    BlockCleared,
    LossAccepted,
    PolicyAdopted,
    PolicyShadowed,
    RemediationCancelled,
    RetryRequested,
    SignalReceived,
    SignalResolved,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
)
from .identity import Fingerprint, RemediationId, named_by, remediation_id


def about(event: Event) -> RemediationId | None:
    """The remediation that an event names, itself, by a run or by a verdict of it; None where it names none.

    A signal names a problem: which remediation that opens, or counts on, is said by its verdict."""
    match event:
        case SignalReceived() | SignalResolved() | BlockCleared():
            return None
        case WorkflowStarted() | WorkflowCompleted() | WorkflowFailed() | WorkflowRevoked() | TargetReleased():
            return named_by(event.execution)
        case AnalysisCompleted() | AnalysisFailed() | ApprovalGranted() | ApprovalRejected():
            return named_by(event.remediation)
        case RemediationCancelled() | RetryRequested() | RoutingDecided() | PhaseChanged() | VerificationEnded():
            return named_by(event.remediation)
        case CreateWorkflow() | AnalyzeSignal() | CancelWorkflow() | Notify():
            return named_by(event.remediation)
        case ShadowDecided():
            return remediation_id(event.signal)
        case PolicyAdopted() | PolicyShadowed() | PolicyRejected() | OrchestratorStarted() | DecisionFrame():
            return None
        case ArchiveRequested() | LogArchived() | LossAccepted() | SignalRejected():
            return None
        case _:
            assert_never(event)


def fingerprint_in(event: Event) -> Fingerprint | None:
    """The fingerprint that an event carries itself, if it does."""
    found: Fingerprint | None = getattr(event, "fingerprint", None)
    return found
