"""Count again, naively: what each fingerprint has failed, and which targets were left half-changed.

It walks the log in the order of the fold and keeps sets and numbers, nothing of the core's tables. A verdict
that says another number, or that lets run what must not run, is named."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    BlockCleared,
    Cause,
    DecisionFrame,
    Duplicate,
    Event,
    FailurePhase,
    OrchestratorStarted,
    Phase,
    PhaseChanged,
    PolicyAdopted,
    PolicyShadowed,
    Position,
    Proceed,
    Recorded,
    RemediationCancelled,
    RetryRequested,
    RoutingDecided,
    SignalReceived,
    SignalResolved,
    Skip,
    StoredMessage,
    Target,
    TargetReleased,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
    decode,
)
from remediation_orchestrator.events.subjects import Family, parse
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT, Policy, PolicyError, policy_of

from .firing import Firing

# How long after its deadline a run whose end nobody has told may still be at its target.
GRACE = timedelta(seconds=30)


def in_fold_order(messages: Iterable[StoredMessage]) -> Iterator[Recorded]:
    """Every fact and decision, each fact just before the first frame that covers it, or at the end.

    Each has its moment in place of its stamp: of a fact no later than its frame allows, and never before one that
    went before it."""
    waiting: list[StoredMessage] = []
    newest = datetime.min.replace(tzinfo=UTC)
    for message in messages:
        family = parse(message.subject).family
        if family.is_fact:
            waiting.append(message)
        elif family is Family.DECISION:
            frame = list(_readable(message))
            heads = [one.event for one in frame if isinstance(one.event, DecisionFrame)]
            while heads and waiting and waiting[0].sequence <= heads[0].as_of:
                fact = waiting.pop(0)
                newest = max(newest, min(fact.recorded_at, heads[0].not_after))
                yield from _readable(fact, newest)
            for record in frame:
                newest = max(newest, _now(record.event) or newest)
                yield replace(record, recorded_at=newest)
    for message in waiting:
        newest = max(newest, message.recorded_at)
        yield from _readable(message, newest)


def _readable(message: StoredMessage, moment: datetime | None = None) -> Iterator[Recorded]:
    for record in decode(message):
        if isinstance(record, Recorded):
            yield record if moment is None else replace(record, recorded_at=moment)


def _now(event: Event) -> datetime | None:
    """At which moment a decision was made, where it says so."""
    if isinstance(event, RoutingDecided):
        return event.situation.now
    return event.now if isinstance(event, PhaseChanged | TargetReleased) else None


class Recount:
    """Numbers kept by hand."""

    def __init__(self) -> None:
        self.policy = DEFAULT
        self.shadow: Policy | None = None
        self.failures: dict[str, int] = defaultdict(int)
        self.last_failure: dict[str, datetime] = {}
        self.half_done: dict[tuple[Target, str], str] = {}
        """Which workflow left which target half-changed, and whose run it was."""
        self.answered: set[Position] = set()
        """Retries that have a verdict: others are of remediations that nobody knows any more."""
        self.wrong: list[str] = []
        self._firing = Firing()
        self._of: dict[str, str] = {}
        """The fingerprint of each remediation."""
        self._open: dict[str, RoutingDecided] = {}
        """Runs that have not ended, and the verdicts that let them run."""
        self._started: set[str] = set()
        self._at_work: dict[str, str] = {}
        """What each remediation is doing: its analysis or its run."""
        self._lines: dict[str, list[tuple[Position, bool]]] = defaultdict(list)
        """The occurrences of each fingerprint without a verdict; True for a resolution behind one."""

    def take(self, record: Recorded) -> None:
        """Count one event."""
        event, at, over = record.event, record.recorded_at, self._firing.take(record)
        match event:
            case RoutingDecided():
                self._verdict(event, record.position)
            case PhaseChanged(phase=Phase.TIMED_OUT):
                self._timed_out(event)
            case WorkflowStarted() | WorkflowRevoked() | WorkflowCompleted() | WorkflowFailed():
                if event.execution in self._open:
                    self._run(event, self._open[event.execution], at)
            case SignalReceived():
                self._lines[event.fingerprint].append((record.position, False))
            case SignalResolved() if over:
                self._resolved(event.fingerprint, record.position)
            case BlockCleared():
                self._clear(event, at)
            case _:
                self._other(record)

    def _other(self, record: Recorded) -> None:
        match record.event:
            case RemediationCancelled(remediation=remediation) | AnalysisCompleted(remediation=remediation):
                cancelled = isinstance(record.event, RemediationCancelled)
                if cancelled or self._analysing(remediation):
                    self._at_work.pop(remediation, None)
            case AnalysisFailed(remediation=remediation) if self._analysing(remediation):
                del self._at_work[remediation]
                self._fail(self._of[remediation], record.recorded_at)
            case RetryRequested(remediation=remediation) if record.position in self.answered:
                self._lines[self._of[remediation]].append((record.position, False))
            case PolicyAdopted() | PolicyShadowed() | OrchestratorStarted(policy=dict()):
                self._judge_by(record.event, record.recorded_at)
            case _:
                pass

    def remembered(self, fingerprint: str, now: datetime) -> int:
        """How many failures of it are not forgotten: of the policies that judge the longer memory counts."""
        judging = [policy for policy in (self.policy, self.shadow) if policy is not None]
        memory = max(policy.routing.failure_memory or timedelta.max for policy in judging)
        return self._within(memory, fingerprint, now)

    def _counting(self, fingerprint: str, now: datetime) -> int:
        """How many the policy in force still counts."""
        return self._within(self.policy.routing.failure_memory or timedelta.max, fingerprint, now)

    def _within(self, memory: timedelta, fingerprint: str, now: datetime) -> int:
        last = self.last_failure.get(fingerprint)
        return self.failures[fingerprint] if last is not None and now - last <= memory else 0

    def _judge_by(self, event: PolicyAdopted | PolicyShadowed | OrchestratorStarted, at: datetime) -> None:
        """What is forgotten no other policy brings back."""
        try:
            policy = policy_of(event.policy) if event.policy is not None else None
        except PolicyError:
            return
        for fingerprint in [one for one in self.failures if not self.remembered(one, at)]:
            self.failures[fingerprint] = 0
        if isinstance(event, PolicyShadowed):
            self.shadow = policy
        elif policy is not None:
            self.policy = policy
            self.shadow = None if self.shadow == policy else self.shadow

    def _analysing(self, remediation: str) -> bool:
        return self._at_work.get(remediation, "").startswith("rr-")

    def _verdict(self, decided: RoutingDecided, place: Position) -> None:
        fingerprint = decided.situation.fingerprint
        counted = self.remembered(fingerprint, decided.situation.now)
        if decided.situation.active is None and decided.situation.failures != counted:
            self.wrong.append(f"{place} says {decided.situation.failures} failures, counted are {counted}")
        if not isinstance(decided.verdict, Duplicate):
            self._of[decided.remediation] = fingerprint
            work = self._at_work.pop(decided.remediation, None)
            if work and isinstance(decided.verdict, Skip) and decided.because.kind is Cause.RETRY:
                self._at_work[decided.remediation] = work  # A retry out of scope leaves a run to its remediation.
        if isinstance(decided.verdict, Proceed):
            self._proceed(decided, place)
        if decided.because.kind in (Cause.SIGNAL, Cause.RETRY) and decided.because.position is not None:
            self._answer(fingerprint, decided.because.position, place)

    def _answer(self, fingerprint: str, occurrence: Position, place: Position) -> None:
        """An occurrence has its verdict, and the resolutions right behind it take effect."""
        line = self._lines[fingerprint]
        if (occurrence, False) not in line:
            self.wrong.append(f"{place} answers {occurrence}, which asks for nothing")
            return
        line.remove((occurrence, False))
        while line and line[0][1]:
            line.pop(0)
            self._take_back(fingerprint)

    def _proceed(self, decided: RoutingDecided, place: Position) -> None:
        self._at_work[decided.remediation] = decided.execution or decided.analysis or ""
        if decided.execution is None or decided.workflow is None:
            return
        target = decided.situation.target
        if (target, decided.workflow.id) in self.half_done:
            self.wrong.append(f"{place} runs {decided.workflow.id} over what it left half-done on {target}")
        holders = [run.execution for run in self._open.values() if run.situation.target == target]
        if holders:
            self.wrong.append(f"{place} gives away {target}, and {holders} may be at it")
        if self._exhausted(decided.situation.fingerprint, decided.situation.now):
            self.wrong.append(f"{place} runs although the retries are exhausted")
        self._open[decided.execution] = decided

    def _exhausted(self, fingerprint: str, now: datetime) -> bool:
        limit = self.policy.routing.retry_limit
        return limit is not None and self._counting(fingerprint, now) >= limit

    def _fail(self, fingerprint: str, at: datetime) -> None:
        self.failures[fingerprint] = self._counting(fingerprint, at) + 1
        self.last_failure[fingerprint] = at

    def _run(
        self,
        event: WorkflowStarted | WorkflowRevoked | WorkflowCompleted | WorkflowFailed,
        decided: RoutingDecided,
        at: datetime,
    ) -> None:
        execution, fingerprint = event.execution, decided.situation.fingerprint
        assert decided.workflow is not None
        key = (decided.situation.target, decided.workflow.id)
        if isinstance(event, WorkflowStarted):
            self._started.add(execution)
            return
        if isinstance(event, WorkflowRevoked) and execution in self._started:
            return
        del self._open[execution]
        at_work = self._at_work.get(decided.remediation) == execution
        if at_work:
            del self._at_work[decided.remediation]
        match event:
            case WorkflowCompleted():
                self.half_done.pop(key, None)
                if at_work:
                    self.failures[fingerprint] = 0
            case WorkflowFailed(was_execution_failure=ran, idempotent=safe):
                if ran:
                    self._leave(key, fingerprint, safe=safe)
                if at_work:
                    self._fail(fingerprint, at)
            case _:
                pass

    def _leave(self, key: tuple[Target, str], fingerprint: str, *, safe: bool) -> None:
        self.half_done.pop(key, None)
        if not safe:
            self.half_done[key] = fingerprint

    def _timed_out(self, change: PhaseChanged) -> None:
        self._at_work.pop(change.remediation, None)
        if change.failure_phase is not FailurePhase.APPROVAL:
            self._fail(change.fingerprint, change.now)
        run = self._open.get(change.execution or "")
        if run is not None and run.workflow is not None:
            self._leave((run.situation.target, run.workflow.id), change.fingerprint, safe=False)

    def _resolved(self, fingerprint: str, position: Position) -> None:
        if self._lines[fingerprint]:
            self._lines[fingerprint].append((position, True))
        else:
            self._take_back(fingerprint)

    def _take_back(self, fingerprint: str) -> None:
        """A resolved problem needs no run that has not begun."""
        for remediation, work in list(self._at_work.items()):
            if self._of[remediation] == fingerprint and work not in self._started:
                del self._at_work[remediation]

    def _clear(self, cleared: BlockCleared, at: datetime) -> None:
        if cleared.fingerprint is not None:
            self.failures[cleared.fingerprint] = 0
            self.last_failure.pop(cleared.fingerprint, None)
        for (target, workflow), fingerprint in list(self.half_done.items()):
            by_target = target == cleared.target and cleared.workflow in (None, workflow)
            if by_target or fingerprint == cleared.fingerprint:
                del self.half_done[target, workflow]
        for execution, run in list(self._open.items()):
            over = self._at_work.get(run.remediation) != execution and is_over(run, at)
            if over and run.situation.target == cleared.target:
                del self._open[execution]


def is_over(decided: RoutingDecided, at: datetime) -> bool:
    """Whether a run has come to its deadline and its grace: so long its target is held, whatever people say."""
    return decided.deadline is not None and at >= decided.deadline + GRACE


def recount(messages: Iterable[StoredMessage]) -> Recount:
    """Count a whole log."""
    numbers, records = Recount(), list(in_fold_order(messages))
    causes = [record.event.because for record in records if isinstance(record.event, RoutingDecided)]
    numbers.answered = {because.position for because in causes if because.kind is Cause.RETRY and because.position}
    for record in records:
        numbers.take(record)
    return numbers


def facts_of(messages: Iterable[StoredMessage]) -> int:
    """How many facts a log has: what decides nothing and commands nothing, each element of a batch counted."""
    return sum(len(decode(message)) for message in messages if parse(message.subject).family.is_fact)
