"""Which repairs are held to have helped, counted again from all that was said of their problems, naively.

It keeps what was said and when, and walks through it anew whenever somebody asks: no state of the core's."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from remediation_orchestrator.events import (
    OrchestratorStarted,
    PolicyAdopted,
    PolicyShadowed,
    Position,
    Target,
    Verification,
    VerificationEnded,
)
from remediation_orchestrator.orchestrator.routing.policy import (
    DEFAULT,
    Policy,
    PolicyError,
    VerificationPolicy,
    policy_of,
)

NONE = timedelta()


@dataclass
class KnownRepair:
    """A run that has completed and is being verified."""

    workflow: str
    execution: str
    since: datetime
    resolves: bool
    over: bool
    """Whether its source had said that it is over before the run completed."""
    numbers: VerificationPolicy
    said: list[tuple[datetime, bool]] = field(default_factory=list)
    """What its source has said since: when, and whether that is that it fires."""

    def result(self, now: datetime) -> Verification | None:
        """What is known of it by now."""
        over = self.since if self.over else None
        for at, fires in self.said:
            settled = self._by_time(over, at)
            if settled is not None:
                return settled
            if fires and self._is_in_vain(over, at):
                return Verification.INEFFECTIVE
            over = None if fires else over or at
        return self._by_time(over, now)

    def told(self, ended: VerificationEnded, place: Position) -> Iterator[str]:
        """Name what a record says of it that is not so."""
        counted = self.result(ended.now)
        if (counted, self.execution) != (ended.result, ended.execution):
            found = f"{counted} of {self.execution}"
            yield f"{place} says {ended.result} of {ended.execution}, and counted is {found}"

    @property
    def is_over(self) -> bool:
        """Whether its problem is over, as far as anybody says."""
        return not self.said[-1][1] if self.said else self.over

    def _is_in_vain(self, over: datetime | None, at: datetime) -> bool:
        assert self.numbers.within is not None
        if self.resolves:
            return over is not None and at > self.since + self.numbers.within
        return at > self.since + (self.numbers.settle or NONE)

    def _by_time(self, over: datetime | None, at: datetime) -> Verification | None:
        settle, within = self.numbers.settle or NONE, self.numbers.within
        assert within is not None
        if self.resolves and over is not None:
            return Verification.EFFECTIVE if at >= max(over, self.since) + settle else None
        if not self.resolves and self.numbers.silence is not None:
            return Verification.EFFECTIVE if at >= self.since + settle + self.numbers.silence else None
        if at <= self.since + within:
            return None
        return Verification.INEFFECTIVE if self.resolves else Verification.UNKNOWN


class Repairs:
    """Repairs that are being verified, and of each target those in a row that have not helped."""

    def __init__(self, policy: Policy = DEFAULT) -> None:
        """`policy` judges until the log says another."""
        self._policy = policy
        self._shadow: Policy | None = None
        self.going: dict[str, KnownRepair] = {}
        """By their remediation."""
        self._chains: dict[Target, list[tuple[datetime, str]]] = defaultdict(list)

    def complete(
        self, remediation: str, workflow: str, execution: str, at: datetime, *, resolves: bool, over: bool
    ) -> bool:
        """A run has completed; whether that is to be verified."""
        numbers = self._policy.verification
        if numbers is None or numbers.within is None:
            return False
        self.going[remediation] = KnownRepair(workflow, execution, at, resolves, over, numbers)
        return True

    def fail(self, target: Target, remediation: str, at: datetime) -> None:
        """A repair has not helped."""
        self._chains[target].append((at, remediation))
        self._chains[target] = self._within(self._chains[target], at)

    def clear(self, target: Target) -> None:
        """One has helped, or a person has looked."""
        self._chains.pop(target, None)

    def chain(self, target: Target, now: datetime) -> list[tuple[datetime, str]]:
        """The newest in a row that have not helped, as far as the policies that judge can read them."""
        return self._within(self._chains.get(target, []), now)

    def judge_by(self, event: PolicyAdopted | PolicyShadowed | OrchestratorStarted, at: datetime) -> None:
        """Another policy judges, or shadows. What is forgotten it does not bring back."""
        try:
            policy = policy_of(event.policy) if event.policy is not None else None
        except PolicyError:
            return
        self._chains = defaultdict(list, {target: self._within(one, at) for target, one in self._chains.items()})
        if isinstance(event, PolicyShadowed):
            self._shadow = policy
        elif policy is not None:
            self._policy = policy
            self._shadow = None if self._shadow == policy else self._shadow

    def _within(self, chain: list[tuple[datetime, str]], at: datetime) -> list[tuple[datetime, str]]:
        judging = [one.verification for one in (self._policy, self._shadow) if one is not None]
        numbers = [one for one in judging if one is not None]
        most = max((one.chain or 0 for one in numbers), default=0)
        window = max((one.chain_window or NONE for one in numbers), default=NONE)
        return [one for one in chain if at - one[0] <= window][-most:] if most else []
