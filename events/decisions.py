"""Decisions: what the active orchestrator concluded, with all that it knew. Nobody else may write them."""

from datetime import timedelta
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from .facts import Severity
from .identity import ExecutionId, Fingerprint, Position, RemediationId, Target, Words, WorkflowRef, Zoned


class Reason(StrEnum):
    """Why a check objected, in the field's own words. Both cooldowns object as RECENTLY_REMEDIATED."""

    UNMANAGED_RESOURCE = "UnmanagedResource"
    DUPLICATE_IN_PROGRESS = "DuplicateInProgress"
    STALE_SIGNAL = "StaleSignal"
    PREVIOUS_EXECUTION_FAILED = "PreviousExecutionFailed"
    EXHAUSTED_RETRIES = "ExhaustedRetries"
    INEFFECTIVE_CHAIN = "IneffectiveChain"
    CONSECUTIVE_FAILURES = "ConsecutiveFailures"
    EXPONENTIAL_BACKOFF = "ExponentialBackoff"
    RECENTLY_REMEDIATED = "RecentlyRemediated"
    RESOURCE_BUSY = "ResourceBusy"


class Phase(StrEnum):
    """Where a remediation stands; from COMPLETED on it has ended."""

    PENDING = "Pending"
    ANALYZING = "Analyzing"
    AWAITING_APPROVAL = "AwaitingApproval"
    EXECUTING = "Executing"
    VERIFYING = "Verifying"
    BLOCKED = "Blocked"
    COMPLETED = "Completed"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    SKIPPED = "Skipped"
    CANCELLED = "Cancelled"

    @property
    def ended(self) -> bool:
        """Whether a remediation in this phase is over."""
        return self in ENDED


ENDED = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.TIMED_OUT, Phase.SKIPPED, Phase.CANCELLED})


class Outcome(StrEnum):
    """What a remediation came to."""

    REMEDIATED = "Remediated"
    UNVERIFIED = "Unverified"
    INCONCLUSIVE = "Inconclusive"
    NO_ACTION_REQUIRED = "NoActionRequired"
    NO_WORKFLOW = "NoWorkflow"
    MANUAL_REVIEW_REQUIRED = "ManualReviewRequired"


class Verification(StrEnum):
    """Whether a repair that was run has helped."""

    EFFECTIVE = "effective"
    INEFFECTIVE = "ineffective"
    UNKNOWN = "unknown"


class FailurePhase(StrEnum):
    """In which phase a remediation failed."""

    AI_ANALYSIS = "AIAnalysis"
    APPROVAL = "Approval"
    WORKFLOW_EXECUTION = "WorkflowExecution"


class Stage(StrEnum):
    """How much was known when a signal was judged."""

    SIGNAL = "signal"
    WORKFLOW = "workflow"


class Cause(StrEnum):
    """What made the orchestrator decide. The first ten cause a verdict, the others only a change of phase."""

    SIGNAL = "signal"
    ANALYSED = "analysed"
    DUE = "due"
    RELEASED = "released"
    FAILED = "failed"
    CLEARED = "cleared"
    POLICY = "policy"
    APPROVED = "approved"
    RETRY = "retry"
    INEFFECTIVE = "ineffective"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    REJECTED = "rejected"
    VERIFIED = "verified"


class Because(Struct, frozen=True, omit_defaults=True, gc=False):
    """The cause of a decision, and the position of the fact that it is. What is `due` has none: time passed."""

    kind: Cause
    position: Position | None = None


class Proceed(Struct, frozen=True, tag="Proceed", tag_field="kind", gc=False):
    """No objection: the target is claimed and the command owed."""


class Block(Struct, frozen=True, omit_defaults=True, tag="Block", tag_field="kind", gc=False):
    """Not yet. Without `until` it waits in a target's queue. `remaining` is in seconds."""

    reason: Reason
    until: Zoned | None = None
    of: RemediationId | None = None
    remaining: float | None = None
    queue_position: int | None = None


class Skip(Struct, frozen=True, omit_defaults=True, tag="Skip", tag_field="kind", gc=False):
    """Not this time: the remediation ends and nothing is held against its fingerprint."""

    reason: Reason
    of: RemediationId | None = None
    remaining: float | None = None


class Refuse(Struct, frozen=True, omit_defaults=True, tag="Refuse", tag_field="kind", gc=False):
    """Never, until a person has looked."""

    reason: Reason
    of: RemediationId | None = None


class Duplicate(Struct, frozen=True, tag="Duplicate", tag_field="kind", gc=False):
    """The same problem again: the newest occurrence of the remediation that is at it."""

    of: RemediationId
    reason: Reason = Reason.DUPLICATE_IN_PROGRESS


Verdict = Proceed | Block | Skip | Refuse | Duplicate


class Situation(Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """Every value that any check reads. A value that is not there means that its check was silent."""

    now: Zoned
    policy: str
    """Digest of the policy that judged."""
    fingerprint: Fingerprint
    target: Target
    words: Words | None = None
    """What its signal says besides, as it was classified; only where a matcher of a policy that judges asks."""
    within: tuple[Target, ...] = ()
    """In which others the target stands."""
    workflow: str | None = None
    active: RemediationId | None = None
    """Another remediation of this fingerprint that has not ended."""
    resolves: bool = False
    occurred_at: Zoned | None = None
    """When the newest occurrence was recorded."""
    queued: timedelta = timedelta(0)
    """How much of the time since then it spent in a target's queue."""
    previous_failure: RemediationId | None = None
    """Whose run of this workflow left this target half-changed, uncleared."""
    failures: int = 0
    """Failures in a row, as the log gives them; those older than `failure_memory` no longer count."""
    last_failure_at: Zoned | None = None
    ineffective: tuple[Zoned, ...] = ()
    """When the newest repairs in a row of this target were found not to have helped, the oldest first."""
    ineffective_of: RemediationId | None = None
    """Whose the newest of them was."""
    completed_at: Zoned | None = None
    """When a run of this fingerprint last completed, and of which remediation."""
    completed_by: RemediationId | None = None
    workflow_completed_at: Zoned | None = None
    """When this workflow last completed on this target, and of which remediation."""
    workflow_completed_by: RemediationId | None = None
    held_by: RemediationId | None = None
    """Whose run holds the target."""
    queue_first: RemediationId | None = None
    """Who waits first for the target, of those ahead."""
    queue_ahead: int = 0


# Whoever chooses another way needs no more.
TRIED_MAX = 10


class TriedRun(Struct, frozen=True, gc=False):
    """A run that has not helped: of which workflow, how it ended, and why, in the words of its end."""

    workflow: str
    end: Literal["Failed", "TimedOut", "Ineffective"]
    reason: str = ""


class DecisionFrame(Struct, frozen=True, gc=False):
    """The head of every frame: how far its writer had come, and the chain up to here (SHA-256, hex)."""

    as_of: int
    """Sequence of the last fact that it had folded."""
    read: int
    """Sequence of the last record of the log that it had read back."""
    orchestrator: str
    previous: str
    not_after: Zoned
    """No fact that this frame is the first to cover has a later moment, whatever its stamp."""


class OrchestratorStarted(Struct, frozen=True, gc=False):
    """An orchestrator became active. `policy` stands in full in a log's first one and is adopted by it."""

    orchestrator: str
    version: str
    log: str
    """Eight hex digits that name this stream's life."""
    policy: dict[str, object] | None = None
    policy_digest: str | None = None


class RoutingDecided(Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A verdict on a signal, with all that was known. From `name` on, what a Proceed lets happen."""

    signal: Position
    remediation: RemediationId
    attempt: int
    because: Because
    stage: Stage
    verdict: Verdict
    situation: Situation
    name: str = ""
    severity: str = Severity.UNKNOWN
    analysis: str | None = None
    """Id of the analysis that a Proceed without a workflow asks for."""
    tried: tuple[TriedRun, ...] = ()
    """What its fingerprint has had tried in vain until then, for whoever analyses it."""
    execution: ExecutionId | None = None
    workflow: WorkflowRef | None = None
    start_before: Zoned | None = None
    deadline: Zoned | None = None


class PhaseChanged(Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A remediation's phase that no verdict says. With `execution`, that run is to be ended."""

    remediation: RemediationId
    fingerprint: Fingerprint
    phase: Phase
    because: Because
    now: Zoned
    attempt: int
    target: Target | None = None
    outcome: Outcome | None = None
    failure_phase: FailurePhase | None = None
    execution: ExecutionId | None = None
    plan: str = ""
    """What a person is asked for, where the phase is AWAITING_APPROVAL: a grant has to name it."""


class VerificationEnded(Struct, frozen=True, kw_only=True, gc=False):
    """Whether the run of a remediation has helped is known, or that nobody will know."""

    remediation: RemediationId
    execution: ExecutionId
    result: Verification
    now: Zoned


class TargetReleased(Struct, frozen=True, gc=False):
    """A target whose holder was lost is free again: its deadline and the grace have passed."""

    target: Target
    execution: ExecutionId
    now: Zoned


class SignalRejected(Struct, frozen=True, gc=False):
    """The record at this position could not be taken for an event: what is wrong, and where."""

    position: Position
    reason: Literal["Undecodable", "TooLarge", "Forged"]
    message: str


class PolicyRejected(Struct, frozen=True, gc=False):
    """The policy of the record at this position cannot be adopted: what is wrong, and where."""

    position: Position
    message: str


class LogArchived(Struct, frozen=True, gc=False):
    """A segment of the log is in a file, as the request at this position says, and may be taken off."""

    position: Position
    through: int
    segment: str
    projection: str


class ShadowDecided(Struct, frozen=True):
    """What the policy in shadow says of the situation of the verdict just before, where it says something else."""

    signal: Position
    attempt: int
    policy: str
    """Digest of the policy in shadow."""
    verdict: Verdict


Decision = (
    DecisionFrame
    | OrchestratorStarted
    | RoutingDecided
    | ShadowDecided
    | PhaseChanged
    | VerificationEnded
    | TargetReleased
    | SignalRejected
    | PolicyRejected
    | LogArchived
)
