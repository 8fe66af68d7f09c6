"""How often each problem has failed in a row, counted again by hand, as the policies that judge remember it."""

from collections import defaultdict
from datetime import datetime, timedelta

from remediation_orchestrator.events import OrchestratorStarted, PolicyAdopted, PolicyShadowed, TriedRun
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT, Policy, PolicyError, policy_of


class Failures:
    """A number for each fingerprint, and when it last failed."""

    def __init__(self, policy: Policy = DEFAULT) -> None:
        """`policy` judges until the log says another."""
        self.policy = policy
        self._shadow: Policy | None = None
        self._failures: dict[str, int] = defaultdict(int)
        self._last: dict[str, datetime] = {}
        self._tried: dict[str, list[TriedRun]] = defaultdict(list)

    def counted(self) -> dict[str, tuple[int, datetime]]:
        """All that have failed since they succeeded, be it forgotten or not, and when they did last."""
        return {one: (count, self._last[one]) for one, count in self._failures.items() if count}

    def count(self, fingerprint: str, at: datetime, *tried: TriedRun) -> None:
        """It has failed once more, perhaps because a run has."""
        self._tried[fingerprint] = [*self.tried(fingerprint, at), *tried]
        self._failures[fingerprint] = self._counting(fingerprint, at) + 1
        self._last[fingerprint] = at

    def tried(self, fingerprint: str, now: datetime) -> list[TriedRun]:
        """What has not helped since it last had no failures."""
        return self._tried[fingerprint] if self._counting(fingerprint, now) else []

    def is_tried_out(self, fingerprint: str, now: datetime, misses: int) -> bool:
        """Whether so many runs have not helped, these since its analysis, that it is to be analysed again."""
        most = self.policy.routing.runs_per_analysis
        return most is not None and min(misses, len(self.tried(fingerprint, now))) >= most

    def forgive(self, fingerprint: str) -> None:
        """It has succeeded, or a person wants to hear no more of its failures."""
        self._failures[fingerprint] = 0

    def remembered(self, fingerprint: str, now: datetime) -> int:
        """How many failures of it are not forgotten: of the policies that judge the longer memory counts."""
        judging = [policy for policy in (self.policy, self._shadow) if policy is not None]
        memory = max(policy.routing.failure_memory or timedelta.max for policy in judging)
        return self._within(memory, fingerprint, now)

    def are_exhausted(self, fingerprint: str, now: datetime) -> bool:
        """Whether the policy in force lets it run no more."""
        limit = self.policy.routing.retry_limit
        return limit is not None and self._counting(fingerprint, now) >= limit

    def _counting(self, fingerprint: str, now: datetime) -> int:
        """How many the policy in force still counts."""
        return self._within(self.policy.routing.failure_memory or timedelta.max, fingerprint, now)

    def _within(self, memory: timedelta, fingerprint: str, now: datetime) -> int:
        last = self._last.get(fingerprint)
        return self._failures[fingerprint] if last is not None and now - last <= memory else 0

    def judge_by(self, event: PolicyAdopted | PolicyShadowed | OrchestratorStarted, at: datetime) -> None:
        """Another policy judges, or shadows. What is forgotten it does not bring back."""
        try:
            policy = policy_of(event.policy) if event.policy is not None else None
        except PolicyError:
            return
        for fingerprint in [one for one in self._failures if not self.remembered(one, at)]:
            self._failures[fingerprint] = 0
        if isinstance(event, PolicyShadowed):
            self._shadow = policy
        elif policy is not None:
            self.policy = policy
            self._shadow = None if self._shadow == policy else self._shadow
