"""Simulated operators: they look at what is going on and act at bad moments, but they do not lie.

Whoever clears the target of a lost run has looked first that nothing of it runs any more."""

import asyncio
import random
from collections.abc import Callable

from remediation_orchestrator.events import (
    ApprovalGranted,
    ApprovalRejected,
    BlockCleared,
    Phase,
    PolicyAdopted,
    RemediationCancelled,
    RemediationId,
    RetryRequested,
    Target,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.orchestrator.routing.effects import asked_plan
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT
from remediation_orchestrator.orchestrator.routing.projection import Projection

from .broker import CELL
from .clock import broker_now
from .executors import Ledger
from .faults import Fault, Faults
from .sources import Source

BAD_POLICIES: tuple[dict[str, object], ...] = (
    {"routing": {"retry_limit": 0}},
    {"routing": {"unknown_key": 1}},
    {"routing": {"signal_cooldown": "-5m"}},
    {"routing": 7},
)


def policies() -> list[dict[str, object]]:
    """Policies that an operator may want: the default, an impatient one, and one with most checks silent."""
    default = DEFAULT.document()
    routing = default["routing"]
    assert isinstance(routing, dict)
    brisk = {**routing, "consecutive_failure_cooldown": "10m", "backoff_base": "10s", "signal_cooldown": "1m"}
    scope = {"exclude": [{"name": "t1"}]}
    return [default, {"routing": brisk}, {"routing": {"retry_limit": 3}}, {"routing": routing, "scope": scope}]


class Operators:
    """The people of a cell."""

    def __init__(
        self, seed: int, faults: Faults, source: Source, ledger: Ledger, view: Callable[[], Projection]
    ) -> None:
        self._dice = random.Random(f"{seed}:operators")
        self._faults = faults
        self._source = source
        self._ledger = ledger
        self._view = view
        self._acts = 0

    async def work(self, every: float) -> None:
        """Act now and then, for ever."""
        while True:
            await asyncio.sleep(self._dice.expovariate(1 / every))
            for fault, act in (
                (Fault.OPERATOR_CLEARED, self._clear),
                (Fault.OPERATOR_RETRIED, self._retry),
                (Fault.OPERATOR_CANCELLED, self._cancel),
                (Fault.OPERATOR_APPROVED, self._approve),
                (Fault.OPERATOR_REJECTED, self._reject),
                (Fault.POLICY_ADOPTED, self._adopt),
                (Fault.POLICY_BAD, self._adopt_nonsense),
            ):
                fact = act()
                if fact is not None and self._faults.strikes(fault, 0.3):
                    await self._publish(fact)

    async def _publish(self, fact: subjects.OperatorFact) -> None:
        self._acts += 1
        payload = encode(fact, Attributes(id=f"act-{self._acts}", source="/operator", time=broker_now()))
        await self._source.insist(subjects.operator(CELL, fact), payload, f"act-{self._acts}")

    def _clear(self) -> BlockCleared | None:
        view = self._view()
        failed = [fingerprint for fingerprint, history in view.histories.items() if history.failures]
        targets = [target for target, _ in view.half_done] + [run.target for run in view.runs.values() if run.lost]
        free = [target for target in targets if not self._is_touched(target)]
        if self._dice.random() < 0.5 and failed:
            return BlockCleared(fingerprint=self._dice.choice(failed), by="op", reason="looked")
        return BlockCleared(target=self._dice.choice(free), by="op", reason="looked") if free else None

    def _is_touched(self, target: Target) -> bool:
        now = asyncio.get_running_loop().time()
        return any(one.target == target and (one.ended is None or one.ended > now) for one in self._ledger.touches)

    def _retry(self) -> RetryRequested | None:
        known = list(self._view().remediations)
        if not known:
            return None
        chosen = self._dice.choice([*known[-20:], RemediationId("rr-999999")])
        return RetryRequested(chosen, by="op", reason="again")

    def _cancel(self) -> RemediationCancelled | None:
        active = [one.id for one in self._view().remediations.values() if not one.phase.ended]
        return RemediationCancelled(self._dice.choice(active), by="op", reason="enough") if active else None

    def _approve(self) -> ApprovalGranted | None:
        asked = self._awaited()
        if not asked:
            return None
        chosen = self._dice.choice(asked)
        return ApprovalGranted(chosen, self._plan(chosen), by="op", reason="go on")

    def _plan(self, chosen: RemediationId) -> str:
        """What was seen: what is asked for now, or now and then something that nobody asks for any more."""
        known = self._view().remediations.get(chosen)
        return asked_plan(known) if known is not None and self._dice.random() < 0.8 else "0" * 64

    def _reject(self) -> ApprovalRejected | None:
        asked = self._awaited()
        return ApprovalRejected(self._dice.choice(asked), by="op", reason="no") if asked else None

    def _awaited(self) -> list[RemediationId]:
        """Who waits for a person, else anybody: an answer may come when nobody asks any more."""
        known = self._view().remediations.values()
        waiting = [one.id for one in known if one.phase is Phase.AWAITING_APPROVAL]
        return waiting or [one.id for one in known][-5:]

    def _adopt(self) -> PolicyAdopted:
        return PolicyAdopted(self._dice.choice(policies()), by="op")

    def _adopt_nonsense(self) -> PolicyAdopted:
        return PolicyAdopted(self._dice.choice(BAD_POLICIES), by="op")
