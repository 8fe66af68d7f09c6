"""The table of checks, as the contract writes it: what a situation comes to under a policy, counted by hand."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec.structs import replace

from remediation_orchestrator.events import (
    Block,
    OrchestratorStarted,
    PolicyAdopted,
    Position,
    Reason,
    RoutingDecided,
    Situation,
    Verdict,
)
from remediation_orchestrator.orchestrator.routing.checks import decide
from remediation_orchestrator.orchestrator.routing.policy import Policy, PolicyError, policy_of
from remediation_orchestrator.simulation.matching import fits

if TYPE_CHECKING:
    from remediation_orchestrator.simulation.world import Day

Told = tuple[str, Reason | None, datetime | None]
MICROSECOND = timedelta(microseconds=1)


def check_verdicts_follow(day: "Day") -> Iterator[str]:
    """Every verdict is what the table of checks gives for its situation, by the policy that it names."""
    for place, decided, policy in _decided(day):
        found, expected = _told(decided.verdict), by_the_table(decided.situation, policy)
        if found != expected:
            yield f"{place} decides {found}, and the table says {expected}"


def check_the_table_at_its_boundaries(day: "Day") -> Iterator[str]:
    """At each moment on which a check depends, and right before and behind it, a situation comes to what the table
    says: few days come by there by themselves."""
    seen = set()
    for place, decided, policy in _decided(day):
        situation = decided.situation
        kind = type(decided.verdict), getattr(decided.verdict, "reason", None), situation.resolves, policy.digest
        if kind in seen:
            continue  # One of each kind a day: what differs is how much has passed, which is what is tried.
        seen.add(kind)
        for moment in _boundaries(situation, policy):
            for now in (moment - MICROSECOND, moment, moment + MICROSECOND):
                then = replace(situation, now=now)
                found, expected = _told(decide(then, policy)), by_the_table(then, policy)
                if found != expected:
                    yield f"{place} at {now} is decided to be {found}, and the table says {expected}"


def _boundaries(situation: Situation, policy: Policy) -> Iterator[datetime]:
    """When something that a check reads runs out."""
    numbers, failed = policy.routing, situation.last_failure_at
    if situation.occurred_at is not None and numbers.signal_max_age is not None:
        yield situation.occurred_at + situation.queued + numbers.signal_max_age
    for since, lasts in (
        (failed, numbers.failure_memory),
        (failed, numbers.consecutive_failure_cooldown),
        (situation.completed_at, numbers.signal_cooldown),
        (situation.workflow_completed_at, numbers.workflow_cooldown),
    ):
        if since is not None and lasts is not None:
            yield since + lasts
    if failed is not None and (allowed := _allowed(situation, policy, failed)) is not None:
        yield allowed


def _decided(day: "Day") -> Iterator[tuple[Position, RoutingDecided, Policy]]:
    """Every verdict, with the policy that it names."""
    policies: dict[str, Policy] = {}
    for record in day.records:
        match record.event:
            case PolicyAdopted(policy=document) | OrchestratorStarted(policy=dict() as document):
                with suppress(PolicyError):
                    policy = policy_of(document)
                    policies[policy.digest] = policy
            case RoutingDecided(situation=situation) if situation.policy in policies:
                yield record.position, record.event, policies[situation.policy]
            case _:
                pass


def _told(verdict: Verdict) -> Told:
    until = verdict.until if isinstance(verdict, Block) else None
    return type(verdict).__name__, getattr(verdict, "reason", None), until


def by_the_table(situation: Situation, policy: Policy) -> Told:
    """The first check that objects, row by row."""
    if any(fits(written, situation, within=situation.within) for written in policy.document()["scope"]["exclude"]):
        return "Skip", Reason.UNMANAGED_RESOURCE, None
    if situation.active is not None:
        return "Duplicate", Reason.DUPLICATE_IN_PROGRESS, None
    objection = _refusal(situation, policy) or _wait(situation, policy) or _cooldown(situation, policy)
    if objection is not None:
        return objection
    if situation.held_by is not None or situation.queue_ahead:
        return "Block", Reason.RESOURCE_BUSY, None
    return "Proceed", None, None


def _refusal(situation: Situation, policy: Policy) -> Told | None:
    numbers, now = policy.routing, situation.now
    occurred, oldest = situation.occurred_at, numbers.signal_max_age if not situation.resolves else None
    if occurred is not None and oldest is not None and now - occurred > oldest + situation.queued:
        return "Skip", Reason.STALE_SIGNAL, None
    if situation.previous_failure is not None:
        return "Refuse", Reason.PREVIOUS_EXECUTION_FAILED, None
    if numbers.retry_limit is not None and _failures(situation, policy) >= numbers.retry_limit:
        return "Refuse", Reason.EXHAUSTED_RETRIES, None
    chained = policy.verification
    if chained is not None and chained.chain is not None and chained.chain_window is not None:
        newest = [at for at in situation.ineffective if now - at <= chained.chain_window]
        if len(newest) >= chained.chain:
            return "Refuse", Reason.INEFFECTIVE_CHAIN, None
    return None


def _wait(situation: Situation, policy: Policy) -> Told | None:
    numbers, count, last = policy.routing, _failures(situation, policy), situation.last_failure_at
    threshold, rest = numbers.consecutive_failure_threshold, numbers.consecutive_failure_cooldown
    if not count or last is None:
        return None
    if threshold is not None and count >= threshold:
        until = last + rest if rest is not None else last
        return ("Block", Reason.CONSECUTIVE_FAILURES, until) if situation.now < until else None
    allowed = _allowed(situation, policy, last)
    if allowed is None or situation.now >= allowed:
        return None
    return "Block", Reason.EXPONENTIAL_BACKOFF, allowed


def _allowed(situation: Situation, policy: Policy, last: datetime) -> datetime | None:
    """When backoff lets it run again, whatever the threshold says."""
    numbers, count = policy.routing, _failures(situation, policy)
    if numbers.backoff_base is None or numbers.backoff_cap is None or not count:
        return None
    wait = min(numbers.backoff_base // MICROSECOND * 2 ** (count - 1), numbers.backoff_cap // MICROSECOND)
    word = hashlib.sha256(f"{situation.fingerprint}:{count}".encode()).digest()[:8]
    jitter = Decimal(repr(numbers.jitter or 0.0)).as_integer_ratio()
    more = wait * jitter[0] * int.from_bytes(word, "big") // (jitter[1] * 2**64)
    longer: timedelta = (wait + more) * MICROSECOND
    return last + longer


def _cooldown(situation: Situation, policy: Policy) -> Told | None:
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
