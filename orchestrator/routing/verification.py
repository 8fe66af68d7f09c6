"""Whether a repair has helped: by its source's word, or by silence. A pure reckoning over moments.

The run has ended and its target is free; its remediation waits until it is known. What a fact settles stands at
once, and what time settles when it has come: whatever is recorded later changes nothing about either."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from remediation_orchestrator.events import (
    ExecutionId,
    Reason,
    Refuse,
    RemediationId,
    Situation,
    Target,
    Verdict,
    Verification,
)
from remediation_orchestrator.events.durations import MICROSECOND, ZERO, later

from .policy import VERIFICATION, Policy, VerificationPolicy
from .words import span, spoken, times


class Verifying(Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A run that has completed and is being verified, by the numbers that were in force when it had."""

    execution: ExecutionId
    since: datetime
    """When its run completed."""
    resolves: bool
    within: timedelta
    settle: timedelta
    silence: timedelta | None = None
    over_since: datetime | None = None
    """Since when its problem is over, as far as its source says so."""
    result: Verification | None = None
    """What a fact has settled."""

    @property
    def settled(self) -> datetime:
        """When what the repair itself may have stirred up is over, or how long over is to last."""
        return later(max(self.since, self.over_since or self.since), self.settle)

    @property
    def limit(self) -> datetime:
        """Its last moment, at which its source may still say that it has helped."""
        return later(self.since, self.within)

    @property
    def due(self) -> datetime:
        """When time alone ends it."""
        return self._end()[0]

    def result_at(self, now: datetime) -> Verification | None:
        """What is known by now; None where it is open."""
        if self.result is not None:
            return self.result
        due, result = self._end()
        return result if now >= due else None

    def fired(self, at: datetime) -> "Verifying":
        """Its problem fires at a moment."""
        known = replace(self, result=self.result_at(at), over_since=None)
        if known.result is not None:
            return known
        if self.resolves:
            too_late = self.over_since is not None and at > self.limit
            return replace(known, result=Verification.INEFFECTIVE) if too_late else known
        return replace(known, result=Verification.INEFFECTIVE) if at > self.settled else known

    def over(self, at: datetime) -> "Verifying":
        """Its source says that its problem is over; one that does not resolve says nothing by that."""
        if not self.resolves:
            return self
        return replace(self, result=self.result_at(at), over_since=self.over_since or at)

    def _end(self) -> tuple[datetime, Verification]:
        if self.resolves:
            if self.over_since is not None:
                return self.settled, Verification.EFFECTIVE
            return later(self.limit, MICROSECOND), Verification.INEFFECTIVE
        if self.silence is not None:
            return later(self.settled, self.silence), Verification.EFFECTIVE
        return later(self.limit, MICROSECOND), Verification.UNKNOWN


def verifying(
    policy: VerificationPolicy | None, execution: ExecutionId, since: datetime, *, resolves: bool, over: bool
) -> Verifying | None:
    """What a completed run has to show; None where nothing verifies it. `over`: its source has said so already."""
    if policy is None or policy.within is None:
        return None
    return Verifying(
        execution=execution,
        since=since,
        resolves=resolves,
        within=policy.within,
        settle=policy.settle or ZERO,
        silence=policy.silence,
        over_since=since if over else None,
    )


class Ineffective(Struct, frozen=True, gc=False):
    """A repair that was found not to have helped."""

    at: datetime
    remediation: RemediationId


IneffectiveChain = tuple[Ineffective, ...]
"""The newest repairs of a target, none of which has helped, the oldest first."""


class IneffectiveChains:
    """Of each target the repairs in a row that have not helped. One that has ends its chain."""

    def __init__(self) -> None:
        self.known: dict[Target, IneffectiveChain] = {}

    def lengthen(self, target: Target, found: Ineffective, most: int) -> None:
        """One more has not helped; so many at most are known."""
        if most:
            self.known[target] = (*self.known.get(target, ()), found)[-most:]

    def end(self, target: Target) -> None:
        """A repair has helped, or a person has looked."""
        self.known.pop(target, None)

    def renew(self, target: Target, chain: IneffectiveChain) -> None:
        """Know so much of a target's chain."""
        if chain:
            self.known[target] = chain
        else:
            self.end(target)

    def restore(self, rows: Iterable[tuple[Target, IneffectiveChain]]) -> None:
        """Know some of what was written down."""
        self.known.update(rows)


def check_ineffective_chain(situation: Situation, policy: Policy) -> Verdict | None:
    """Stop repairing what repairs do not help, whatever problem asks for it."""
    if not is_chained(situation.ineffective, situation.now, policy):
        return None
    return Refuse(Reason.INEFFECTIVE_CHAIN, of=situation.ineffective_of)


def is_chained(ineffective: Sequence[datetime], now: datetime, policy: Policy) -> bool:
    """Whether so many repairs in a row have not helped, at these moments, that a policy wants no further one."""
    rules = policy.verification
    if rules is None or rules.chain is None or rules.chain_window is None:
        return False
    newest = ineffective[-rules.chain :]
    return len(newest) == rules.chain and now - newest[0] <= rules.chain_window


def say_chain(situation: Situation, policy: Policy) -> str:
    """What the check reads, for a person."""
    if not situation.ineffective:
        return "the last repair of this target helped, or none was verified"
    rules = policy.verification or VERIFICATION
    so_many, since = times(len(situation.ineffective), "repair"), spoken(situation.now - situation.ineffective[0])
    limit = f"limit {rules.chain} within {span(rules.chain_window)}"
    return f"{so_many} of this target in a row did not help, the first {since} ago; {limit}"
