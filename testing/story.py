"""Given facts, when time passes, then verdicts: a cell told in minutes, on no clock at all."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta

import msgspec

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    ApprovalGranted,
    CellName,
    Decision,
    ExecutionId,
    Fact,
    OperatorFact,
    PhaseChanged,
    Position,
    RemediationId,
    RoutingDecided,
    StoredMessage,
    Target,
    Verdict,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRef,
    WorkflowStarted,
    encode,
    fingerprint_of,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.events.stored import EXPECTED
from remediation_orchestrator.events.subjects import parse
from remediation_orchestrator.orchestrator.queries.dry_run import DryRun
from remediation_orchestrator.orchestrator.routing.effects import asked_plan
from remediation_orchestrator.orchestrator.routing.judge import judge
from remediation_orchestrator.orchestrator.routing.policy import Policy, policy_of
from remediation_orchestrator.orchestrator.routing.state import FingerprintHistory, Remediation

from .publishing import signed

CELL = CellName("main")
START = datetime(2026, 11, 21, 10, tzinfo=UTC)
CHECKOUT = Target("checkout", "eu-1", "shop", "Deployment")

STEADY: dict[str, object] = {
    "routing": {
        "consecutive_failure_threshold": 3,
        "consecutive_failure_cooldown": "1h",
        "retry_limit": 5,
        "failure_memory": "24h",
        "backoff_base": "1m",
        "backoff_cap": "10m",
        "jitter": 0.0,
        "signal_cooldown": "5m",
        "workflow_cooldown": "5m",
        "signal_max_age": "15m",
        "alert_memory": "24h",
    }
}
"""The default policy without jitter, so that a story's times are round."""


def minute(at: float) -> datetime:
    """A moment of the story, in minutes from its start."""
    return START + timedelta(minutes=at)


class Story:
    """A cell's facts as they happen, and every decision that they led to."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.cell = DryRun(policy or policy_of(STEADY))
        self.decisions: list[Decision] = []
        self.sequence = 0
        self._asleep = False
        self._last: dict[str, int] = {}
        """The newest record of each subject."""

    def publish(self, at: float | datetime, subject: str, payload: bytes) -> Position:
        """Store bytes on a subject at a minute, and let the cell decide."""
        self.sequence += 1
        moment = at if isinstance(at, datetime) else minute(at)
        headers = {EXPECTED: str(self._last.get(subject, 0))} if parse(subject).family.is_fenced else None
        message = StoredMessage(self.sequence, moment, subject, payload, headers)
        self._last[subject] = self.sequence
        if self._asleep:
            self.cell.fold.take(message)
        else:
            self.decisions += self.cell.tell(message)
        return Position(str(self.sequence))

    def together(self, at: float, *happenings: Callable[[], object]) -> None:
        """Let facts happen while nobody is awake to judge, and then one round at a minute judge them all."""
        self._asleep = True
        for happen in happenings:
            happen()
        self._asleep = False
        self.cell.fold.fold_facts()
        self.decisions += judge(self.cell.fold.view, minute(at)).decisions

    def signal(
        self,
        at: float | datetime,
        name: str = "KubePodCrashLooping",
        *,
        target: Target = CHECKOUT,
        workflow: str | None = "restart",
        resolves: bool = True,
        status: str = "firing",
        alert: str = "",
    ) -> Position:
        """Publish a bare signal."""
        body = self.body(name, target=target, workflow=workflow, resolves=resolves, status=status, alert=alert)
        return self.publish(at, subjects.signal(CELL, "test"), msgspec.json.encode(body))

    def body(
        self,
        name: str = "KubePodCrashLooping",
        *,
        target: Target = CHECKOUT,
        workflow: str | None = "restart",
        resolves: bool = True,
        status: str = "firing",
        alert: str = "",
    ) -> dict[str, object]:
        """Return what a bare signal says."""
        body: dict[str, object] = {"name": name, "target": target, "status": status, "resolves": resolves}
        if alert:
            body["alert"] = alert
        return body if workflow is None else {**body, "workflow": {"id": workflow}}

    def several(self, at: float | datetime, *bodies: object) -> Position:
        """Publish an array of bare signals as one message."""
        return self.publish(at, subjects.signal(CELL, "test"), msgspec.json.encode(bodies))

    def resolved(self, at: float | datetime, name: str = "KubePodCrashLooping", *, alert: str = "") -> Position:
        """The source says that an alert of a problem is over, or the whole problem."""
        return self.signal(at, name, status="resolved", alert=alert)

    def fact(self, at: float | datetime, fact: Fact, subject: str) -> Position:
        """Publish a fact as a CloudEvent."""
        attributes = Attributes(id=f"{self.sequence + 1}", source="/test", time=minute(0))
        return self.publish(at, subject, encode(fact, attributes))

    def operator(self, at: float | datetime, fact: OperatorFact) -> Position:
        """Let an operator act; `ann`, where the fact says of nobody."""
        fact = signed(fact)
        return self.fact(at, fact, subjects.operator(CELL, fact))

    def started(self, at: float | datetime, execution: str) -> Position:
        """An executor claims a run."""
        return self._run(at, WorkflowStarted(ExecutionId(execution)))

    def completed(self, at: float | datetime, execution: str) -> Position:
        """A run ends well."""
        return self._run(at, WorkflowCompleted(ExecutionId(execution)))

    def failed(
        self,
        at: float | datetime,
        execution: str,
        *,
        during: bool = True,
        idempotent: bool = True,
        reason: str = "TaskFailed",
    ) -> Position:
        """A run fails; by default half-way, and safe to run again."""
        fact = WorkflowFailed(
            ExecutionId(execution), reason=reason, was_execution_failure=during, idempotent=idempotent
        )
        return self._run(at, fact)

    def wait(self, until: float | datetime) -> None:
        """Let time pass."""
        self.decisions += self.cell.wait(until if isinstance(until, datetime) else minute(until))

    @property
    def verdicts(self) -> list[tuple[str, int, Verdict]]:
        """Every verdict: on which signal, in which attempt."""
        return [
            (one.signal, one.attempt, one.verdict) for one in self.decisions if isinstance(one, RoutingDecided)
        ]

    @property
    def last(self) -> RoutingDecided:
        """The newest verdict, with all that was known."""
        return next(one for one in reversed(self.decisions) if isinstance(one, RoutingDecided))

    @property
    def verdict(self) -> Verdict:
        """The newest verdict."""
        return self.last.verdict

    @property
    def changes(self) -> list[PhaseChanged]:
        """Every change of phase that no verdict says."""
        return [one for one in self.decisions if isinstance(one, PhaseChanged)]

    def phase(self, remediation: str) -> str:
        """Where a remediation stands now."""
        return self.remediation(remediation).phase

    def remediation(self, remediation: str) -> Remediation:
        """All that is known of a remediation."""
        return self.cell.fold.view.remediations[RemediationId(remediation)]

    def state(self) -> dict[str, object]:
        """Every table as it is now: a copy, because the projection hands out the live ones."""
        return deepcopy(self.cell.fold.view.tables())

    def history(self, name: str = "KubePodCrashLooping", target: Target = CHECKOUT) -> FingerprintHistory:
        """Return what a fingerprint has been through."""
        return self.cell.fold.view.history(fingerprint_of(target, name))

    def holder(self, target: Target = CHECKOUT) -> str | None:
        """Which execution holds a target."""
        return self.cell.fold.view.holders.get(target)

    def analysed(
        self,
        at: float | datetime,
        remediation: str,
        *,
        workflow: str | None = "restart",
        target: Target | None = None,
        approval: bool = False,
        no_action: bool = False,
        analysis: str = "",
    ) -> Position:
        """An analyser answers."""
        chosen = None if workflow is None else WorkflowRef(workflow)
        known = RemediationId(remediation)
        fact = AnalysisCompleted(known, target, chosen, None, approval, no_action, analysis=analysis)
        return self.fact(at, fact, subjects.analysis(CELL, known))

    def granted(self, at: float | datetime, remediation: str) -> Position:
        """A person allows what a remediation asks for."""
        known = self.cell.fold.view.remediations[RemediationId(remediation)]
        return self.operator(at, ApprovalGranted(known.id, asked_plan(known)))

    def analysis_failed(self, at: float | datetime, remediation: str) -> Position:
        """An analyser cannot answer."""
        known = RemediationId(remediation)
        return self.fact(at, AnalysisFailed(known), subjects.analysis(CELL, known))

    def _run(self, at: float | datetime, fact: WorkflowStarted | WorkflowCompleted | WorkflowFailed) -> Position:
        return self.fact(at, fact, subjects.execution(CELL, fact.execution))
