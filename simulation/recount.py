"""The whole log counted again, naively: every number that a verdict is based on, and who may run what where.

It walks the log in the order of the fold with nothing of the core's: runs by what was told of them, occurrences by
when they came, time in a queue by when somebody came and left. What says otherwise is named."""

from collections.abc import Iterator
from datetime import datetime

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    Block,
    BlockCleared,
    Cause,
    Duplicate,
    FailurePhase,
    FailureReason,
    OrchestratorStarted,
    Phase,
    PhaseChanged,
    PolicyAdopted,
    PolicyShadowed,
    Position,
    Proceed,
    Reason,
    Recorded,
    RemediationCancelled,
    RetryRequested,
    RoutingDecided,
    SignalReceived,
    SignalResolved,
    Skip,
    Target,
    TargetReleased,
    TriedRun,
    Verification,
    VerificationEnded,
    Words,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
)
from remediation_orchestrator.events.facts import RunFact
from remediation_orchestrator.events.identity import remediation_id
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT, Policy

from .failures import Failures
from .firing import Firing
from .known import GRACE, KnownRemediation, KnownRun, TargetLines, phase_after, run_of
from .matching import classify_by_hand
from .occurrences import ProblemLines
from .other_ways import misled, other_ways
from .repairs import Repairs


class Recount:
    """Everything that a log comes to, kept by hand. `answered` are retries that have a verdict: others are of
    remediations that nobody knows any more."""

    def __init__(self, answered: set[Position], policy: Policy = DEFAULT) -> None:
        self.failures = Failures(policy)
        self.repairs = Repairs(policy)
        self.half_done: dict[tuple[Target, str], KnownRun] = {}
        """Which workflow left which target half-changed, and by which run."""
        self._answered = answered
        self.known: dict[str, KnownRemediation] = {}
        self.runs: dict[str, KnownRun] = {}
        self.targets: dict[str, Target] = {}
        """Where each remediation last ran something."""
        self.completed: dict[str, tuple[datetime, str]] = {}
        self.worked: dict[tuple[Target, str], tuple[datetime, str]] = {}
        self._waiting = ProblemLines()
        self._came: dict[Position, tuple[datetime, bool]] = {}
        """When each occurrence came, and whether its source tells when it is over."""
        self._said: dict[Position, tuple[Words, tuple[Target, ...]]] = {}
        """What each signal says of its problem, as it is classified, and in what that stands."""
        self.firing = Firing(policy)
        self._line = TargetLines()
        self._again: dict[str, bool] = {}
        """Of remediations whose run has failed: whether they are to be judged again."""

    @property
    def policy(self) -> Policy:
        """What is in force."""
        return self.failures.policy

    def queues(self) -> dict[Target, list[str]]:
        """Who waits for each target, in the order of the line."""
        return self._line.queues(self.known)

    def take(self, record: Recorded) -> Iterator[str]:
        """Count one more fact or decision, in the order of the fold; name what says otherwise."""
        event, at, over = record.event, record.recorded_at, self.firing.take(record)
        match event:
            case RoutingDecided():
                yield from self._verdict(event, record.position)
            case PhaseChanged():
                yield from self._changed(event, record.position)
            case VerificationEnded():
                yield from self._verified(event, record.position)
            case TargetReleased(execution=execution):
                self.runs.pop(execution, None)
            case WorkflowStarted() | WorkflowRevoked() | WorkflowCompleted() | WorkflowFailed():
                if (run := self.runs.get(event.execution)) is not None and not run.lost:
                    self._run(event, run, at)
            case BlockCleared():
                self._clear(event, at)
            case PolicyAdopted() | PolicyShadowed() | OrchestratorStarted(policy=dict()):
                self.failures.judge_by(event, at)
                self.repairs.judge_by(event, at)
            case SignalReceived() | SignalResolved() | RetryRequested():
                self._occurs(event, record.position, at, over=over)
            case RemediationCancelled(remediation=remediation) if remediation in self.known:
                self.repairs.going.pop(remediation, None)
                self.known[remediation].ends(at)
            case AnalysisCompleted() | AnalysisFailed():
                self._analysed(event, at)
            case _:
                pass

    def is_asked_for(self, event: AnalysisCompleted | AnalysisFailed) -> bool:
        """Whether somebody waits for an answer, and it is none to an earlier question."""
        known = self.known.get(event.remediation)
        if known is None or not known.analysing:
            return False
        return event.analysis in ("", event.remediation + (f"-r{known.analyses}" if known.analyses > 1 else ""))

    def _analysed(self, event: AnalysisCompleted | AnalysisFailed, at: datetime) -> None:
        """An answer counts where it is asked for."""
        if not self.is_asked_for(event):
            return
        known = self.known[event.remediation]
        known.analysing = False
        known.hears(event)
        if isinstance(event, AnalysisFailed):
            self.failures.count(known.fingerprint, at)
        if isinstance(event, AnalysisFailed) or event.workflow is None:
            known.ends(at)

    def _occurs(
        self, event: SignalReceived | SignalResolved | RetryRequested, place: Position, at: datetime, *, over: bool
    ) -> None:
        match event:
            case SignalReceived(fingerprint=fingerprint, resolves=resolves) as said:
                words = classify_by_hand(self.failures.policy.document(), said)
                self._said[place] = words, said.within
                for one in self._of(fingerprint):
                    one.over = False
                self._say(fingerprint, at, fires=True)
                self._came[place] = at, resolves
                self._waiting.came(fingerprint, place)
            case SignalResolved(fingerprint=fingerprint):
                self._came[place] = at, False
                if over:
                    self._say(fingerprint, at, fires=False)
                if over and self._waiting.is_over_at_once(fingerprint, place):
                    self._resolve(fingerprint, at)
            case RetryRequested(remediation=one) if place in self._answered and one in self.known:
                known = self.known[one]
                known.occurs(at)
                self._came[place] = at, known.resolves
                self._waiting.came(known.fingerprint, place)
            case _:
                pass

    def _say(self, fingerprint: str, at: datetime, *, fires: bool) -> None:
        """Its source says that a problem is there, or over."""
        for remediation, repair in self.repairs.going.items():
            if self.known[remediation].fingerprint == fingerprint:
                repair.said.append((at, fires))

    def _of(self, fingerprint: str) -> Iterator[KnownRemediation]:
        """Who is at a problem."""
        return (one for one in self.known.values() if one.fingerprint == fingerprint and not one.ended)

    def _resolve(self, fingerprint: str, at: datetime) -> None:
        """A resolved problem needs no run that has not begun."""
        for name, one in self.known.items():
            if one.fingerprint != fingerprint or one.ended or name in self.repairs.going:
                continue
            run = self.runs.get(one.executing or "")
            if run is not None and run.started:
                one.over = True
            else:
                one.ends(at)

    # -- runs ------------------------------------------------------------------------------------------

    def _run(self, event: RunFact, run: KnownRun, at: datetime) -> None:
        known, key = self.known[run.remediation], (run.target, run.workflow)
        current = known.executing == event.execution
        match event:
            case WorkflowStarted():
                run.begins(at)
                return
            case WorkflowRevoked() if run.started:
                return
            case WorkflowCompleted():
                self.worked[key] = at, run.remediation
                self.half_done.pop(key, None)
                if current:
                    self.completed[run.fingerprint] = at, run.remediation
                    verified = self.repairs.complete(
                        run.remediation,
                        run.workflow,
                        event.execution,
                        at,
                        resolves=known.resolves,
                        over=known.over,
                    )
                    if not verified:
                        self.failures.forgive(run.fingerprint)
                        known.ends(at)
            case WorkflowFailed(was_execution_failure=ran, reason=reason):
                self._fail(event, run, at, current=current)
                run.lost = ran and reason == FailureReason.EXECUTOR_LOST
                run.started = run.started or run.lost
            case _:
                pass
        if current:
            known.executing = None
        if not run.lost:
            del self.runs[event.execution]

    def _fail(self, event: WorkflowFailed, run: KnownRun, at: datetime, *, current: bool) -> None:
        known, key = self.known[run.remediation], (run.target, run.workflow)
        if event.was_execution_failure:
            self.half_done.pop(key, None)
            if not event.idempotent:
                self.half_done[key] = run
        if current:
            self.failures.count(run.fingerprint, at, TriedRun(run.workflow, "Failed", event.reason))
            known.misses += 1
            self._again[run.remediation] = known.resolves and not known.over
            known.ended = not self._again[run.remediation]

    def _clear(self, event: BlockCleared, at: datetime) -> None:
        if event.fingerprint is not None:
            self.failures.forgive(event.fingerprint)
        for key, left in list(self.half_done.items()):
            by_target = key[0] == event.target and event.workflow in (None, key[1])
            if by_target or left.fingerprint == event.fingerprint:
                del self.half_done[key]
        if event.target is not None:
            self.repairs.clear(event.target)
        for execution, run in list(self.runs.items()):
            goes_on = self.known[run.remediation].executing == execution
            sure = run.lost or (run.started and not goes_on and at >= run.deadline + GRACE)
            if run.target == event.target and sure:
                del self.runs[execution]

    # -- decisions -------------------------------------------------------------------------------------

    def _changed(self, change: PhaseChanged, place: Position) -> Iterator[str]:
        known = self.known.get(change.remediation)
        if known is None:
            return
        if change.phase is Phase.CANCELLED:
            self.repairs.going.pop(change.remediation, None)
        failed = change.because.kind is Cause.INEFFECTIVE or (
            change.because.kind is Cause.FAILED and change.failure_phase is FailurePhase.WORKFLOW_EXECUTION
        )
        if failed and self._again.pop(change.remediation, False):
            yield f"{place} ends {change.remediation}, which is to be judged again: its problem goes on"
        if change.because.kind is Cause.RESOLVED and not known.ended:
            yield f"{place} ends {change.remediation} because its problem is over, and something fires for it"
        run = self.runs.get(change.execution or "")
        if change.phase is Phase.TIMED_OUT and run is not None:
            self.half_done[run.target, run.workflow] = run
            self.failures.count(change.fingerprint, change.now, TriedRun(run.workflow, "TimedOut"))
            known.misses += 1
        elif change.phase is Phase.TIMED_OUT and change.failure_phase is not FailurePhase.APPROVAL:
            self.failures.count(change.fingerprint, change.now)
        known.phase = change.phase
        if change.phase.ended:
            known.ends(change.now)

    def _verified(self, ended: VerificationEnded, place: Position) -> Iterator[str]:
        repair, known = self.repairs.going.pop(ended.remediation, None), self.known.get(ended.remediation)
        if repair is None or known is None:
            yield f"{place} says whether {ended.execution} has helped, which nobody verifies"
            return
        yield from repair.told(ended, place)
        target = self.targets[ended.remediation]
        if ended.result is not Verification.INEFFECTIVE:
            self.failures.forgive(known.fingerprint)
            if ended.result is Verification.EFFECTIVE:
                self.repairs.clear(target)
            known.ends(ended.now)
            return
        known.misses += 1
        self.failures.count(known.fingerprint, ended.now, TriedRun(repair.workflow, "Ineffective"))
        self.repairs.fail(target, ended.remediation, ended.now)
        mark = repair.since, ended.remediation
        self.completed = {key: found for key, found in self.completed.items() if found != mark}
        self.worked = {key: found for key, found in self.worked.items() if found != mark}
        self._again[ended.remediation] = repair.resolves and not repair.is_over
        known.ended = not self._again[ended.remediation]

    def _verdict(self, decided: RoutingDecided, place: Position) -> Iterator[str]:
        because, now, verdict = decided.because, decided.situation.now, decided.verdict
        occurrence = because.position if because.kind in (Cause.SIGNAL, Cause.RETRY) else None
        if not isinstance(verdict, Duplicate):
            yield from other_ways(self.failures, self.known.get(decided.remediation), decided, place)
        yield from self._miscounted(decided, place)
        if isinstance(verdict, Duplicate):
            if occurrence in self._came and verdict.of in self.known:
                self.known[verdict.of].occurs(self._came[occurrence][0])
        else:
            if decided.remediation not in self.known:
                at, resolves = self._came.get(occurrence or Position(""), (now, False))
                self.known[decided.remediation] = KnownRemediation(
                    decided.situation.fingerprint, decided.situation.target, resolves, at
                )
            yield from self._judged(decided, place)
        if occurrence is not None:
            yield from self._answer(decided.situation.fingerprint, occurrence, place)

    def _miscounted(self, decided: RoutingDecided, place: Position) -> Iterator[str]:
        situation = decided.situation
        counted = self.failures.remembered(situation.fingerprint, situation.now)
        if situation.active is None and situation.failures != counted:
            yield f"{place} says {situation.failures} failures, counted are {counted}"
        words, within = self._said.get(decided.signal, (situation.words, ()))
        known = self.known.get(remediation_id(decided.signal))
        if situation.words not in (None, words):
            yield f"{place} says {situation.words}, and its signal {words}"
        if situation.within != (within if known is None or known.within is None else known.within):
            yield f"{place} says `within` {situation.within}, and its signal {within}"

    def _answer(self, fingerprint: str, occurrence: Position, place: Position) -> Iterator[str]:
        if not self._waiting.is_asked_for(fingerprint, occurrence):
            yield f"{place} answers {occurrence}, which asks for nothing"
        for resolution in self._waiting.answer(fingerprint, occurrence):
            self._resolve(fingerprint, self._came[resolution][0])

    def _judged(self, decided: RoutingDecided, place: Position) -> Iterator[str]:
        known, verdict, situation = self.known[decided.remediation], decided.verdict, decided.situation
        if known.ended and decided.because.kind is not Cause.RETRY:
            yield f"{place} judges {decided.remediation}, which has ended"
        again = self._again.pop(decided.remediation, None)
        if decided.because.kind in (Cause.FAILED, Cause.INEFFECTIVE) and again is False:
            yield f"{place} judges {decided.remediation} again, whose problem is over or which is not to be"
        for name, counted in self._values(decided, known).items():
            if counted != getattr(situation, name) and situation.active is None:
                yield f"{place} says `{name}` {getattr(situation, name)}, and counted is {counted}"
        working = known.analysing or known.executing is not None or decided.remediation in self.repairs.going
        if isinstance(verdict, Skip) and decided.because.kind is Cause.RETRY and working:
            return  # A retry out of scope leaves a run to its remediation.
        yield from misled(self.failures, decided, place)
        known.analyses += decided.analysis is not None
        known.ended = not isinstance(verdict, Proceed | Block)
        known.executing, known.analysing = None, isinstance(verdict, Proceed) and decided.execution is None
        known.phase = phase_after(decided)
        if isinstance(verdict, Block) and verdict.reason is Reason.RESOURCE_BUSY:
            self._line.wait(decided.remediation, known, situation.target, situation.now)
        else:
            known.leaves(situation.now)
        if isinstance(verdict, Proceed) and decided.execution is not None and decided.workflow is not None:
            yield from self._proceed(decided, known, place)

    def _proceed(self, decided: RoutingDecided, known: KnownRemediation, place: Position) -> Iterator[str]:
        situation = decided.situation
        assert decided.execution is not None
        assert decided.workflow is not None
        if (situation.target, decided.workflow.id) in self.half_done:
            yield f"{place} runs {decided.workflow.id} over what it left half-done on {situation.target}"
        holders = [execution for execution, run in self.runs.items() if run.target == situation.target]
        if holders:
            yield f"{place} gives away {situation.target}, and {holders} may be at it"
        if self.failures.are_exhausted(situation.fingerprint, situation.now):
            yield f"{place} runs although the retries are exhausted"
        known.executing = decided.execution
        self.targets[decided.remediation] = situation.target
        self.runs[decided.execution] = run_of(decided, decided.workflow.id)

    def _values(self, decided: RoutingDecided, known: KnownRemediation) -> dict[str, object]:
        """Every value that the log alone tells; what may be forgotten only where it is shown."""
        situation = decided.situation
        key = (situation.target, situation.workflow or "")
        left = self.half_done.get(key)
        chain = self.repairs.chain(situation.target, situation.now)
        holder = next((run for run in self.runs.values() if run.target == situation.target), None)
        values: dict[str, object] = {
            "resolves": known.resolves,
            "occurred_at": known.occurred_at,
            "queued": known.waited(situation.now),
            "previous_failure": left.remediation if left is not None else None,
            "ineffective": tuple(at for at, _ in chain),
            "ineffective_of": chain[-1][1] if chain else None,
            "held_by": holder.remediation if holder is not None else None,
        }
        if situation.completed_at is not None:
            values["completed_at"], values["completed_by"] = self.completed[situation.fingerprint]
        if situation.workflow_completed_at is not None:
            values["workflow_completed_at"], values["workflow_completed_by"] = self.worked[key]
        return values
