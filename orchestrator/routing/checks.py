"""The list of checks. Each answers one question about a situation; the first objection is the verdict.

Nothing here knows where a situation comes from, or what follows from a verdict."""

from collections.abc import Callable
from datetime import datetime, timedelta

from remediation_orchestrator.events import (
    Block,
    Duplicate,
    Proceed,
    Reason,
    Refuse,
    RemediationId,
    Situation,
    Skip,
    Verdict,
)

from .backoff import counted, next_allowed_execution
from .policy import Policy

Check = Callable[[Situation, Policy], Verdict | None]


def check_unmanaged_resource(situation: Situation, policy: Policy) -> Verdict | None:
    """Keep away from what the policy's scope excludes."""
    return Skip(Reason.UNMANAGED_RESOURCE) if policy.excludes(situation.target) else None


def check_duplicate_in_progress(situation: Situation, policy: Policy) -> Verdict | None:
    """One remediation at a time for one problem."""
    return Duplicate(situation.active) if situation.active is not None else None


def check_stale_signal(situation: Situation, policy: Policy) -> Verdict | None:
    """Do not repair what may long be over, where nobody would have told; waiting in a queue does not age."""
    oldest = policy.routing.signal_max_age
    if oldest is None or situation.resolves or situation.occurred_at is None:
        return None
    age = situation.now - situation.occurred_at - situation.queued
    return Skip(Reason.STALE_SIGNAL) if age > oldest else None


def check_previous_execution_failed(situation: Situation, policy: Policy) -> Verdict | None:
    """Never run again over a half-changed target until a person has looked."""
    if situation.previous_failure is None:
        return None
    return Refuse(Reason.PREVIOUS_EXECUTION_FAILED, of=situation.previous_failure)


def check_exhausted_retries(situation: Situation, policy: Policy) -> Verdict | None:
    """Give up after enough failures in a row."""
    limit = policy.routing.retry_limit
    return Refuse(Reason.EXHAUSTED_RETRIES) if limit is not None and failures(situation, policy) >= limit else None


def check_consecutive_failures(situation: Situation, policy: Policy) -> Verdict | None:
    """Rest after several failures in a row; at the end of the rest one probe may run."""
    threshold = policy.routing.consecutive_failure_threshold
    cooldown = policy.routing.consecutive_failure_cooldown
    if threshold is None or cooldown is None or failures(situation, policy) < threshold:
        return None
    return _block_until(situation, Reason.CONSECUTIVE_FAILURES, _after(situation.last_failure_at, cooldown))


def check_exponential_backoff(situation: Situation, policy: Policy) -> Verdict | None:
    """Wait longer after every failure in a row."""
    allowed = next_allowed_execution(
        policy.routing, situation.fingerprint, failures(situation, policy), situation.last_failure_at
    )
    return _block_until(situation, Reason.EXPONENTIAL_BACKOFF, allowed)


def check_recently_remediated(situation: Situation, policy: Policy) -> Verdict | None:
    """Give a repair time to show before this problem is repaired again."""
    free = _after(situation.completed_at, policy.routing.signal_cooldown)
    return _cooldown(situation, free, situation.completed_by)


def check_workflow_recently_completed(situation: Situation, policy: Policy) -> Verdict | None:
    """Do not run a workflow again so soon on a target, whatever problem asks for it."""
    free = _after(situation.workflow_completed_at, policy.routing.workflow_cooldown)
    return _cooldown(situation, free, situation.workflow_completed_by)


def check_resource_busy(situation: Situation, policy: Policy) -> Verdict | None:
    """One run at a time on a target, in the order of asking."""
    ahead = situation.held_by or situation.queue_first
    if ahead is None:
        return None
    return Block(Reason.RESOURCE_BUSY, of=ahead, queue_position=situation.queue_ahead + 1)


# Permanent refusals stand before waits: "never" is a better answer than "later".
CHECKS: tuple[Check, ...] = (
    check_unmanaged_resource,
    check_duplicate_in_progress,
    check_stale_signal,
    check_previous_execution_failed,
    check_exhausted_retries,
    check_consecutive_failures,
    check_exponential_backoff,
    check_recently_remediated,
    check_workflow_recently_completed,
    check_resource_busy,
)


def decide(situation: Situation, policy: Policy) -> Verdict:
    """Return the first objection, or Proceed. The same for live routing, audit, backtest and simulation."""
    for check in CHECKS:
        objection = check(situation, policy)
        if objection is not None:
            return objection
    return Proceed()


def failures(situation: Situation, policy: Policy) -> int:
    """Failures in a row that count in this situation."""
    return counted(situation.failures, situation.last_failure_at, situation.now, policy.routing)


def _after(moment: datetime | None, wait: timedelta | None) -> datetime | None:
    return None if moment is None or wait is None else moment + wait


def _block_until(situation: Situation, reason: Reason, until: datetime | None) -> Block | None:
    return Block(reason, until=until) if until is not None and situation.now < until else None


def _cooldown(situation: Situation, free: datetime | None, by: RemediationId | None) -> Verdict | None:
    """Where the source will say when it is over, waiting makes sense; elsewhere its next signal will ask."""
    if free is None or situation.now >= free:
        return None
    remaining = (free - situation.now).total_seconds()
    if situation.resolves:
        return Block(Reason.RECENTLY_REMEDIATED, until=free, of=by, remaining=remaining)
    return Skip(Reason.RECENTLY_REMEDIATED, of=by, remaining=remaining)
