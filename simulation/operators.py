"""Simulated operators: they look at what is going on and act at bad moments, twice, and against each other.

Most who clear the target of a lost run have looked first that nothing of it runs any more. Some have not: what
comes of that is theirs, and checkers know of it."""

import asyncio
import random
from collections.abc import Callable

from msgspec.structs import replace

from remediation_orchestrator.events import (
    ApprovalGranted,
    ApprovalRejected,
    BlockCleared,
    OperatorFact,
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

from .clock import broker_now, passed
from .diary import Diary
from .faults import Fault, Faults
from .line import CELL
from .sources import SimulatedSource

PEOPLE = ("ann", "bob", "cleo")
FEIGNING = "mallory"
"""Who acts, and who says that another does."""

BAD_POLICIES: tuple[dict[str, object], ...] = (
    {"routing": {"retry_limit": 0}},
    {"routing": {"unknown_key": 1}},
    {"routing": {"signal_cooldown": "-5m"}},
    {"routing": 7},
)


def policies(*, brief: bool) -> list[dict[str, object]]:
    """What an operator may want: the default, an impatient policy, few checks, a target out of scope, and two
    that verify.

    Where they are `brief` nothing is remembered for longer than half an hour, so a day's log can be archived."""
    routing = DEFAULT.document()["routing"]
    if brief:
        routing = {
            **routing,
            "failure_memory": "25m",
            "consecutive_failure_cooldown": "20m",
            "alert_memory": "25m",
        }
    brisk = {**routing, "consecutive_failure_cooldown": "10m", "backoff_base": "10s", "signal_cooldown": "1m"}
    brisk["runs_per_analysis"] = 1
    few = {"retry_limit": 3, "alert_memory": "10m", **({"failure_memory": "25m"} if brief else {})}
    scope = {"exclude": [{"target": {"name": "t1"}, "severity": "?*"}, {"target": {"kind": "Node", "name": "n1"}}]}
    classify = [
        {
            "when": {"severity": "warn*", "target": {"name": ["t0", "t2"]}},
            "set": {"team": "night", "severity": "INFO"},
        },
        {"when": {"team": "night", "share": 0.5}, "set": {"priority": "P5"}},
        {"when": {"name": "Problem*", "not": {"team": "?*"}}, "set": {"environment": "day", "severity": "high"}},
    ]
    scope["exclude"] += [{"priority": "P5"}]
    patient = {"within": "20m", "settle": "1m", "chain": 3, "chain_window": "25m"}
    quiet = {"within": "10m", "settle": "30s", "silence": "5m", "chain": 1, "chain_window": "8m"}
    return [
        {"routing": routing},
        {"routing": brisk},
        {"routing": few},
        {"routing": routing, "scope": scope, "classify": classify},
        {"routing": routing, "verification": patient},
        {"routing": brisk, "verification": quiet},
    ]


class Operators:
    """The people of a cell."""

    def __init__(
        self,
        seed: int,
        faults: Faults,
        source: SimulatedSource,
        diary: Diary,
        view: Callable[[], Projection],
        policies: list[dict[str, object]],
    ) -> None:
        self._dice = random.Random(f"{seed}:operators")
        self._people = random.Random(f"{seed}:people")
        self._faults = faults
        self._source = source
        self._diary = diary
        self._view = view
        self._policies = policies
        self._acts = 0

    async def work(self, every: float) -> None:
        """Act now and then, for ever."""
        while True:
            await asyncio.sleep(self._dice.expovariate(1 / every))
            for fault, act in (
                (Fault.OPERATOR_CLEARED, self._clear),
                (Fault.OPERATOR_CLEARED_UNSAFE, self._clear_what_goes_on),
                (Fault.OPERATOR_CLEARED_WAITING, self._clear_who_waits),
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
                    if self._faults.strikes(Fault.OPERATOR_TWICE, 0.2):
                        await self._publish(fact)
                if isinstance(fact, RemediationCancelled) and self._faults.strikes(Fault.OPERATOR_CONTRARY, 0.2):
                    await self._cancel_and_clear(fact)

    async def _publish(self, fact: OperatorFact) -> None:
        """One of them says it; now and then another has said so before, as if they had, where he alone may."""
        said = replace(fact, by=self._people.choice(PEOPLE))
        subject = subjects.operator(CELL, said)
        if self._faults.strikes(Fault.OPERATOR_FEIGNED, 0.2):
            await self._say(subjects.operator(CELL, replace(said, by=FEIGNING)), said)
        await self._say(subject, said)

    async def _say(self, subject: str, said: OperatorFact) -> None:
        self._acts += 1
        payload = encode(said, Attributes(id=f"act-{self._acts}", source="/operator", time=broker_now()))
        await self._source.insist(subject, payload, f"act-{self._acts}")

    def _clear(self) -> BlockCleared | None:
        view = self._view()
        failed = [fingerprint for fingerprint, history in view.histories.items() if history.failures]
        targets = [target for target, _ in view.half_done] + [run.target for run in view.runs.values() if run.lost]
        free = [target for target in targets if not self._is_touched(target)]
        if self._dice.random() < 0.5 and failed:
            return BlockCleared(fingerprint=self._dice.choice(failed), reason="looked")
        return BlockCleared(target=self._dice.choice(free), reason="looked") if free else None

    def _clear_what_goes_on(self) -> BlockCleared | None:
        """Somebody believes that a run is over, and it is not."""
        going_on = [run.target for run in self._view().runs.values() if self._is_touched(run.target)]
        return BlockCleared(target=self._dice.choice(going_on), reason="surely over") if going_on else None

    def _clear_who_waits(self) -> BlockCleared | None:
        """One of those who wait in line, not always the first, is to be judged again."""
        view = self._view()
        waiting = [view.remediations[one].fingerprint for line in view.queues.values() for one in line]
        return BlockCleared(fingerprint=self._dice.choice(waiting), reason="go on") if waiting else None

    async def _cancel_and_clear(self, cancelled: RemediationCancelled) -> None:
        """Whoever cancels wants the target free at once, whatever still goes on there."""
        known = self._view().remediations.get(cancelled.remediation)
        if known is not None:
            await self._publish(cancelled)
            await asyncio.sleep(self._dice.choice((0.0, 1.0, 30.0)))
            await self._publish(BlockCleared(target=known.target, reason="cancelled"))

    def _is_touched(self, target: Target) -> bool:
        now = passed()
        return any(one.target == target and (one.ended is None or one.ended > now) for one in self._diary.touches)

    def _retry(self) -> RetryRequested | None:
        known = list(self._view().remediations)
        if not known:
            return None
        chosen = self._dice.choice([*known[-20:], RemediationId("rr-999999")])
        return RetryRequested(chosen, reason="again")

    def _cancel(self) -> RemediationCancelled | None:
        active = [one.id for one in self._view().remediations.values() if not one.phase.ended]
        return RemediationCancelled(self._dice.choice(active), reason="enough") if active else None

    def _approve(self) -> ApprovalGranted | None:
        asked = self._awaited()
        if not asked:
            return None
        chosen = self._dice.choice(asked)
        return ApprovalGranted(chosen, self._plan(chosen), reason="go on")

    def _plan(self, chosen: RemediationId) -> str:
        """What was seen: what is asked for now, or now and then something that nobody asks for any more."""
        known = self._view().remediations.get(chosen)
        return asked_plan(known) if known is not None and self._dice.random() < 0.8 else "0" * 64

    def _reject(self) -> ApprovalRejected | None:
        asked = self._awaited()
        return ApprovalRejected(self._dice.choice(asked), reason="no") if asked else None

    def _awaited(self) -> list[RemediationId]:
        """Who waits for a person, else anybody: an answer may come when nobody asks any more."""
        known = self._view().remediations.values()
        waiting = [one.id for one in known if one.phase is Phase.AWAITING_APPROVAL]
        return waiting or [one.id for one in known][-5:]

    def _adopt(self) -> PolicyAdopted:
        return PolicyAdopted(self._dice.choice(self._policies))

    def _adopt_nonsense(self) -> PolicyAdopted:
        return PolicyAdopted(self._dice.choice(BAD_POLICIES))
