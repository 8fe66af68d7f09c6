"""The frozen values of the projection: what is known of one fingerprint, one remediation, one run."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from sys import intern
from typing import Literal

from msgspec import Struct
from msgspec.json import decode, encode
from msgspec.structs import replace

from remediation_orchestrator.events import (
    Because,
    ExecutionId,
    Fingerprint,
    LogArchived,
    Phase,
    PhaseChanged,
    Position,
    RemediationId,
    RetryRequested,
    RoutingDecided,
    Severity,
    Signal,
    SignalReceived,
    SignalResolved,
    Target,
    TriedRun,
    Words,
    WorkflowRef,
)
from remediation_orchestrator.events.durations import MICROSECOND, ZERO, later
from remediation_orchestrator.events.identity import execution_id, position_key, signal_of

from .verification import Verifying

SEVERITIES = frozenset(Severity)
# A position's index has nine digits at most.
_INDEX_BITS = 30
# A lost run's own supervisor ends it at its deadline; this is what two clocks may disagree by, and more.
RELEASE_GRACE = timedelta(seconds=30)


class FingerprintHistory(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a fingerprint has been through: the one failure count there is, and who is at it now."""

    failures: int = 0
    last_failure_at: datetime | None = None
    completed_at: datetime | None = None
    completed_by: RemediationId | None = None
    active: RemediationId | None = None
    ended: RemediationId | None = None
    """The last of its remediations to end: the one that may be retried."""
    tried: tuple[TriedRun, ...] = ()
    """The newest runs that have not helped, since its failures were last 0."""

    def forgiven(self) -> "FingerprintHistory":
        """The same without a failure, and with nothing tried in vain."""
        return replace(self, failures=0, last_failure_at=None, tried=())


class WorkflowHistory(Struct, frozen=True, gc=False):
    """What a workflow last did on a target."""

    completed_at: datetime
    completed_by: RemediationId


class HalfDone(Struct, frozen=True, gc=False):
    """A run that may have left its target half-changed, until somebody clears it."""

    remediation: RemediationId
    fingerprint: Fingerprint


class Remediation(Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One problem being worked at, from its first signal to its end."""

    id: RemediationId
    fingerprint: Fingerprint
    words: Words
    target: Target
    workflow: WorkflowRef | None
    within: tuple[Target, ...] = ()
    """In which others its target stands."""
    resolves: bool = False
    """Whether its source says when it is over."""
    phase: Phase = Phase.PENDING
    attempts: int = 0
    analyses: int = 0
    runs: int = 0
    occurred_at: datetime
    """When its newest occurrence was recorded."""
    queued: timedelta = ZERO
    """Time in a target's queue since then, stays that are over."""
    queued_since: datetime | None = None
    due: datetime | None = None
    """From when on time alone has something done: a block is over, a limit exceeded, or what has ended is too old
    to be retried. A run has times of its own."""
    resolved: bool = False
    """Its source said that it is over, and has not fired since."""
    home: tuple[Target, tuple[Target, ...]] | None = None
    """Its signal's target and in which others that stands, where an analysis has been told since."""
    misses: int = 0
    """Its runs that have not helped since its newest analysis."""
    verifying: Verifying | None = None
    """What its run has to show, as long as that is open."""

    @property
    def signal(self) -> Position:
        """The position of its first signal."""
        return signal_of(self.id)

    @property
    def execution(self) -> ExecutionId | None:
        """Its newest run."""
        return execution_id(self.signal, self.runs) if self.runs else None

    @property
    def until(self) -> datetime | None:
        """What a person is told of a block or a limit: its last moment, at which what has a limit still lives."""
        if self.due is None or self.phase.ended:
            return None
        if self.verifying is not None:
            return min(self.due, self.verifying.limit) if self.verifying.over_since is None else self.due
        return self.due if self.phase is Phase.BLOCKED else self.due - MICROSECOND

    @property
    def order(self) -> int:
        """Its first signal's place in the log as one number: the smaller, the older."""
        return _order(self.signal)

    def unanalysed(self) -> "Remediation":
        """The same without what an analysis has said: a workflow and a target. What its signal named stays."""
        if not self.analyses:
            return self
        target, within = self.home or (self.target, self.within)
        return replace(self, workflow=None, target=target, within=within, home=None, misses=0)

    def waited(self, now: datetime) -> timedelta:
        """Time in a target's queue since the newest occurrence, up to now."""
        if self.queued_since is None:
            return self.queued
        return self.queued + max(now - max(self.queued_since, self.occurred_at), ZERO)


class HeldRun(Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One execution, as long as it holds its target."""

    execution: ExecutionId
    remediation: RemediationId
    fingerprint: Fingerprint
    target: Target
    workflow: str
    decided_at: datetime
    start_before: datetime
    deadline: datetime
    """When it is over; whoever begins it lets it last no longer than from `decided_at` to here."""
    started: bool = False
    lost: bool = False
    """Its executor was lost: nobody knows whether it still touches the target."""
    ending: bool = False
    """Its remediation is over and it is to be revoked or cancelled."""

    @property
    def order(self) -> int:
        """The place in the log of its remediation's first signal as one number: the smaller, the older."""
        return _order(signal_of(self.remediation))

    @property
    def released_at(self) -> datetime:
        """When, if lost, it can no longer be touching its target."""
        return later(self.deadline, RELEASE_GRACE)


class Unjudged(Struct, frozen=True, gc=False):
    """An occurrence without a verdict, or a resolution that waits for its turn behind one."""

    position: Position
    recorded_at: datetime
    fingerprint: Fingerprint
    event: SignalReceived | SignalResolved | RetryRequested


class JudgeTask(Struct, frozen=True, gc=False):
    """A remediation is to be judged again."""

    remediation: RemediationId
    because: Because


class ServeTask(Struct, frozen=True, gc=False):
    """A target was released: its queue is to be judged, from the front."""

    target: Target
    because: Because


class TellTask(Struct, frozen=True, gc=False):
    """A fact has changed a remediation's phase: readers are to be told."""

    change: PhaseChanged


class VerifyTask(Struct, frozen=True, gc=False):
    """A fact has shown whether a remediation's run has helped: that is to be recorded."""

    remediation: RemediationId


class RejectTask(Struct, frozen=True, gc=False):
    """A record that could not be taken is to be answered; without a `reason` it is a policy."""

    position: Position
    reason: Literal["Undecodable", "TooLarge", "Forged"] | None
    message: str
    unknown_type: str | None = None
    """Where it is of a type that this version does not know."""


class ArchiveTask(Struct, frozen=True, gc=False):
    """A segment of the log is to be recorded as archived."""

    record: LogArchived


Task = JudgeTask | ServeTask | TellTask | VerifyTask | RejectTask | ArchiveTask
TaskKey = tuple[type[Task], str | Target]


class Owed(Struct, frozen=True, gc=False):
    """What a stored decision promises and the log does not show yet.

    `position` is the decision's; it is not known until its frame is stored."""

    decision: RoutingDecided | PhaseChanged
    position: Position | None


def _order(signal: Position) -> int:
    sequence, index = position_key(signal)
    return sequence << _INDEX_BITS | index


def shared_text(text: str) -> str:
    """The same text; one value for all that say it."""
    return intern(str(text))


@lru_cache(maxsize=4_096)
def shared_words(name: str, severity: str, environment: str, priority: str, team: str) -> Words:
    """Return what a signal says of its problem, as every signal that says the same."""
    known = severity.lower()
    return Words(name, str(known if known in SEVERITIES else Severity.UNKNOWN), environment, priority, team)


def words_of(signal: Signal) -> Words:
    """Return what a signal says of its problem."""
    return shared_words(signal.name, signal.severity, signal.environment, signal.priority, signal.team)


def shared_target(target: Target) -> Target:
    """The same target, of parts that many targets share."""
    return Target(
        target.name, shared_text(target.cluster), shared_text(target.namespace), shared_text(target.kind)
    )


def shared_within(within: Iterable[Target]) -> tuple[Target, ...]:
    """The same targets, of parts that many share."""
    return tuple(shared_target(one) for one in within)


def shared_workflow(workflow: WorkflowRef | None) -> WorkflowRef | None:
    """The same workflow; one value for all with the same parameters."""
    return None if workflow is None else _workflow(encode(workflow))


@lru_cache(maxsize=4_096)
def _workflow(written: bytes) -> WorkflowRef:
    return decode(written, type=WorkflowRef)


def after(limit: datetime) -> datetime:
    """The first moment that is strictly later than a limit: times are whole microseconds."""
    return later(limit, MICROSECOND)
