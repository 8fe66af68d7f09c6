"""The table of checks, as the contract writes it: what a situation comes to under a policy, counted by hand."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from remediation_orchestrator.events import (
    Block,
    OrchestratorStarted,
    PolicyAdopted,
    Reason,
    RoutingDecided,
    Situation,
)
from remediation_orchestrator.orchestrator.routing.policy import Policy, PolicyError, policy_of
from remediation_orchestrator.simulation.matching import fits

if TYPE_CHECKING:
    from remediation_orchestrator.simulation.world import Day

Verdict = tuple[str, Reason | None, datetime | None]
MICROSECOND = timedelta(microseconds=1)


def check_verdicts_follow(day: "Day") -> Iterator[str]:
    """Every verdict is what the table of checks gives for its situation, by the policy that it names."""
    policies: dict[str, Policy] = {}
    for record in day.records:
        match record.event:
            case PolicyAdopted(policy=document) | OrchestratorStarted(policy=dict() as document):
                try:
                    policy = policy_of(document)
                except PolicyError:
                    continue
                policies[policy.digest] = policy
            case RoutingDecided(situation=situation, verdict=verdict) if situation.policy in policies:
                expected = by_the_table(situation, policies[situation.policy])
                until = verdict.until if isinstance(verdict, Block) else None
                found = (type(verdict).__name__, getattr(verdict, "reason", None), until)
                if found != expected:
                    yield f"{record.position} decides {found}, and the table says {expected}"
            case _:
                pass


def by_the_table(situation: Situation, policy: Policy) -> Verdict:
    """The first check that objects, row by row."""
    if any(fits(written, situation) for written in policy.document()["scope"]["exclude"]):
        return "Skip", Reason.UNMANAGED_RESOURCE, None
    if situation.active is not None:
        return "Duplicate", Reason.DUPLICATE_IN_PROGRESS, None
    objection = _refusal(situation, policy) or _wait(situation, policy) or _cooldown(situation, policy)
    if objection is not None:
        return objection
    if situation.held_by is not None or situation.queue_ahead:
        return "Block", Reason.RESOURCE_BUSY, None
    return "Proceed", None, None


def _refusal(situation: Situation, policy: Policy) -> Verdict | None:
    numbers, now = policy.routing, situation.now
    occurred, oldest = situation.occurred_at, numbers.signal_max_age if not situation.resolves else None
    if occurred is not None and oldest is not None and now - occurred > oldest + situation.queued:
        return "Skip", Reason.STALE_SIGNAL, None
    if situation.previous_failure is not None:
        return "Refuse", Reason.PREVIOUS_EXECUTION_FAILED, None
    if numbers.retry_limit is not None and _failures(situation, policy) >= numbers.retry_limit:
        return "Refuse", Reason.EXHAUSTED_RETRIES, None
    return None


def _wait(situation: Situation, policy: Policy) -> Verdict | None:
    numbers, count, last = policy.routing, _failures(situation, policy), situation.last_failure_at
    threshold, rest = numbers.consecutive_failure_threshold, numbers.consecutive_failure_cooldown
    if not count or last is None:
        return None
    if threshold is not None and count >= threshold:
        until = last + rest if rest is not None else last
        return ("Block", Reason.CONSECUTIVE_FAILURES, until) if situation.now < until else None
    if numbers.backoff_base is None or numbers.backoff_cap is None:
        return None
    wait = min(numbers.backoff_base * 2 ** (count - 1), numbers.backoff_cap) // MICROSECOND
    word = hashlib.sha256(f"{situation.fingerprint}:{count}".encode()).digest()[:8]
    jitter = Decimal(repr(numbers.jitter or 0.0)).as_integer_ratio()
    more = wait * jitter[0] * int.from_bytes(word, "big") // (jitter[1] * 2**64)
    until = last + (wait + more) * MICROSECOND
    return ("Block", Reason.EXPONENTIAL_BACKOFF, until) if situation.now < until else None


def _cooldown(situation: Situation, policy: Policy) -> Verdict | None:
    for at, cooldown in (
        (situation.completed_at, policy.routing.signal_cooldown),
        (situation.workflow_completed_at, policy.routing.workflow_cooldown),
    ):
        if at is not None and cooldown is not None and situation.now < at + cooldown:
            if situation.resolves:
                return "Block", Reason.RECENTLY_REMEDIATED, at + cooldown
            return "Skip", Reason.RECENTLY_REMEDIATED, None
    return None


def _failures(situation: Situation, policy: Policy) -> int:
    """Those that this policy remembers: at exactly its `failure_memory` they still count."""
    memory, last = policy.routing.failure_memory, situation.last_failure_at
    if last is None or (memory is not None and situation.now - last > memory):
        return 0
    return situation.failures
