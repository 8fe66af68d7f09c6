"""A cell's state at one moment of its log, as rows to print, and what changed between two moments.

It reads a projection and changes nothing; the moment is the caller's."""

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from remediation_orchestrator.events import ExecutionId, Fingerprint, Phase, RemediationId, Target
from remediation_orchestrator.orchestrator.routing.backoff import count_remembered
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation

from .chronicle import Chronicle
from .views import RemediationView, problem_obstacle, remediations, unjudged


class PolicyRow(Struct, frozen=True, tag="policy", tag_field="kind"):
    """The policy in force."""

    digest: str
    adopted: bool
    policy: dict[str, object]


class FingerprintRow(Struct, frozen=True, tag="fingerprint", tag_field="kind"):
    """What a problem has been through."""

    fingerprint: Fingerprint
    failures: int
    last_failure_at: datetime | None
    allowed: bool
    """Whether nothing that it has been through objects now."""
    next_allowed_at: datetime | None
    """Else when nothing objects any more; null where that is not known, or only a person can help."""
    next_allowed: str
    """All of it in words."""
    completed_at: datetime | None
    active: RemediationId | None


class TargetRow(Struct, frozen=True, tag="target", tag_field="kind"):
    """A target that is held, or waited for."""

    target: Target
    execution: ExecutionId | None
    remediation: RemediationId | None
    lost: bool
    queue: list[RemediationId]


class RemediationRow(Struct, frozen=True, tag="remediation", tag_field="kind"):
    """A remediation that has not ended."""

    id: RemediationId
    name: str
    fingerprint: Fingerprint
    target: Target
    phase: Phase
    reason: str | None
    until: datetime | None
    attempts: int
    runs: int
    execution: ExecutionId | None


Row = PolicyRow | FingerprintRow | TargetRow | RemediationRow


class CellState(Struct, frozen=True):
    """A cell at one moment: after this record, as of this time."""

    sequence: int
    at: datetime
    policy: PolicyRow
    fingerprints: list[FingerprintRow]
    targets: list[TargetRow]
    remediations: list[RemediationRow]

    def rows(self) -> Iterator[Row]:
        """Every row, each kind in its order."""
        yield self.policy
        yield from self.fingerprints
        yield from self.targets
        yield from self.remediations


class StateChange(Struct, frozen=True):
    """One thing that is not at the second moment what it was at the first."""

    kind: str
    key: str
    before: Row | None
    after: Row | None


def state(view: Projection, chronicle: Chronicle, sequence: int, at: datetime) -> CellState:
    """Take the state of a cell from its projection."""
    known = sorted(chronicle.known(view).values(), key=lambda one: one.order)
    newest = {one.fingerprint: one for one in [*unjudged(view), *known]}
    return CellState(
        sequence=sequence,
        at=at,
        policy=PolicyRow(view.policy.digest, view.adopted, view.policy.document()),
        fingerprints=[_fingerprint(view, chronicle, one, at) for one in newest.values()],
        targets=[_target(view, target) for target in dict.fromkeys([*view.holders, *view.queues])],
        remediations=[_remediation(one) for one in remediations(view, chronicle, at) if one.active],
    )


def changes(before: CellState, after: CellState) -> Iterator[StateChange]:
    """Return what changed between two moments."""
    first, second = (dict(map(_keyed, one.rows())) for one in (before, after))
    for kind, key in dict.fromkeys([*first, *second]):
        was, became = first.get((kind, key)), second.get((kind, key))
        if was != became:
            yield StateChange(kind, key, was, became)


def _keyed(row: Row) -> tuple[tuple[str, str], Row]:
    match row:
        case PolicyRow():
            return ("policy", ""), row
        case FingerprintRow():
            return ("fingerprint", row.fingerprint), row
        case TargetRow():
            return ("target", repr(row.target)), row
        case RemediationRow():
            return ("remediation", row.id), row


def _fingerprint(view: Projection, chronicle: Chronicle, newest: Remediation, at: datetime) -> FingerprintRow:
    history = view.history(newest.fingerprint)
    found = problem_obstacle(view, chronicle, newest, at)
    return FingerprintRow(
        fingerprint=newest.fingerprint,
        failures=count_remembered(history.failures, history.last_failure_at, at, view.policy.routing),
        last_failure_at=history.last_failure_at,
        allowed=found.objection is None,
        next_allowed_at=found.until,
        next_allowed=found.says,
        completed_at=history.completed_at,
        active=history.active,
    )


def _target(view: Projection, target: Target) -> TargetRow:
    run = view.holder(target)
    return TargetRow(
        target=target,
        execution=run.execution if run else None,
        remediation=run.remediation if run else None,
        lost=run.lost if run else False,
        queue=list(view.queues.get(target, ())),
    )


def _remediation(one: RemediationView) -> RemediationRow:
    return RemediationRow(
        id=one.id,
        name=one.name,
        fingerprint=one.fingerprint,
        target=one.target,
        phase=one.phase,
        reason=f"{one.reason} of {one.of}" if one.of else one.reason,
        until=one.until,
        attempts=one.attempts,
        runs=one.runs,
        execution=one.execution,
    )
