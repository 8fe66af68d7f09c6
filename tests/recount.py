"""The whole log counted again, naively: what the contract says of each record, and no other thought.

It reads phases from the records, as a reader would, and counts from the facts. It shares no code with the core."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from remediation_orchestrator.events import (
    AnalysisFailed,
    Block,
    BlockCleared,
    Duplicate,
    PhaseChanged,
    PolicyAdopted,
    Position,
    Proceed,
    Recorded,
    Refuse,
    RoutingDecided,
    SignalReceived,
    SignalResolved,
    Skip,
    TargetReleased,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
)
from remediation_orchestrator.events.identity import Target
from remediation_orchestrator.orchestrator.routing.policy import PolicyError, policy_of

ENDED = ("Completed", "Failed", "TimedOut", "Skipped", "Cancelled")
GRACE = timedelta(seconds=30)


@dataclass
class Run:
    """An execution, over or not."""

    remediation: str
    fingerprint: str
    target: Target
    workflow: str
    deadline: datetime
    started: bool = False
    lost: bool = False
    over: bool = False


@dataclass
class Recount:
    """What a log comes to."""

    memory: timedelta
    alert_memory: timedelta
    phases: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    executing: dict[str, str] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    queue: list[tuple[Target, str]] = field(default_factory=list)
    failures: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    completed: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    worked: dict[tuple[Target, str], tuple[datetime, str]] = field(default_factory=dict)
    half_done: dict[tuple[Target, str], str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    heard: dict[tuple[str, str], datetime] = field(default_factory=dict)
    """When each alert of each fingerprint last fired that has not resolved."""
    over: set[Position] = field(default_factory=set)
    """The resolutions with which a problem was over."""
    to_end: set[str] = field(default_factory=set)
    """What such a one ends, and nobody has told of yet."""

    def read(self, record: Recorded) -> None:
        """Take one record more."""
        event, at = record.event, record.recorded_at
        match event:
            case SignalReceived(alert=alert):
                known = self.firing(event.fingerprint, at)
                if alert and (alert in known or len(known) < 256):
                    self.heard[event.fingerprint, alert] = at
            case SignalResolved():
                self._resolved(event, record.position, at)
            case PolicyAdopted():
                self._adopted(event, at)
            case RoutingDecided():
                self._decided(event)
            case PhaseChanged():
                self._changed(event)
            case TargetReleased():
                self.runs[event.execution].over = True
            case AnalysisFailed():
                if self.phases.get(event.remediation) == "Analyzing":
                    self._count(self.fingerprints[event.remediation], at)
            case WorkflowStarted() | WorkflowCompleted() | WorkflowFailed() | WorkflowRevoked():
                run = self.runs.get(event.execution)
                if run is not None and not run.over and not run.lost:
                    self._execution(event, run, at)
            case BlockCleared():
                self._cleared(event, at)
            case _:
                pass  # Signals, answers, approvals and the like change nothing but by their records.

    def firing(self, fingerprint: str, at: datetime) -> set[str]:
        """The alerts of a fingerprint that are known to fire at this moment."""
        heard = self.heard.items()
        return {alert for (of, alert), last in heard if of == fingerprint and at - last <= self.alert_memory}

    def holders(self) -> dict[Target, str]:
        """Which run holds each target: at most one."""
        held: dict[Target, str] = {}
        for execution, run in self.runs.items():
            if not run.over:
                assert run.target not in held, f"{held[run.target]} and {execution} hold {run.target}"
                held[run.target] = execution
        return held

    def active(self) -> dict[str, str]:
        """Which remediation is at each fingerprint: at most one."""
        found: dict[str, str] = {}
        for remediation, phase in self.phases.items():
            fingerprint = self.fingerprints[remediation]
            if phase not in ENDED:
                assert fingerprint not in found, f"{found[fingerprint]} and {remediation} are at {fingerprint}"
                found[fingerprint] = remediation
        return found

    def _resolved(self, event: SignalResolved, position: Position, at: datetime) -> None:
        for of, alert in list(self.heard):
            if of == event.fingerprint and event.alert in ("", alert):
                del self.heard[of, alert]
        if self.firing(event.fingerprint, at):
            return
        self.over.add(position)
        name = self.active().get(event.fingerprint)
        run = self.runs.get(self.executing.get(name or "", ""))
        begun = run is not None and run.started and self.phases[run.remediation] == "Executing"
        if name is not None and not begun:
            self.to_end.add(name)

    def _adopted(self, event: PolicyAdopted, at: datetime) -> None:
        """What the old policy has forgotten the new one does not bring back."""
        try:
            memory = policy_of(event.policy).routing.alert_memory
        except PolicyError:
            return
        self.heard = {key: last for key, last in self.heard.items() if at - last <= self.alert_memory}
        self.alert_memory = memory

    def _decided(self, record: RoutingDecided) -> None:
        name, verdict, target = record.remediation, record.verdict, record.situation.target
        working = self.phases.get(name, "Blocked") not in ("Blocked", *ENDED)
        if isinstance(verdict, Duplicate) or (working and record.because.kind == "retry"):
            return
        self.fingerprints[name] = record.situation.fingerprint
        if record.because.kind == "retry":
            self.refused.discard(name)
        match verdict:
            case Proceed():
                assert name not in self.refused, f"{name} was refused"
                self._proceeds(record)
            case Block(until=None):
                self.phases[name] = "Blocked"
                if (target, name) not in self.queue:
                    self.queue.append((target, name))
                place = [who for where, who in self.queue if where == target].index(name) + 1
                assert verdict.queue_position == place
                return
            case Block():
                self.phases[name] = "Blocked"
            case Skip():
                self.phases[name] = "Skipped"
            case Refuse():
                self.phases[name] = "Failed"
                self.refused.add(name)
        self._leaves(name)

    def _proceeds(self, record: RoutingDecided) -> None:
        name, target = record.remediation, record.situation.target
        if record.execution is None:
            self.phases[name] = "Analyzing"
            return
        assert record.workflow is not None
        assert record.deadline is not None
        assert target not in self.holders(), f"{target} was not free for {name}"
        assert (target, record.workflow.id) not in self.half_done
        ahead = [who for where, who in self.queue if where == target]
        assert ahead[:1] in ([], [name]), f"{name} overtook {ahead}"
        self.phases[name] = "Executing"
        self.executing[name] = record.execution
        self.runs[record.execution] = Run(
            name, record.situation.fingerprint, target, record.workflow.id, record.deadline
        )

    def _changed(self, record: PhaseChanged) -> None:
        if record.phase == "TimedOut":
            if record.failure_phase != "Approval":
                self._count(record.fingerprint, record.now)
            if self.phases[record.remediation] == "Executing":
                run = self.runs[self.executing[record.remediation]]
                self.half_done[run.target, run.workflow] = run.remediation
        self.phases[record.remediation] = record.phase
        self.to_end.discard(record.remediation)
        assert record.because.kind != "resolved" or record.because.position in self.over
        if record.phase in ENDED:
            self._leaves(record.remediation)

    def _execution(
        self, event: WorkflowStarted | WorkflowCompleted | WorkflowFailed | WorkflowRevoked, run: Run, at: datetime
    ) -> None:
        name, place = run.remediation, (run.target, run.workflow)
        current = self.phases[name] == "Executing" and self.executing[name] == event.execution
        match event:
            case WorkflowStarted():
                run.started = True
            case WorkflowRevoked():
                run.over = not run.started
            case WorkflowCompleted():
                run.over = True
                self.worked[place] = (at, name)
                self.half_done.pop(place, None)
                if current:
                    self.failures.pop(run.fingerprint, None)
                    self.completed[run.fingerprint] = (at, name)
            case WorkflowFailed():
                run.lost = event.reason == "ExecutorLost" and event.was_execution_failure
                run.over = not run.lost
                if event.was_execution_failure:
                    self.half_done.pop(place, None)
                if event.was_execution_failure and not event.idempotent:
                    self.half_done[place] = name
                if current:
                    self._count(run.fingerprint, at)

    def _cleared(self, event: BlockCleared, at: datetime) -> None:
        fingerprint, target = event.fingerprint, event.target
        if fingerprint is not None:
            self.failures.pop(fingerprint, None)
            for place, name in list(self.half_done.items()):
                if self.fingerprints[name] == fingerprint:
                    del self.half_done[place]
        if target is None:
            return
        for place in list(self.half_done):
            if place[0] == target and event.workflow in (None, place[1]):
                del self.half_done[place]
        for execution, run in self.runs.items():
            executing = (
                self.phases[run.remediation] == "Executing" and self.executing[run.remediation] == execution
            )
            if run.target == target and (run.lost or (not executing and at >= run.deadline + GRACE)):
                run.over = True

    def _count(self, fingerprint: str, at: datetime) -> None:
        before, last = self.failures.get(fingerprint, (0, at))
        self.failures[fingerprint] = (1 if at - last > self.memory else before + 1, at)

    def _leaves(self, name: str) -> None:
        self.queue = [(target, who) for target, who in self.queue if who != name]
