"""Facts: what the world outside says happened. Anyone may publish signals; nobody may take a fact back."""

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from .identity import ExecutionId, Fingerprint, Name, Part, RemediationId, Target, Within, WorkflowRef, Zoned

# Some paragraphs for a person; whoever wants to say more says where it stands.
RATIONALE_LENGTH_MAX = 4_096
# More than anybody reads.
ALTERNATIVES_MAX = 16


class Severity(StrEnum):
    """How bad it is, in the words of the field. A source may say another; these are the ones that we write."""

    CRITICAL = "critical"
    HIGH = "high"
    WARNING = "warning"
    INFO = "info"
    UNKNOWN = "unknown"


class FailureReason(StrEnum):
    """Why a run ended badly, in the words that are known. A fact may say another, which is taken as it is."""

    OOM_KILLED = "OOMKilled"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    FORBIDDEN = "Forbidden"
    RESOURCE_EXHAUSTED = "ResourceExhausted"
    CONFIGURATION_ERROR = "ConfigurationError"
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    TASK_FAILED = "TaskFailed"
    UNSUPPORTED_ENGINE = "UnsupportedEngine"
    EXECUTOR_LOST = "ExecutorLost"
    UNKNOWN = "Unknown"


class Signal(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a signal says, on the wire and in the bare form that anyone can publish.

    An empty `fingerprint` is derived from the target and the name when the signal is decoded. `alert` is its
    source's own id of what fires: several may fire for one problem, which is over when all have resolved.
    `within` says in which other targets its own stands."""

    name: Name
    target: Target
    status: Literal["firing", "resolved"] = "firing"
    severity: Part = Severity.UNKNOWN
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    starts_at: Zoned | None = None
    fingerprint: Part = ""
    resolves: bool = False
    workflow: WorkflowRef | None = None
    environment: Part = ""
    priority: Part = ""
    team: Part = ""
    alert: Part = ""
    within: Within = ()


class SignalReceived(Signal, frozen=True, omit_defaults=True, gc=False):
    """A problem is there: its source fires."""


class SignalResolved(Signal, frozen=True, omit_defaults=True, gc=False):
    """An alert, or where none is named the whole problem, is over, says its source."""


Confidence = Annotated[float, Meta(ge=0, le=1)]


class Alternative(Struct, frozen=True, gc=False):
    """Another workflow that an analyser thought of, how sure it is of that, and why it did not choose it."""

    workflow: Name
    confidence: Confidence | None = None
    rationale: Part = ""


class AnalysisCompleted(Struct, frozen=True, gc=False):
    """An analyser has chosen a workflow and its target, or found that none fits (`workflow` is null)."""

    remediation: RemediationId
    target: Target | None = None
    workflow: WorkflowRef | None = None
    confidence: Confidence | None = None
    approval_required: bool = False
    no_action: bool = False
    """Where it names no workflow: nothing has to be done."""
    within: Within | None = None
    """In which others its target stands, or that of the signal where it names none; unsaid, what is known stays
    with the target of the signal, and another has none."""
    analysis: Part = ""
    """Which analysis it answers: said of an earlier one it is too late, and changes nothing."""
    analyser: Part = ""
    rationale: Annotated[str, Meta(max_length=RATIONALE_LENGTH_MAX)] = ""
    alternatives: Annotated[tuple[Alternative, ...], Meta(max_length=ALTERNATIVES_MAX)] = ()


class AnalysisFailed(Struct, frozen=True, gc=False):
    """An analyser could not answer."""

    remediation: RemediationId
    reason: Part = ""
    message: str = ""
    analysis: Part = ""
    """Which analysis it answers, as above."""


class WorkflowStarted(Struct, frozen=True, gc=False):
    """The first that counts of a run: this executor alone may run it. `digest` is of the workflow's file."""

    execution: ExecutionId
    executor: str = ""
    version: str = ""
    digest: str = ""


class WorkflowCompleted(Struct, frozen=True, gc=False):
    """A run ended well. `output` is the tail of what it printed."""

    execution: ExecutionId
    output: str = ""


class WorkflowFailed(Struct, frozen=True, gc=False):
    """A run ended badly. `was_execution_failure`: it may have touched the target; if unsaid, it may have."""

    execution: ExecutionId
    reason: Part = FailureReason.UNKNOWN
    message: str = ""
    was_execution_failure: bool = True
    idempotent: bool = False
    exit_code: int | None = None


class WorkflowRevoked(Struct, frozen=True, gc=False):
    """The orchestrator was first on the execution's subject: nobody may begin it any more."""

    execution: ExecutionId
    reason: str = ""


RunFact = WorkflowStarted | WorkflowCompleted | WorkflowFailed | WorkflowRevoked
"""What is said on the subject of an execution."""


class ApprovalGranted(Struct, frozen=True, gc=False):
    """A person allows a remediation to be judged for its run. `plan` says for which: `identity.plan_of`."""

    remediation: RemediationId
    plan: str
    by: str = ""
    reason: str = ""


class ApprovalRejected(Struct, frozen=True, gc=False):
    """A person refuses a remediation its run."""

    remediation: RemediationId
    by: str = ""
    reason: str = ""


class BlockCleared(Struct, frozen=True, gc=False):
    """An operator forgives: a fingerprint its failures, a target (of one workflow or all) its half-done runs."""

    fingerprint: Fingerprint | None = None
    target: Target | None = None
    workflow: Name | None = None
    by: str = ""
    reason: str = ""


class RemediationCancelled(Struct, frozen=True, gc=False):
    """An operator ends a remediation."""

    remediation: RemediationId
    by: str = ""
    reason: str = ""


class RetryRequested(Struct, frozen=True, gc=False):
    """An operator's new occurrence of a remediation's signal."""

    remediation: RemediationId
    by: str = ""
    reason: str = ""


class PolicyAdopted(Struct, frozen=True, gc=False):
    """An operator puts a policy in force. `replaces` is the digest of the one it was written against."""

    policy: dict[str, object]
    replaces: str | None = None
    by: str = ""
    reason: str = ""


class PolicyShadowed(Struct, frozen=True):
    """An operator puts a policy beside the one in force, to see what it would say; null takes it away again."""

    policy: dict[str, object] | None = None
    by: str = ""
    reason: str = ""


class ArchiveRequested(Struct, frozen=True):
    """An operator has a segment of the log in a file, and asks for a record of it before it is taken off."""

    through: Annotated[int, Meta(ge=1)]
    """Sequence of the segment's last message."""
    segment: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    """SHA-256, in hex, of the segment's lines as they are exported."""
    projection: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    """SHA-256, in hex, of the head of the projection from which the rest goes on."""
    by: str = ""
    reason: str = ""


class LossAccepted(Struct, frozen=True):
    """An operator lets a cell go on in this log, without the one that it had: what that one knew is lost."""

    log: str
    """The identity of the log that the cell had."""
    sequence: Annotated[int, Meta(ge=1)]
    """How far that one had come."""
    by: str = ""
    reason: str = ""


SignalFact = SignalReceived | SignalResolved
AnalysisFact = AnalysisCompleted | AnalysisFailed
OperatorFact = (
    ApprovalGranted
    | ApprovalRejected
    | BlockCleared
    | RemediationCancelled
    | RetryRequested
    | PolicyAdopted
    | PolicyShadowed
    | ArchiveRequested
    | LossAccepted
)
Fact = SignalFact | AnalysisFact | RunFact | OperatorFact
