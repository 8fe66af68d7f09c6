"""What another policy would have decided on a log, beside what was decided.

The same core judges the same facts. What has gone as in the log is judged when the log judged it; what has not,
and whatever no decision answers, exactly when it is due. A run that the log has nothing more to say about ends
at once and leaves nothing behind; from a first divergence on, rows are counterfactual."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from msgspec import Struct

from remediation_orchestrator.events import (
    Cause,
    Decision,
    DecisionFrame,
    ExecutionId,
    Fingerprint,
    OrchestratorStarted,
    Phase,
    PhaseChanged,
    Position,
    Proceed,
    Recorded,
    RemediationId,
    RoutingDecided,
    Stage,
    StoredMessage,
    Target,
    TargetReleased,
    Undecodable,
    Verdict,
    VerificationEnded,
    decode,
)
from remediation_orchestrator.events.identity import remediation_id
from remediation_orchestrator.events.subjects import Family, parse
from remediation_orchestrator.orchestrator.routing.decisions import fold_decision
from remediation_orchestrator.orchestrator.routing.effects import end_untold
from remediation_orchestrator.orchestrator.routing.facts import fold_fact
from remediation_orchestrator.orchestrator.routing.outbox import Errand
from remediation_orchestrator.orchestrator.routing.policy import Policy
from remediation_orchestrator.orchestrator.routing.state import after

from .dry_run import DryRun
from .known import Known, Was
from .moments import LogEnd


class VerdictRow(Struct, frozen=True):
    """One verdict that the policy would have given, and the one in the log."""

    position: Position
    remediation: RemediationId
    fingerprint: Fingerprint
    stage: Stage
    attempt: int
    at: datetime
    verdict: Verdict
    recorded: Verdict | None
    counterfactual: bool

    @property
    def runs(self) -> bool:
        """Whether a workflow runs by it."""
        return isinstance(self.verdict, Proceed) and self.stage is Stage.WORKFLOW

    @property
    def differs(self) -> bool:
        """Whether the log says something else, or, where it has diverged, nothing."""
        return self.recorded != self.verdict and (self.recorded is not None or self.counterfactual)


class RecordedRound(Struct):
    """A recorded round: when it was judged, how far it had read, and what had become due in it."""

    now: datetime | None
    as_of: int
    due: frozenset[str]
    started: list[OrchestratorStarted]


def backtest(
    messages: Callable[[], Iterable[StoredMessage]], policy: Policy | None = None, until: datetime | None = None
) -> Iterator[VerdictRow]:
    """Judge a log again and yield a row a verdict. `messages` gives the log from its beginning, twice.

    Without a policy it is the one in force at each moment, the defaults before any is adopted. With `until` the
    log ends at that moment, and the clock runs on to it."""
    known, cut = Known(), None if until is None else LogEnd.of(messages(), until)
    for message in _through(messages(), cut):
        known.take(message)
    known.end(cut)
    cell = Backtest(known, policy)
    for message in _through(messages(), cut):
        yield from cell.take(message)
    yield from cell.finish(until)


class Backtest(DryRun):
    """A cell that lives through a recorded log under a policy of its own."""

    def __init__(self, known: Known, policy: Policy | None = None) -> None:
        super().__init__()
        if policy is not None:
            self.view.retention.pin(policy)
        self._pinned = policy is not None
        self._known = known
        self._facts: deque[StoredMessage] = deque()
        """Read, and not folded yet."""
        self._folded = 0
        """Sequence of the last fact folded."""
        self._round: RecordedRound | None = None
        self._answered = False
        """Whether the log's own decisions answer what is being judged."""
        self._apart: set[RemediationId] = set()
        """Whose newest verdict, or its times, are not the log's: their timers are their own."""
        self._fingerprints: set[Fingerprint] = set()
        self._targets: set[Target] = set()

    def take(self, message: StoredMessage) -> Iterator[VerdictRow]:
        """Read the next message of the log."""
        family = parse(message.subject).family
        if family.is_fact:
            self._facts.append(self._known.moments.of(message))
            if message.sequence > self._known.last_frame:
                yield from self._judge_round()
                yield from self._rest()
        elif family is Family.DECISION:
            following = _round(message)
            if following is not None and self._round is not None and _is_one(self._round, following):
                self._round.due |= following.due
            elif following is not None:
                yield from self._judge_round()
                self._round = following

    def finish(self, until: datetime | None) -> Iterator[VerdictRow]:
        """The log is over: judge what is left, and let the clock run on to `until`."""
        yield from self._judge_round()
        yield from self._rest()
        if until is not None:
            yield from self._rows(self.wait(until))

    # -- moments ---------------------------------------------------------------------------------------

    def _judge_round(self) -> Iterator[VerdictRow]:
        """Live through a recorded round: what is due apart from the log, then its facts, then what it judged."""
        recorded, self._round = self._round, None
        if recorded is None:
            return
        self._answered = True
        for started in recorded.started:
            fold_decision(self.view, started, None)
        if recorded.now is not None:
            yield from self._rows(self._wait_apart(recorded.now, recorded.due))
        while self._facts and self._facts[0].sequence <= recorded.as_of:
            self._fold_next()
        yield from self._rows(self.round(recorded.now or self.view.newest))
        self._answered = False

    def _rest(self) -> Iterator[VerdictRow]:
        """Facts that no decision answers: each a round of its own, what is due by then before it."""
        while self._facts:
            fact = self._facts.popleft()
            yield from self._rows(self.wait(fact.recorded_at))
            self._folded = fact.sequence
            for record in decode(fact):
                self._fold(record)
                yield from self._rows(self.round(fact.recorded_at))

    def _fold_next(self) -> None:
        message = self._facts.popleft()
        self._folded = message.sequence
        for record in decode(message):
            self._fold(record)

    def _fold(self, record: Recorded | Undecodable) -> None:
        fold_fact(self.view, record)
        # A run that the log decided later than this policy would is early here, and nobody took its name.
        self.view.retention.unspoil(self._known.decided)

    # -- time between two recorded rounds --------------------------------------------------------------

    def _wait_apart(self, until: datetime, recorded: frozenset[str]) -> Iterator[Decision]:
        """Let time pass, waking exactly for what does not go as in the log; the rest is the round's to judge."""
        left: list[tuple[datetime, str]] = []
        while (due := self.view.timers.next_due()) is not None and due[0] <= until:
            at, about = due
            self.view.timers.take_due(at)
            if about in recorded or self._goes_as_recorded(about):
                left.append(due)
            elif not self._is_in_time(about):
                self._fold_quiet(at)
                self._put_back(at, about)
                if self.view.timers.next_due() == due:
                    yield from self.round(at)
        for at, about in left:
            self._put_back(at, about)

    def _goes_as_recorded(self, about: str) -> bool:
        run = self.view.runs.get(ExecutionId(about))
        name = run.remediation if run else RemediationId(about)
        remediation = self.view.remediations.get(name)
        if remediation is not None and remediation.phase in _ITS_OWN_TIMES and self._pinned:
            return False
        return name not in self._apart

    def _is_in_time(self, about: str) -> bool:
        """Whether the log knows that a run begins, or ends, as fast as this policy wants it after its decision."""
        run = self.view.runs.get(ExecutionId(about))
        if run is None or run.lost:
            return False
        limits = self.view.policy.timeouts
        if run.started:
            took, limit = self._known.end_latency(run.execution), limits.executing
        else:
            took, limit = self._known.start_latency(run.execution), limits.starting
            if run.execution in self._known.revoked:
                return True
        return took is not None and took <= limit

    def _fold_quiet(self, before: datetime) -> None:
        """Fold the facts of an earlier time that wait, up to the next signal: that has its own round to come."""
        while self._facts and self._facts[0].recorded_at < before:
            if parse(self._facts[0].subject).family is Family.SIGNAL:
                return
            self._fold_next()

    def _put_back(self, at: datetime, about: str) -> None:
        run = self.view.runs.get(ExecutionId(about))
        remediation = self.view.remediations.get(RemediationId(about))
        if run is not None:
            self.view.timers.wake(after(run.start_before) if not run.started else at, run.order, run.execution)
        elif remediation is not None:
            self.view.timers.wake(at, remediation.order, remediation.id)

    # -- runs that the log says nothing more about -----------------------------------------------------

    def conclude(self, revoked: list[ExecutionId], now: datetime) -> bool:
        """Let revocations take effect, unless the log tells who was first; end what it knows nothing of."""
        told = [one for one in revoked if self._log_tells(one)]
        for execution in told:
            self._put_back(now, execution)  # If it has not told by its end, it is still overdue then.
        again = super().conclude([one for one in revoked if one not in told], now)
        return self._end_unknown() or again

    def _end_unknown(self) -> bool:
        owed = [(*key, one.decision.remediation) for key, one in self.view.outbox.take_commands()]
        if not self._known.last_frame:
            return False  # Facts alone: whatever runs is told by them, or by time.
        unknown = [of for kind, name, of in owed if kind in _RUNS and not self._is_known(kind, name, of)]
        for of in unknown:
            end_untold(self.view, self.view.remediations[of])
        return bool(unknown)

    def _is_known(self, kind: Errand, name: str, remediation: RemediationId) -> bool:
        """Whether the log still tells of it, or has decided it and tells nothing."""
        last = self._known.told.get(remediation if kind is Errand.ANALYZE else name)
        return name in self._known.decided if last is None else last > self._folded

    def _log_tells(self, execution: ExecutionId) -> bool:
        """Whether the log itself has to say who was first: the executor, or the revocation."""
        if self._goes_as_recorded(execution) and self._answered:
            return True
        return self._known.told.get(execution, 0) > self._folded and self._is_in_time(execution)

    # -- rows ------------------------------------------------------------------------------------------

    def _rows(self, decisions: Iterable[Decision]) -> Iterator[VerdictRow]:
        for decision in decisions:
            if isinstance(decision, RoutingDecided):
                yield self._row(decision)

    def _row(self, decided: RoutingDecided) -> VerdictRow:
        was = self._known.verdicts.get((decided.signal, decided.attempt))
        of = remediation_id(decided.signal)
        (self._apart.discard if was == Was.of(decided) else self._apart.add)(of)
        recorded = was.verdict if was else None
        fingerprint, target = decided.situation.fingerprint, decided.situation.target
        if recorded != decided.verdict and (recorded is not None or self._answered):
            self._fingerprints.add(fingerprint)
            self._targets.add(target)
        return VerdictRow(
            position=decided.signal,
            remediation=decided.remediation,
            fingerprint=fingerprint,
            stage=decided.stage,
            attempt=decided.attempt,
            at=decided.situation.now,
            verdict=decided.verdict,
            recorded=recorded,
            counterfactual=fingerprint in self._fingerprints or target in self._targets,
        )


_ITS_OWN_TIMES = (Phase.AWAITING_APPROVAL, Phase.VERIFYING)
"""The phases that another policy may end at a time when the log has nothing to say."""
_RUNS = (Errand.WORKFLOW, Errand.ANALYZE)


def _through(messages: Iterable[StoredMessage], cut: LogEnd | None) -> Iterator[StoredMessage]:
    for message in messages:
        if cut is not None and not cut.holds(message.sequence):
            return
        yield message


def _is_one(first: RecordedRound, second: RecordedRound) -> bool:
    """Whether two frames are of one round: all its records carry one moment and one `as_of`."""
    return first.now == second.now and first.as_of == second.as_of


def _round(message: StoredMessage) -> RecordedRound | None:
    """Read a frame as the round, or the part of one, that it records."""
    decisions = [record.event for record in decode(message) if isinstance(record, Recorded)]
    if not decisions or not isinstance(decisions[0], DecisionFrame):
        return None
    found = RecordedRound(None, decisions[0].as_of, frozenset(), [])
    due: set[str] = set()
    for decision in decisions:
        match decision:
            case RoutingDecided():
                found.now = decision.situation.now
                if decision.because.kind is Cause.DUE:
                    due.add(remediation_id(decision.signal))
            case PhaseChanged():
                found.now = decision.now
                if decision.because.kind is Cause.DUE:
                    due.update(filter(None, (decision.remediation, decision.execution)))
            case VerificationEnded():
                found.now = decision.now
                due.add(decision.remediation)
            case TargetReleased():
                found.now = decision.now
                due.add(decision.execution)
            case OrchestratorStarted():
                found.started.append(decision)
            case _:
                pass
    found.due = frozenset(due)
    return found
