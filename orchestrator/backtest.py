"""What another policy would have decided on a log, beside what was decided.

The same core judges the same facts at the same moments: the recorded rounds' where there are any, the facts' own
stamps where no decision answers them, and exactly when something is due in between. A run that the log does
not know ends at once and leaves nothing behind; from a first divergence on, rows are counterfactual."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from msgspec import Struct, field

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
    Recorded,
    RemediationId,
    RoutingDecided,
    Stage,
    StoredMessage,
    Target,
    TargetReleased,
    Verdict,
    decode,
)
from remediation_orchestrator.events.identity import remediation_id
from remediation_orchestrator.events.subjects import Family, parse

from .rehearsal import Rehearsal
from .routing.decisions import fold_decision
from .routing.effects import end
from .routing.policy import Policy


class Row(Struct, frozen=True):
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
    def differs(self) -> bool:
        """Whether the log says something else."""
        return self.recorded is not None and self.recorded != self.verdict


class Known(Struct):
    """What a log has decided, gathered before it is judged again."""

    verdicts: dict[tuple[str, int], Verdict] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    """Executions and analyses that were commanded."""
    revoked: set[str] = field(default_factory=set)
    last_frame: int = 0


class Round(Struct):
    """A recorded round: when it was judged, how far it had read, and what had become due in it."""

    now: datetime | None
    as_of: int
    due: frozenset[str]
    decisions: list[Decision]


def backtest(
    messages: Callable[[], Iterable[StoredMessage]], policy: Policy | None = None, until: datetime | None = None
) -> Iterator[Row]:
    """Judge a log again and yield a row a verdict. `messages` gives the log from its beginning, twice.

    Without a policy it is the one in force at each moment, the defaults before any is adopted. `until` lets
    the clock run on, or stop before the last fact."""
    cell = Backtest(learn(messages()), policy)
    for message in messages():
        if until is not None and message.recorded_at > until:
            break
        yield from cell.take(message)
    yield from cell.finish(until)


def learn(messages: Iterable[StoredMessage]) -> Known:
    """Gather what a log has decided."""
    known = Known()
    for message in messages:
        subject = parse(message.subject)
        if subject.family is Family.DECISION:
            known.last_frame = message.sequence
            for decision in _decisions(message):
                if isinstance(decision, RoutingDecided):
                    known.verdicts[decision.signal, decision.attempt] = decision.verdict
                    known.runs.update(filter(None, (decision.execution, decision.analysis)))
        elif subject.family is Family.EXECUTION and b"WorkflowRevoked.v1" in message.payload:
            known.revoked.add(subject.rest)
    return known


class Backtest(Rehearsal):
    """A cell that lives through a recorded log under a policy of its own."""

    def __init__(self, known: Known, policy: Policy | None) -> None:
        super().__init__(policy)
        self._known = known
        self._pinned = policy
        self._round: Round | None = None
        self._fingerprints: set[Fingerprint] = set()
        self._targets: set[Target] = set()

    def take(self, message: StoredMessage) -> Iterator[Row]:
        """Read the next message of the log."""
        family = parse(message.subject).family
        if family.is_fact and message.sequence > self._known.last_frame:
            yield from self._live(message)
        elif family.is_fact:
            self.fold.take(message)
        elif family is Family.DECISION:
            following = _round(message)
            if following is None:
                return
            if self._round is None or following.now != self._round.now:
                yield from self._judge_round()
                self._round = following
            else:
                self._round = _joined(self._round, following)

    def finish(self, until: datetime | None) -> Iterator[Row]:
        """The log is over: judge what is left, and let the clock run on to `until`."""
        yield from self._judge_round()
        yield from self._rest()
        if until is not None:
            yield from self._rows(self.wait(until))

    # -- moments ---------------------------------------------------------------------------------------

    def _judge_round(self) -> Iterator[Row]:
        """Live through a recorded round: what was due before it first, then its facts, at its moment."""
        recorded, self._round = self._round, None
        if recorded is None:
            return
        for decision in recorded.decisions:
            if isinstance(decision, OrchestratorStarted) and self._pinned is None:
                fold_decision(self.view, decision, None)
        moment = recorded.now
        if moment is not None:
            yield from self._rows(self.wait(moment, but=recorded.due))
        self.fold.fold_facts(recorded.as_of)
        self._keep_policy()
        yield from self._rows(self.round(moment or self.view.newest))

    def _live(self, fact: StoredMessage) -> Iterator[Row]:
        """A fact that no decision answers: a round of its own, after those that are left over."""
        yield from self._judge_round()
        yield from self._rest()
        yield from self._rows(self.wait(fact.recorded_at))
        self.fold.take(fact)
        yield from self._rest()

    def _rest(self) -> Iterator[Row]:
        while self.fold.facts:
            moment = self.fold.facts[0].recorded_at
            self.fold.fold_facts(most=1)
            self._keep_policy()
            yield from self._rows(self.round(moment))

    def _keep_policy(self) -> None:
        """The policy that is tried stands, whatever was adopted in the log."""
        if self._pinned is not None and self.view.policy != self._pinned:
            self.view.adopt(self._pinned)

    # -- runs that the log does not know ---------------------------------------------------------------

    def conclude(self, revoked: list[ExecutionId], now: datetime) -> bool:
        """Let revocations take effect that the log does not hold itself, and end what it knows nothing of."""
        again = super().conclude([one for one in revoked if one not in self._known.revoked], now)
        return self._end_unknown() or again

    def _end_unknown(self) -> bool:
        if not self._known.last_frame:
            return False  # Facts alone: whatever runs is told by them, or by time.
        unknown = [name for kind, name in self.view.owed if kind in _RUNS and name not in self._known.runs]
        for name in unknown:
            run = self.view.runs.get(ExecutionId(name))
            decision = self.view.owed.pop(("workflow" if run else "analyze", name)).decision
            end(self.view, self.view.remediations[decision.remediation], Phase.COMPLETED)
            if run is not None:
                self.view.release(run, None)
        for kind, name in list(self.view.owed):
            if kind in _RUNS:
                del self.view.owed[kind, name]
        return bool(unknown)

    # -- rows ------------------------------------------------------------------------------------------

    def _rows(self, decisions: Iterable[Decision]) -> Iterator[Row]:
        for decision in decisions:
            if isinstance(decision, RoutingDecided):
                yield self._row(decision)

    def _row(self, decided: RoutingDecided) -> Row:
        recorded = self._known.verdicts.get((decided.signal, decided.attempt))
        fingerprint, target = decided.situation.fingerprint, decided.situation.target
        answered = self.fold.chain.as_of <= self._known.last_frame and bool(self._known.last_frame)
        if recorded != decided.verdict and (recorded is not None or answered):
            self._fingerprints.add(fingerprint)
            self._targets.add(target)
        return Row(
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


_RUNS = ("workflow", "analyze")


def _decisions(message: StoredMessage) -> list[Decision]:
    return [record.event for record in decode(message) if isinstance(record, Recorded)]  # type: ignore[misc]


def _round(message: StoredMessage) -> Round | None:
    """Read a frame as the round, or the part of one, that it records."""
    decisions = _decisions(message)
    if not decisions or not isinstance(decisions[0], DecisionFrame):
        return None
    now: datetime | None = None
    due: set[str] = set()
    for decision in decisions:
        match decision:
            case RoutingDecided():
                now = decision.situation.now
                if decision.because.kind is Cause.DUE:
                    due.add(remediation_id(decision.signal))
            case PhaseChanged():
                now = decision.now
                if decision.because.kind is Cause.DUE:
                    due.update(filter(None, (decision.remediation, decision.execution)))
            case TargetReleased():
                now = decision.now
                due.add(decision.execution)
            case _:
                pass
    return Round(now, decisions[0].as_of, frozenset(due), decisions)


def _joined(first: Round, second: Round) -> Round:
    return Round(first.now, second.as_of, first.due | second.due, first.decisions + second.decisions)
