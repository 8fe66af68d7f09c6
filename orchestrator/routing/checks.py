"""The list of checks. Each answers one question about a situation; the first objection is the verdict.

A check is one record: whoever lists, explains or documents the checks reads it there. Nothing here knows where a
situation comes from, or what follows from a verdict."""

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct

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
    Words,
)
from remediation_orchestrator.events.durations import later
from remediation_orchestrator.events.matchers import Matched

from .backoff import backoff, count_remembered, next_allowed_execution
from .policy import Policy
from .verification import check_ineffective_chain, say_chain
from .words import span, spoken, times, written

Objection = Callable[[Situation, Policy], Verdict | None]
Sentence = Callable[[Situation, Policy], str]

NO_WORDS = Words("")


class Check(Struct, frozen=True, kw_only=True):
    """One question about a situation, and all that anybody may want to know of it."""

    name: str
    """In what `ro explain` prints, and in its JSON."""
    reason: Reason
    """What its objection says."""
    keys: tuple[str, ...]
    """Whose it is: of F, T or W. Where one of them is not known, it does not apply."""
    reads: tuple[str, ...]
    """The values of a situation on which its answer depends, besides `now`."""
    numbers: tuple[str, ...] = ()
    """The keys of the policy that it reads, in `section` where that is one."""
    section: str = "routing"
    needs: tuple[str, ...] = ()
    """Those of them without which it is silent."""
    objection: Objection
    sentence: Sentence
    """What it read, for a person."""
    when: str
    """When it objects, as the contract says it."""
    then: str
    """The verdict that it gives, as the contract says it."""

    def applies(self, situation: Situation) -> bool:
        """Whether what it is about is known."""
        return "W" not in self.keys or situation.workflow is not None

    def lacks(self, policy: Policy) -> str | None:
        """A number that it needs and the policy does not have."""
        return next((key for key in self.needs if getattr(getattr(policy, self.section), key, None) is None), None)


def check_unmanaged_resource(situation: Situation, policy: Policy) -> Verdict | None:
    """Keep away from what the policy's scope excludes."""
    if not policy.scope.exclude or _excluding(situation, policy) is None:
        return None
    return Skip(Reason.UNMANAGED_RESOURCE)


def _say_scope(situation: Situation, policy: Policy) -> str:
    by = _excluding(situation, policy)
    if by is not None:
        within = f" within {', '.join(map(str, situation.within))}" if situation.within else ""
        return f"scope.exclude[{by}] matches {situation.target}{within}"
    return f"nothing in the scope excludes {situation.target}"


def _excluding(situation: Situation, policy: Policy) -> int | None:
    return policy.excluding(_known(situation), situation.within)


def check_duplicate_in_progress(situation: Situation, policy: Policy) -> Verdict | None:
    """One remediation at a time for one problem."""
    return Duplicate(situation.active) if situation.active is not None else None


def _say_active(situation: Situation, policy: Policy) -> str:
    return f"{situation.active or 'no other remediation'} is at this problem"


def check_stale_signal(situation: Situation, policy: Policy) -> Verdict | None:
    """Do not repair what may long be over, where nobody would have told; waiting in a queue does not age."""
    oldest = policy.routing.signal_max_age
    if oldest is None or situation.resolves or situation.occurred_at is None:
        return None
    age = situation.now - situation.occurred_at - situation.queued
    return Skip(Reason.STALE_SIGNAL) if age > oldest else None


def _say_age(situation: Situation, policy: Policy) -> str:
    if situation.resolves or situation.occurred_at is None:
        return "its source says when it is over"
    age = situation.now - situation.occurred_at - situation.queued
    limit = policy.routing.signal_max_age
    return f"newest occurrence {spoken(age)} ago (queueing left out), at most {span(limit)}"


def check_previous_execution_failed(situation: Situation, policy: Policy) -> Verdict | None:
    """Never run again over a half-changed target until a person has looked."""
    if situation.previous_failure is None:
        return None
    return Refuse(Reason.PREVIOUS_EXECUTION_FAILED, of=situation.previous_failure)


def _say_previous_failure(situation: Situation, policy: Policy) -> str:
    if situation.previous_failure is None:
        return f"no run of {situation.workflow} left the target half-changed"
    run = f"the run of {situation.workflow} for {situation.previous_failure}"
    return f"{run} failed half-way, and nobody has cleared it"


def check_exhausted_retries(situation: Situation, policy: Policy) -> Verdict | None:
    """Give up after enough failures in a row."""
    limit = policy.routing.retry_limit
    return Refuse(Reason.EXHAUSTED_RETRIES) if limit is not None and failures(situation, policy) >= limit else None


def _say_count(situation: Situation, policy: Policy) -> str:
    return f"{_failures(situation, policy)}, limit {policy.routing.retry_limit}"


def check_consecutive_failures(situation: Situation, policy: Policy) -> Verdict | None:
    """Rest after several failures in a row; at the end of the rest one probe may run."""
    threshold = policy.routing.consecutive_failure_threshold
    cooldown = policy.routing.consecutive_failure_cooldown
    if threshold is None or cooldown is None or failures(situation, policy) < threshold:
        return None
    return _block_until(situation, Reason.CONSECUTIVE_FAILURES, _after(situation.last_failure_at, cooldown))


def _say_rest(situation: Situation, policy: Policy) -> str:
    rules = policy.routing
    return (
        f"{_failures(situation, policy)}, threshold {rules.consecutive_failure_threshold}, "
        f"then {span(rules.consecutive_failure_cooldown)} of rest"
    )


def check_exponential_backoff(situation: Situation, policy: Policy) -> Verdict | None:
    """Wait longer after every failure in a row."""
    allowed = next_allowed_execution(
        policy.routing, situation.fingerprint, failures(situation, policy), situation.last_failure_at
    )
    return _block_until(situation, Reason.EXPONENTIAL_BACKOFF, allowed)


def _say_wait(situation: Situation, policy: Policy) -> str:
    counting = failures(situation, policy)
    if not counting:
        return "no failures in a row"
    wait = backoff(policy.routing, situation.fingerprint, counting)
    return f"{_failures(situation, policy)}, so {spoken(wait)} after the last"


def check_recently_remediated(situation: Situation, policy: Policy) -> Verdict | None:
    """Give a repair time to show before this problem is repaired again."""
    free = _after(situation.completed_at, policy.routing.signal_cooldown)
    return _cooldown(situation, free, situation.completed_by)


def _say_cooldown(situation: Situation, policy: Policy) -> str:
    return _since(situation.completed_at, situation.now, policy.routing.signal_cooldown, "this problem")


def check_workflow_recently_completed(situation: Situation, policy: Policy) -> Verdict | None:
    """Do not run a workflow again so soon on a target, whatever problem asks for it."""
    free = _after(situation.workflow_completed_at, policy.routing.workflow_cooldown)
    return _cooldown(situation, free, situation.workflow_completed_by)


def _say_workflow_cooldown(situation: Situation, policy: Policy) -> str:
    what = f"{situation.workflow} on this target"
    return _since(situation.workflow_completed_at, situation.now, policy.routing.workflow_cooldown, what)


def check_resource_busy(situation: Situation, policy: Policy) -> Verdict | None:
    """One run at a time on a target, in the order of asking."""
    ahead = situation.held_by or situation.queue_first
    if ahead is None:
        return None
    return Block(Reason.RESOURCE_BUSY, of=ahead, queue_position=situation.queue_ahead + 1)


def _say_queue(situation: Situation, policy: Policy) -> str:
    held = f"held by {situation.held_by}" if situation.held_by else "the target is free"
    first = f", {situation.queue_first} waits first" if situation.queue_first else ""
    return f"{held}, {situation.queue_ahead} ahead in its queue{first}"


# Permanent refusals stand before waits: "never" is a better answer than "later".
CHECKS: tuple[Check, ...] = (
    Check(
        name="unmanaged_resource",
        reason=Reason.UNMANAGED_RESOURCE,
        keys=("T",),
        reads=("policy", "fingerprint", "target", "within", "words", "workflow"),
        objection=check_unmanaged_resource,
        sentence=_say_scope,
        when="a matcher of `scope.exclude` matches",
        then="Skip",
    ),
    Check(
        name="duplicate_in_progress",
        reason=Reason.DUPLICATE_IN_PROGRESS,
        keys=("F",),
        reads=("active",),
        objection=check_duplicate_in_progress,
        sentence=_say_active,
        when="another remediation of F has not ended",
        then="Duplicate of that one, which counts it as its newest occurrence",
    ),
    Check(
        name="stale_signal",
        reason=Reason.STALE_SIGNAL,
        keys=(),
        reads=("resolves", "occurred_at", "queued"),
        numbers=("signal_max_age",),
        needs=("signal_max_age",),
        objection=check_stale_signal,
        sentence=_say_age,
        when=(
            "the source does not resolve, and the newest occurrence is older than `signal_max_age`, "
            "time in a target's queue not counted"
        ),
        then="Skip",
    ),
    Check(
        name="previous_execution_failed",
        reason=Reason.PREVIOUS_EXECUTION_FAILED,
        keys=("T", "W"),
        reads=("workflow", "previous_failure"),
        objection=check_previous_execution_failed,
        sentence=_say_previous_failure,
        when="the last run of W on T failed during execution, was not idempotent, and nobody has cleared it",
        then="Refuse, `of` its remediation",
    ),
    Check(
        name="exhausted_retries",
        reason=Reason.EXHAUSTED_RETRIES,
        keys=("F",),
        reads=("failures", "last_failure_at"),
        numbers=("retry_limit", "failure_memory"),
        needs=("retry_limit",),
        objection=check_exhausted_retries,
        sentence=_say_count,
        when="failures in a row ≥ `retry_limit`",
        then="Refuse",
    ),
    Check(
        name="ineffective_chain",
        reason=Reason.INEFFECTIVE_CHAIN,
        keys=("T",),
        reads=("ineffective", "ineffective_of"),
        section="verification",
        numbers=("chain", "chain_window"),
        needs=("chain", "chain_window"),
        objection=check_ineffective_chain,
        sentence=say_chain,
        when=(
            "the last `chain` verifications on T that were not unknown were all ineffective, the oldest of them "
            "at most `chain_window` ago, and nobody has cleared T since"
        ),
        then="Refuse, `of` the newest one's remediation",
    ),
    Check(
        name="consecutive_failures",
        reason=Reason.CONSECUTIVE_FAILURES,
        keys=("F",),
        reads=("failures", "last_failure_at"),
        numbers=("consecutive_failure_threshold", "consecutive_failure_cooldown", "failure_memory"),
        needs=("consecutive_failure_threshold", "consecutive_failure_cooldown"),
        objection=check_consecutive_failures,
        sentence=_say_rest,
        when=(
            "failures in a row ≥ `consecutive_failure_threshold`, and now is before the last failure "
            "+ `consecutive_failure_cooldown`"
        ),
        then="Block until then; afterwards one probe may run",
    ),
    Check(
        name="exponential_backoff",
        reason=Reason.EXPONENTIAL_BACKOFF,
        keys=("F",),
        reads=("fingerprint", "failures", "last_failure_at"),
        numbers=("backoff_base", "backoff_cap", "jitter", "consecutive_failure_threshold", "failure_memory"),
        needs=("backoff_base", "backoff_cap"),
        objection=check_exponential_backoff,
        sentence=_say_wait,
        when="now is before the next allowed execution",
        then="Block until then",
    ),
    Check(
        name="recently_remediated",
        reason=Reason.RECENTLY_REMEDIATED,
        keys=("F",),
        reads=("resolves", "completed_at", "completed_by"),
        numbers=("signal_cooldown",),
        needs=("signal_cooldown",),
        objection=check_recently_remediated,
        sentence=_say_cooldown,
        when="a run of F completed less than `signal_cooldown` ago",
        then=(
            "Block until its end where the source resolves, else Skip; `of` its remediation, with "
            "`remaining` seconds"
        ),
    ),
    Check(
        name="workflow_recently_completed",
        reason=Reason.RECENTLY_REMEDIATED,
        keys=("T", "W"),
        reads=("workflow", "resolves", "workflow_completed_at", "workflow_completed_by"),
        numbers=("workflow_cooldown",),
        needs=("workflow_cooldown",),
        objection=check_workflow_recently_completed,
        sentence=_say_workflow_cooldown,
        when="W completed on T less than `workflow_cooldown` ago",
        then="as 9",
    ),
    Check(
        name="resource_busy",
        reason=Reason.RESOURCE_BUSY,
        keys=("T",),
        reads=("held_by", "queue_first", "queue_ahead"),
        objection=check_resource_busy,
        sentence=_say_queue,
        when="a run holds T, or another remediation is ahead in T's queue",
        then=(
            "Block without an end: it waits in T's queue; `of` the holder's remediation, else the "
            "first in the queue; `queue_position` from 1"
        ),
    ),
)


def decide(situation: Situation, policy: Policy) -> Verdict:
    """Return the first objection, or Proceed. The same for live routing, audit, backtest and simulation."""
    for check in CHECKS:
        objection = check.objection(situation, policy)
        if objection is not None:
            return objection
    return Proceed()


def failures(situation: Situation, policy: Policy) -> int:
    """Failures in a row that count in this situation."""
    return count_remembered(situation.failures, situation.last_failure_at, situation.now, policy.routing)


def _known(situation: Situation) -> Matched:
    """What a matcher reads of a situation, in which the words stand if one asks for them."""
    return Matched(situation.fingerprint, situation.target, situation.words or NO_WORDS, situation.workflow)


def _after(moment: datetime | None, wait: timedelta | None) -> datetime | None:
    return None if moment is None or wait is None else later(moment, wait)


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


def _failures(situation: Situation, policy: Policy) -> str:
    if not situation.failures or situation.last_failure_at is None:
        return "no failures in a row"
    forgotten = "" if failures(situation, policy) else " (forgotten)"
    last = written(situation.last_failure_at)
    return f"{times(situation.failures, 'failure')} in a row{forgotten}, the last at {last}"


def _since(moment: datetime | None, now: datetime, cooldown: timedelta | None, what: str) -> str:
    if moment is None:
        return f"no run has completed for {what}"
    return f"a run completed for {what} {spoken(now - moment)} ago, cooldown {span(cooldown)}"
