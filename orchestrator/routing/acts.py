"""What each act of an operator does to the projection. One that fits nothing changes nothing."""

from datetime import datetime
from typing import assert_never

from remediation_orchestrator.events import (
    ApprovalGranted,
    ApprovalRejected,
    ArchiveRequested,
    Because,
    BlockCleared,
    Cause,
    FailurePhase,
    LogArchived,
    LossAccepted,
    Phase,
    PolicyAdopted,
    PolicyShadowed,
    Position,
    RemediationCancelled,
    RetryRequested,
    Target,
)
from remediation_orchestrator.events.codec import COMPLAINT_CHARACTERS_MAX
from remediation_orchestrator.events.facts import OperatorFact

from .effects import (
    asked_plan,
    end_and_tell,
    find_executing,
    forgive,
    judge_again,
    let_go,
    renew_occurrence,
)
from .lifecycle import Happening, may
from .policy import PolicyError, policy_of
from .projection import Projection
from .state import (
    ArchiveTask,
    JudgeTask,
    RejectTask,
    Remediation,
    Unjudged,
)


def fold_act(view: Projection, act: OperatorFact, position: Position, at: datetime) -> bool:
    """Let one act take effect; False where it is a stray that fits nothing."""
    match act:
        case ApprovalGranted():
            return _approval_granted(view, act, position, at)
        case ApprovalRejected():
            return _approval_rejected(view, act, position, at)
        case BlockCleared():
            return _block_cleared(view, act, position, at)
        case RemediationCancelled():
            return _remediation_cancelled(view, act, position, at)
        case RetryRequested():
            return _retry_requested(view, act, position, at)
        case PolicyAdopted():
            return _policy_adopted(view, act, position)
        case PolicyShadowed():
            return _policy_shadowed(view, act, position)
        case ArchiveRequested():
            view.task_list.ask(ArchiveTask(LogArchived(position, act.through, act.segment, act.projection)))
            return True
        case LossAccepted():
            return True  # It is said to whoever would lead, and changes nothing that is known.
        case _:
            assert_never(act)


def _approval_granted(view: Projection, fact: ApprovalGranted, position: Position, at: datetime) -> bool:
    remediation = view.remediations.get(fact.remediation)
    if remediation is None or not asked_plan(remediation) or fact.plan != asked_plan(remediation):
        return False
    if _is_too_late(remediation, at):
        return False
    judge_again(view, remediation, Happening.APPROVED, Because(Cause.APPROVED, position))
    return True


def _approval_rejected(view: Projection, fact: ApprovalRejected, position: Position, at: datetime) -> bool:
    remediation = view.remediations.get(fact.remediation)
    if remediation is None or not may(remediation, Happening.REJECTED) or _is_too_late(remediation, at):
        return False
    because = Because(Cause.REJECTED, position)
    end_and_tell(view, remediation, Happening.REJECTED, because, at, failure_phase=FailurePhase.APPROVAL)
    return True


def _is_too_late(remediation: Remediation, at: datetime) -> bool:
    """Whether what a person says comes behind the limit, be it that nobody has told yet that time is over."""
    return remediation.due is not None and at >= remediation.due


def _block_cleared(view: Projection, fact: BlockCleared, position: Position, at: datetime) -> bool:
    if fact.fingerprint is not None:
        forgive(view, fact.fingerprint)
        view.targets.clear_problem(fact.fingerprint)
        waiting = view.active(fact.fingerprint)
        if waiting is not None and waiting.phase is Phase.BLOCKED:
            view.task_list.ask(JudgeTask(waiting.id, Because(Cause.CLEARED, position)))
    if fact.target is not None:
        _clear_target(view, fact.target, fact.workflow, position, at)
    return fact.fingerprint is not None or fact.target is not None


def _clear_target(
    view: Projection, target: Target, workflow: str | None, position: Position, at: datetime
) -> None:
    view.targets.clear_target(target, workflow)
    view.retention.chains.end(target)
    run = view.holder(target)
    if run is None:
        return
    # What nobody has begun is revoked, which whoever would begin it cannot miss: a clock is no proof of that.
    untold = run.started and find_executing(view, run) is None and at >= run.released_at
    if run.lost or untold:
        let_go(view, run, position)


def _remediation_cancelled(view: Projection, fact: RemediationCancelled, position: Position, at: datetime) -> bool:
    remediation = view.remediations.get(fact.remediation)
    if remediation is None or not may(remediation, Happening.CANCELLED):
        return False
    end_and_tell(view, remediation, Happening.CANCELLED, Because(Cause.CANCELLED, position), at)
    return True


def _retry_requested(view: Projection, fact: RetryRequested, position: Position, at: datetime) -> bool:
    remediation = view.remediations.get(fact.remediation)
    if remediation is None or view.retention.has_forgotten(remediation, at):
        return False
    view.retention.know(renew_occurrence(remediation, at))
    view.occurrences.wait(Unjudged(position, at, remediation.fingerprint, fact))
    return True


def _policy_adopted(view: Projection, fact: PolicyAdopted, position: Position) -> bool:
    try:
        policy = policy_of(fact.policy)
    except PolicyError as error:
        view.task_list.ask(RejectTask(position, None, str(error)[:COMPLAINT_CHARACTERS_MAX]))
        return True
    view.retention.adopt(policy)
    for waiting in view.blocked():
        view.task_list.ask(JudgeTask(waiting.id, Because(Cause.POLICY, position)))
    return True


def _policy_shadowed(view: Projection, fact: PolicyShadowed, position: Position) -> bool:
    try:
        view.retention.put_in_shadow(None if fact.policy is None else policy_of(fact.policy))
    except PolicyError as error:
        view.task_list.ask(RejectTask(position, None, str(error)[:COMPLAINT_CHARACTERS_MAX]))
    return True
