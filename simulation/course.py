"""The course of each remediation, read from the log alone: what it is about, what it waits for, and what is asked.

Beside the numbers of a verdict stand things that nobody counts: whether a remediation was to be judged at all, for
what, and since when. Each is a promise of the contract, followed here fact by fact in the order of the fold."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    ApprovalGranted,
    ApprovalRejected,
    Block,
    BlockCleared,
    Cause,
    Duplicate,
    FailurePhase,
    Outcome,
    Phase,
    PhaseChanged,
    PolicyAdopted,
    Position,
    Proceed,
    Recorded,
    RetryRequested,
    RoutingDecided,
    SignalReceived,
    SignalResolved,
    Skip,
    Stage,
    StoredMessage,
    Target,
    TargetReleased,
    VerificationEnded,
    WorkflowFailed,
    WorkflowRef,
    WorkflowRevoked,
)
from remediation_orchestrator.events.identity import position_key
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT, Policy, PolicyError, policy_of

from .fold_order import in_fold_order
from .known import GRACE, KnownRemediation, plan_by_hand
from .recount import Recount

MINUTE = timedelta(minutes=1)
EPOCH = datetime.fromtimestamp(0, UTC)
_OCCURRENCES = (Cause.SIGNAL, Cause.RETRY)


@dataclass
class About:
    """What one remediation is about, and what it waits for."""

    fingerprint: str
    severity: str
    target: Target
    workflow: WorkflowRef | None
    home: Target
    """The target that its signal has named."""
    limit: datetime | None = None
    """The last moment of the phase that it is in, where that is not a run's."""
    until: datetime | None = None
    """Until when it is blocked."""
    asks: bool = False
    """Whether a person is asked for a yes."""
    forgotten_from: datetime | None = None
    """From when on nobody knows it any more, where it has ended."""


class Course:
    """What is to become of everything, beside a recount that says how it stands."""

    def __init__(self, counted: Recount) -> None:
        self._counted = counted
        self._signals: dict[Position, SignalReceived] = {}
        self._about: dict[str, About] = {}
        self._alive: dict[str, set[str]] = defaultdict(set)
        """Which remediations of each fingerprint have not ended."""
        self._ended: dict[str, str] = {}
        """Which remediation of each fingerprint has ended last."""
        self._asked: dict[str, Position] = {}
        """Who is to be judged again, and by which fact."""
        self._retries: dict[Position, str] = {}
        """Those that were heard and have no verdict yet."""
        self._void: set[Position] = set()
        """What people and analysers have said and nothing may follow from."""
        self._outcomes: dict[str, Outcome] = {}

    def take(self, record: Recorded) -> Iterator[str]:
        """Follow one more record, in the order of the fold, and have it counted; name what should not be."""
        about = self._fingerprint(record)
        yield from self._before(record)
        yield from self._counted.take(record)
        match record.event:
            case VerificationEnded(remediation=one) if one in self._about and not self._counted.known[one].ended:
                self._ask([one], record.position)
            case _:
                pass
        self._see_ends(record, about)

    def _fingerprint(self, record: Recorded) -> str:
        """Of which problem a record is; "" where of none, or of many."""
        match record.event:
            case SignalResolved(fingerprint=fingerprint) | PhaseChanged(fingerprint=fingerprint):
                return fingerprint
            case RoutingDecided(situation=situation):
                return situation.fingerprint
            case event:
                run = self._counted.runs.get(getattr(event, "execution", None) or "")
                name = getattr(event, "remediation", "") if run is None else run.remediation
                return self._about[name].fingerprint if name in self._about else ""

    # -- what is so before a record --------------------------------------------------------------------

    def _before(self, record: Recorded) -> Iterator[str]:
        event, place, at = record.event, record.position, record.recorded_at
        match event:
            case RoutingDecided():
                yield from self._judged(event, place)
            case PhaseChanged():
                yield from self._changed(event, place)
            case TargetReleased(execution=execution):
                run = self._counted.runs.get(execution)
                if run is None or not run.lost or event.now < run.deadline + GRACE:
                    yield f"{place} releases {event.target} at {event.now}, and {execution} may be at it: {run}"
            case SignalReceived():
                self._signals[place] = event
            case AnalysisCompleted(remediation=remediation) if self._counted.is_asked_for(event):
                self._analysed(self._about[remediation], event, place, at)
            case AnalysisCompleted() | AnalysisFailed() if not self._counted.is_asked_for(event):
                self._void.add(place)
            case ApprovalGranted() | ApprovalRejected():
                self._answered(event, place, at)
            case RetryRequested(remediation=remediation):
                if remediation in self._about and not self._is_forgotten(remediation, at):
                    self._retries[place] = remediation
                else:
                    self._void.add(place)
            case WorkflowFailed(execution=execution) | WorkflowRevoked(execution=execution):
                self._run_is_over(execution, place, revoked=isinstance(event, WorkflowRevoked))
            case BlockCleared(fingerprint=str(fingerprint)):
                self._ask(self._blocked(fingerprint), place)
            case PolicyAdopted(policy=policy) if _is_valid(policy):
                self._ask([one for fingerprint in self._alive for one in self._blocked(fingerprint)], place)
            case _:
                pass

    def _analysed(self, about: About, fact: AnalysisCompleted, place: Position, at: datetime) -> None:
        """An analysis says what is to be done, and where; or that nothing fits."""
        if fact.workflow is None:
            done = Outcome.NO_ACTION_REQUIRED if fact.no_action else Outcome.NO_WORKFLOW
            person = about.severity == "critical"
            self._outcomes[fact.remediation] = Outcome.MANUAL_REVIEW_REQUIRED if person else done
            return
        about.target, about.workflow = fact.target or about.target, fact.workflow
        about.limit, about.asks = None, fact.approval_required
        if fact.approval_required:
            about.limit = at + self._counted.policy.timeouts.approval
        else:
            self._ask([fact.remediation], place)

    def _answered(self, fact: ApprovalGranted | ApprovalRejected, place: Position, at: datetime) -> None:
        """A person says yes or no: to what is asked for, and no later than at its limit."""
        about = self._about.get(fact.remediation)
        counts = about is not None and about.asks and about.limit is not None and at <= about.limit
        if isinstance(fact, ApprovalGranted):
            counts = counts and about is not None and fact.plan == plan_by_hand(about.workflow, about.target)
        if not counts or about is None:
            self._void.add(place)
        elif isinstance(fact, ApprovalGranted):
            about.asks, about.limit = False, None
            self._ask([fact.remediation], place)
        else:
            self._counted.known[fact.remediation].ends(at)

    def _run_is_over(self, execution: str, place: Position, *, revoked: bool) -> None:
        run = self._counted.runs.get(execution)
        if run is None or run.lost or (revoked and run.started):
            return
        known = self._counted.known[run.remediation]
        if known.executing == execution and (revoked or (known.resolves and not known.over)):
            self._ask([run.remediation], place)

    def _blocked(self, fingerprint: str) -> list[str]:
        known = self._counted.known
        return [one for one in self._alive[fingerprint] if known[one].phase is Phase.BLOCKED]

    def _ask(self, remediations: list[str], place: Position) -> None:
        for one in remediations:
            self._asked.setdefault(one, place)

    def _is_forgotten(self, remediation: str, at: datetime) -> bool:
        """Whether it has ended too long ago to be retried, or another of its problem has since."""
        about = self._about[remediation]
        if about.forgotten_from is None:
            return False
        return at >= about.forgotten_from or self._ended[about.fingerprint] != remediation

    # -- decisions -------------------------------------------------------------------------------------

    def _judged(self, decided: RoutingDecided, place: Position) -> Iterator[str]:
        because, situation = decided.because, decided.situation
        judged = f"rr-{decided.signal}"
        yield from self._in_turn(decided, judged, place)
        yield from self._at_its_problem(decided, judged, place)
        if because.position in self._void:
            yield f"{place} follows from {because.position}, from which nothing may follow"
        signal = self._signals.get(decided.signal)
        if judged not in self._about and signal is not None and not isinstance(decided.verdict, Duplicate):
            self._about[judged] = About(
                situation.fingerprint, signal.severity, signal.target, signal.workflow, signal.target
            )
        about = self._about.get(judged)
        if about is None or isinstance(decided.verdict, Duplicate):
            return
        if situation.active is None and decided.stage is Stage.SIGNAL:  # What its analysis has named did not help.
            about.target, about.workflow = about.home, None
        workflow = about.workflow.id if about.workflow is not None else None
        if situation.active is None and (situation.target, situation.workflow) != (about.target, workflow):
            told = f"{situation.workflow} on {situation.target}"
            yield f"{place} judges {judged} for {told}, and it is about {workflow} on {about.target}"
        if isinstance(decided.verdict, Proceed) and decided.workflow not in (None, about.workflow):
            yield f"{place} lets {decided.workflow} run, and {judged} is about {about.workflow}"
        waits = self._counted.known.get(judged)
        blocked = because.kind is Cause.DUE and waits is not None and waits.phase is Phase.BLOCKED
        if blocked and (about.until is None or situation.now < about.until):
            yield f"{place} judges {judged} at {situation.now}, which is blocked until {about.until}"
        if not self._goes_on(decided, waits):
            about.until = decided.verdict.until if isinstance(decided.verdict, Block) else None
            about.limit = decided.deadline if isinstance(decided.verdict, Proceed) else None

    def _goes_on(self, decided: RoutingDecided, known: KnownRemediation | None) -> bool:
        """Whether a retry out of scope leaves what is at work as it is."""
        skips = isinstance(decided.verdict, Skip) and decided.because.kind is Cause.RETRY
        return skips and known is not None and not known.ended and known.phase is not Phase.BLOCKED

    def _in_turn(self, decided: RoutingDecided, judged: str, place: Position) -> Iterator[str]:
        """What facts ask for is judged before what is due, and that before signals; retries as they came."""
        because = decided.because
        if because.kind is Cause.RETRY and because.position is not None:
            self._retries.pop(because.position, None)
        elif not isinstance(decided.verdict, Duplicate):
            self._asked.pop(judged, None)
        if because.kind not in (*_OCCURRENCES, Cause.DUE):
            return
        for asked, by in self._asked.items():
            yield f"{place} judges {judged} before {asked}, which {by} has asked for"
        self._asked.clear()
        if because.position is not None:
            came = position_key(because.position)
            passed = [retry for retry in self._retries if position_key(retry) < came]
            for retry in passed:
                yield f"{place} judges {because.position} before the retry at {retry}"
                del self._retries[retry]

    def _at_its_problem(self, decided: RoutingDecided, judged: str, place: Position) -> Iterator[str]:
        """Who else is at a problem is known; a retry of what is at work is beside itself."""
        found = next(iter(self._alive[decided.situation.fingerprint]), None)
        at_work = decided.because.kind is Cause.RETRY and found == judged
        if found == judged and not (at_work and self._counted.known[judged].phase is not Phase.BLOCKED):
            found = None
        if decided.situation.active != found:
            yield f"{place} says that {decided.situation.active} is at its problem, and it is {found}"

    def _changed(self, change: PhaseChanged, place: Position) -> Iterator[str]:
        if change.because.position in self._void:
            yield f"{place} follows from {change.because.position}, from which nothing may follow"
        expected = self._outcomes.pop(change.remediation, None)
        if change.because.kind is Cause.ANALYSED and expected is not None and change.outcome is not expected:
            yield f"{place} ends {change.remediation} as {change.outcome}, and it is {expected}"
        if change.phase is Phase.TIMED_OUT and change.remediation in self._about:
            limit = self._about[change.remediation].limit
            if change.failure_phase is FailurePhase.WORKFLOW_EXECUTION:
                run = self._counted.runs.get(change.execution or "")
                limit = run.deadline if run is not None and run.started else None
            if limit is None or change.now <= limit:
                yield f"{place} says at {change.now} that {change.remediation} has taken too long: until {limit}"

    # -- what is so behind a record --------------------------------------------------------------------

    def _see_ends(self, record: Recorded, fingerprint: str) -> None:
        event, alive = record.event, self._alive[fingerprint]
        judged = f"rr-{event.signal}" if isinstance(event, RoutingDecided) else ""
        if (
            judged in self._about
            and isinstance(event, RoutingDecided)
            and not isinstance(event.verdict, Duplicate)
        ):
            alive.add(judged)
        for one in [one for one in alive if self._counted.known[one].ended]:
            alive.discard(one)
            self._asked.pop(one, None)
            about = self._about[one]
            if about.asks:  # What nobody has approved is not known any more.
                about.target, about.workflow, about.asks = about.home, None, False
            past = record.recorded_at + self._counted.policy.memory - EPOCH
            about.forgotten_from = EPOCH + (past // MINUTE + 1) * MINUTE + timedelta(microseconds=1)
            self._ended[fingerprint] = one
        if judged in alive:
            self._about[judged].forgotten_from = None


def _is_valid(document: dict[str, object]) -> bool:
    try:
        policy_of(document)
    except PolicyError:
        return False
    return True


def recount(messages: Iterable[StoredMessage], policy: Policy = DEFAULT) -> tuple[Recount, list[str]]:
    """Count a whole log, and follow it; return what it comes to, and what in it should not be.

    `policy` judges until the log says another."""
    records = list(in_fold_order(messages))
    causes = [record.event.because for record in records if isinstance(record.event, RoutingDecided)]
    answered = {one.position for one in causes if one.kind is Cause.RETRY and one.position is not None}
    course = Course(numbers := Recount(answered, policy))
    return numbers, [wrong for record in records for wrong in course.take(record)]
