"""What a naive recount of a log keeps of each remediation, and of each run of one."""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    Phase,
    Proceed,
    Refuse,
    RoutingDecided,
    Skip,
    Target,
    WorkflowRef,
)

NONE = timedelta()
# How long after its deadline a run whose end nobody has told may still be at its target.
GRACE = timedelta(seconds=30)


@dataclass
class KnownRun:
    """One run that has not ended, or whose end nobody knows."""

    remediation: str
    fingerprint: str
    target: Target
    workflow: str
    decided_at: datetime
    start_before: datetime
    deadline: datetime
    started: bool = False
    lost: bool = False

    def begins(self, at: datetime) -> None:
        """Somebody says to have begun it: behind its `start_before` it has all of its time from there."""
        if not self.started and at > self.start_before:
            self.deadline = at + (self.deadline - self.decided_at)
        self.started = True


def run_of(decided: RoutingDecided, workflow: str = "") -> KnownRun:
    """The run that a verdict has decided."""
    situation = decided.situation
    now = situation.now
    limits = (now, decided.start_before or now, decided.deadline or now)
    return KnownRun(decided.remediation, situation.fingerprint, situation.target, workflow, *limits)


@dataclass
class KnownRemediation:
    """One remediation."""

    fingerprint: str
    target: Target
    resolves: bool
    occurred_at: datetime
    executing: str | None = None
    """Its run, while it is about that."""
    analysing: bool = False
    analyses: int = 0
    home: tuple[Target, tuple[Target, ...] | None] | None = None
    """Where its signal says that its problem is, and in what that stands, since an analysis has said."""
    chosen: bool = False
    """An analysis has named its workflow."""
    asking: bool = False
    """It waits for a person."""
    misses: int = 0
    """Runs that have not helped since its newest analysis."""
    over: bool = False
    """Its source has said so while it ran, and nothing has fired since."""
    ended: bool = False
    phase: Phase = Phase.BLOCKED
    """As its verdicts and what follows them say."""
    within: tuple[Target, ...] | None = None
    """In what its target stands, where an analysis has said so."""
    stays: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    """From when to when it waited for a target."""

    def occurs(self, at: datetime) -> None:
        """Its problem has shown itself again. A queue that it had left before that was judged is not counted."""
        self.occurred_at, self.over = at, False
        self.stays = [stay for stay in self.stays if stay[1] is None]

    def hears(self, answer: AnalysisCompleted | AnalysisFailed) -> None:
        """An analysis says where its problem is, and in what that stands."""
        if isinstance(answer, AnalysisCompleted) and answer.workflow is not None:
            self.home = self.home or (self.target, self.within)
            self.chosen, self.asking, self.misses = True, answer.approval_required, 0
            if answer.target is not None:
                self.target, self.within = answer.target, ()
            if answer.within is not None:
                inside = [replace(one, cluster=one.cluster or self.target.cluster) for one in answer.within]
                self.within = tuple(one for one in dict.fromkeys(inside) if one != self.target)

    def unhears(self) -> None:
        """What an analysis has said is not known any more."""
        self.target, self.within = self.home or (self.target, self.within)
        self.home, self.chosen, self.misses = None, False, 0

    @property
    def waits(self) -> bool:
        """Whether it waits for a target."""
        return bool(self.stays) and self.stays[-1][1] is None

    def leaves(self, now: datetime) -> None:
        """It waits for a target no more."""
        if self.waits:
            self.stays[-1] = (self.stays[-1][0], now)

    def waited(self, now: datetime) -> timedelta:
        """How long it has waited since its newest occurrence."""
        stays = (min(until or now, now) - max(since, self.occurred_at) for since, until in self.stays)
        return sum((max(stay, NONE) for stay in stays), NONE)

    def ends(self, at: datetime) -> None:
        """It is about nothing any more."""
        if not self.ended:
            self.leaves(at)
            self.ended, self.executing, self.analysing = True, None, False
            if self.asking:
                self.unhears()


def plan_by_hand(workflow: WorkflowRef | None, target: Target) -> str:
    """The plan that a person is asked for, as the contract writes it."""
    if workflow is None:
        return ""
    parameters = msgspec.to_builtins(workflow.parameters)
    where = [target.cluster, target.namespace, target.kind, target.name]
    told = json.dumps(
        [workflow.id, "", parameters, where], ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )
    return hashlib.sha256(told.encode()).hexdigest()


def phase_after(decided: RoutingDecided) -> Phase:
    """Where a verdict leaves its remediation."""
    match decided.verdict:
        case Proceed():
            return Phase.ANALYZING if decided.execution is None else Phase.EXECUTING
        case Skip():
            return Phase.SKIPPED
        case Refuse():
            return Phase.FAILED
        case _:
            return Phase.BLOCKED


class TargetLines:
    """Who has come to wait for which target, in which order."""

    def __init__(self) -> None:
        self._line: dict[str, Target] = {}

    def wait(self, remediation: str, known: KnownRemediation, target: Target, now: datetime) -> None:
        """It waits for a target, at the end of the line if it has not waited there before."""
        if not known.waits:
            known.stays.append((now, None))
            self._line.pop(remediation, None)
        if self._line.get(remediation) != target:
            self._line.pop(remediation, None)
            self._line[remediation] = target

    def queues(self, known: dict[str, KnownRemediation]) -> dict[Target, list[str]]:
        """Who waits for each target, in the order of the line."""
        queues: dict[Target, list[str]] = defaultdict(list)
        for remediation, target in self._line.items():
            if known[remediation].waits:
                queues[target].append(remediation)
        return dict(queues)
