"""Audit: derive every decision of a log again, and say where the log does not hold.

Of each decision: is it the one that had to come next, and if it is not, what is wrong with it, or whose turn
was it? And of the log: is its chain whole, has every fact its decision, every command its decision, every run
its command?"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    DecisionFrame,
    Decoded,
    LogArchived,
    OrchestratorStarted,
    PhaseChanged,
    PolicyRejected,
    Position,
    Proceed,
    Recorded,
    RoutingDecided,
    ShadowDecided,
    SignalRejected,
    StoredMessage,
    TargetReleased,
    Undecodable,
    VerificationEnded,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
    decode,
)
from remediation_orchestrator.events.facts import RunFact
from remediation_orchestrator.events.identity import position, position_key
from remediation_orchestrator.events.subjects import Family, parse
from remediation_orchestrator.orchestrator.frames import FRAME_BYTES_MAX, STORED_MAX
from remediation_orchestrator.orchestrator.routing.fold import Fold, Observer
from remediation_orchestrator.orchestrator.routing.judge import Judged, Turn, shadow_verdict
from remediation_orchestrator.orchestrator.routing.outbox import Errand
from remediation_orchestrator.orchestrator.routing.snapshot import Origin
from remediation_orchestrator.orchestrator.routing.state import RejectTask

from .envelopes import of_frame, wrong_in_frame
from .examination import Examination, plain
from .fences import Fences
from .findings import Drift, Finding, Report
from .leaders import Leaders, wrong_in_chain
from .moments import moment_of
from .promises import Promises
from .revocations import Revocations
from .turns import Turns, describe_turn


def audit(messages: Iterable[StoredMessage], report: Report | None = None) -> Iterator[Finding]:
    """Fold a log and yield every finding, in the order of the log. `report` is counted up on the way."""
    auditor = Auditor(report or Report())
    for message in messages:
        yield from auditor.take(message)
    yield from auditor.end()


class Auditor(Observer):
    """Looks on while a log is folded, and holds each record against what it should be."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.fold = Fold(self)
        self.newer: str | None = None
        """A record of a type that this version does not know, and that the log does not reject either."""
        self.archived: list[LogArchived] = []
        """What was archived, as the log says."""
        self._examination = Examination(self.fold.view)
        self._origin: Origin | None = None
        """The projection from which the log goes on, where its beginning is archived."""
        self._unknown: dict[Position, str] = {}
        self._findings: list[Finding] = []
        self._frame: StoredMessage | None = None
        self._records: Sequence[Decoded] = ()
        """All that stands in the frame that is next."""
        self._head: DecisionFrame | None = None
        self._shadow: ShadowDecided | None = None
        """What has to stand behind the verdict just read."""
        self._turns = Turns(self.fold.view)
        self._fences = Fences()
        self._leaders = Leaders(self.fold.view)
        self._promises = Promises(self.fold.view, self._fences, self._leaders)
        self._revocations = Revocations(self._leaders)

    def resume(self, origin: Origin) -> None:
        """The fold goes on from an archived projection: nothing before it is looked at."""
        self._origin = origin
        self.report.last = origin.head.through
        self._turns.resume(origin.head.as_of)
        self._promises.resume(origin.head.through)
        self._revocations.resume(self.fold.view)
        self._fences.resume(origin.head.through)

    def take(self, message: StoredMessage) -> list[Finding]:
        """Read the next message; return what is wrong up to it."""
        self._findings = []
        if message.sequence != self.report.last + 1:
            self._find_gap(message.sequence)
        self.report.messages += 1
        self.report.last = message.sequence
        family = parse(message.subject).family
        if family is Family.EXECUTION:
            self._revocations.take(message)
        if family is Family.EXECUTION or family is Family.DECISION:
            self._fences.take(message)
        if self._origin is not None and message.sequence <= self._origin.head.sequence:
            self._leaders.go_on(message)
        self.fold.take(message)
        return self._findings

    def end(self) -> list[Finding]:
        """The log is over: return what it leaves open although its last round is complete."""
        self._findings = []
        self._check_shadow(position(self.report.last), None)
        if not self._may_go_on():
            for one in self._turns.missing():
                self._find_missing(one)
        self._check_origin()
        for key, place in self._promises.missing():
            self._find(place, Drift.UNANSWERED, f"the command {'.'.join(key)} that it owes never came")
        self._promises.next_frame(None, further=True)
        self.report.waiting = len(self.fold.facts)
        self.fold.fold_facts()  # What no frame covers yet has to fit, too.
        return self._findings

    def _may_go_on(self) -> bool:
        """Whether the newest frame may not be its round's last: full, or behind as many as are stored at once."""
        full = self._frame is None or len(self._frame.payload) > FRAME_BYTES_MAX // 2
        return full or self._turns.decided >= STORED_MAX

    # -- looking on ------------------------------------------------------------------------------------

    def fact(self, record: Recorded | Undecodable, *, fits: bool) -> None:
        """A fact has been folded."""
        self.report.facts += not self.report.waiting
        if isinstance(record, Undecodable):
            if record.unknown_type is not None:
                self._unknown[record.position] = record.unknown_type
        elif isinstance(record.event, RunFact):
            self._see_run(record, record.event, fits=fits)
        elif fits and isinstance(record.event, AnalysisCompleted | AnalysisFailed):
            self._promises.answered(record.event.remediation)

    def _see_run(self, record: Recorded, fact: RunFact, *, fits: bool) -> None:
        run, kind, sequence = fact.execution, type(fact).__name__, position_key(record.position)[0]
        is_open = self._fences.is_open(sequence)
        if not fits:
            self._find(record.position, Drift.STRAY, f"{kind} of {run} fits no run")
        if isinstance(fact, WorkflowRevoked):
            self._findings += self._revocations.folded(record, fact, fits=fits, is_open=is_open)
        elif fits and not self._promises.was_sent(run, sequence):
            drift = Drift.STRAY if self._promises.was_never_owed(run) else Drift.EXECUTION
            self._find(record.position, drift, f"{kind} of {run}, and no command for it before")
            self._promises.told(run, sequence)
        if fits and isinstance(fact, WorkflowStarted):
            self._promises.began(run)
        if fits and is_open and not isinstance(fact, WorkflowRevoked):
            self._find(record.position, Drift.UNFENCED, f"{kind} of {run} expects no record before it")
        if fits and isinstance(fact, WorkflowRevoked):
            self._promises.revoked(run)
        if fits and not isinstance(fact, WorkflowStarted):
            self._promises.forget(run)
        if isinstance(fact, WorkflowCompleted | WorkflowFailed):
            for one in (self._fences, self._revocations):
                one.forget(run)

    def turn(self, head: DecisionFrame, records: Sequence[Decoded]) -> None:
        """A frame is next, and before it the facts that it is the first to cover: all before is judged by now."""
        self._records, self._head = records, head
        for one in self._turns.begin(head, records):
            self._find_missing(one)
        self._promises.next_frame(self._turns.said, further=head.as_of > self.fold.chain.as_of)

    def frame(self, message: StoredMessage, head: DecisionFrame | None, *, fits: bool) -> None:
        """A frame is next."""
        place = position(message.sequence, 0)
        if head is None:
            self._find(place, Drift.JUNK, "this record of the decision subject is no frame")
            return
        for what in wrong_in_chain(self.fold.chain, message, head, fits=fits):
            self._find(place, Drift.CHAIN, what)
        self._frame = message
        if self._fences.is_open(message.sequence):
            self._find(place, Drift.FENCE, "it expects another record before it than stands there")
        if len(self._records) == 1 and not self._may_be_empty():
            self._find(place, Drift.ORDER, "a frame without a decision, and nothing asks for one")
        around, turns = of_frame(message), self._turns
        time = around[0].time if around else None
        self._findings += self._leaders.take(message, head, turns.begins, time)
        self._findings += wrong_in_frame(self._records, around, self._leaders.source_of(head, message))
        if turns.said not in (None, time):
            self._find(place, Drift.ENVELOPE, f"its time is {time}, and it was judged at {turns.said}")
        self._promises.stored(time or message.recorded_at, message.recorded_at, begins=turns.begins)

    def _may_be_empty(self) -> bool:
        """Whether a frame has to stand here although nothing is decided in it."""
        return self.fold.is_to_be_told or any(key.errand is Errand.CANCEL for key in self.fold.view.owed)

    def decision(self, record: Recorded | Undecodable) -> None:
        """A decision is next: hold it against what the projection asks for."""
        self.report.decisions += 1
        if isinstance(record, Undecodable):
            self._find_unreadable(record)
            return
        event = record.event
        if self._shadow is not None or isinstance(event, ShadowDecided):
            self._check_shadow(record.position, event if isinstance(event, ShadowDecided) else None)
        look = _LOOKS.get(type(event))
        if look is not None:
            look(self, record.position, event)

    def command(self, message: StoredMessage, key: tuple[str, str]) -> None:
        """A command is next: it must be owed, and say what its decision says."""
        self.report.commands += 1
        records = decode(message)
        if self._origin is not None and message.sequence < self._origin.head.sequence:
            if not all(isinstance(one, Recorded) for one in records):
                self._fences.junk(message)  # A command behind the archived ones expects it.
            return  # Its decision is archived.
        place = position(message.sequence)
        newer = next((one for one in records if isinstance(one, Undecodable) and one.unknown_type), None)
        if isinstance(newer, Undecodable):
            self._find_unreadable(newer)
            return
        if len(records) != 1 or not isinstance(
            record := records[0], Recorded
        ):  # What was owed is owed still, what was sent stands.
            self._fences.junk(message)
            self._find(place, Drift.JUNK, f"no command, where {'.'.join(key)} may come")
            return
        self._findings += self._promises.check(message, record.event, key)

    # -- decisions -------------------------------------------------------------------------------------

    def _look_at(self, place: Position, decision: Judged) -> None:
        """Hold a decision against the one that had to come next, and where it is another, say what is wrong."""
        expected = self._turns.next()
        if expected is None or expected.decision != decision:
            self._find_wrong(place, decision, expected)

    def _look_at_verdict(self, place: Position, decided: RoutingDecided) -> None:
        self._examination.know_policy()
        self._look_at(place, decided)
        if decided.execution is not None and isinstance(decided.verdict, Proceed):
            self._check_overlap(place, decided)
        self._promises.add(decided, place)
        self._revocations.decided(decided)
        self._shadow = shadow_verdict(self.fold.view.shadow, decided)

    def _look_at_change(self, place: Position, change: PhaseChanged) -> None:
        self._look_at(place, change)
        self._promises.add(change, place)
        self._revocations.decided(change)

    def _look_at_rejection(self, place: Position, rejected: SignalRejected) -> None:
        self._look_at(place, rejected)
        self._unknown.pop(rejected.position, None)

    def _look_at_archive(self, place: Position, archived: LogArchived) -> None:
        self._look_at(place, archived)
        self.archived.append(archived)
        self._fences.archive(archived.through)

    def _find_wrong(self, place: Position, decision: Judged, expected: Turn | None) -> None:
        """Name what is wrong with a decision: with itself, or, where nothing is, with its turn."""
        wrong = [Finding(place, *one) for one in self._examination.wrong_with(decision)]
        self._findings += wrong
        if wrong or self._turns.is_late(decision):
            return
        if expected is None:
            self._find(place, Drift.ORDER, "nothing was to be decided")
        elif self._turns.now not in (None, moment_of(decision)) and moment_of(decision) is not None:
            self._find(place, Drift.ORDER, f"judged at another moment than its frame: {self._turns.now}")
        else:
            self._find(place, Drift.ORDER, f"{describe_turn(expected)} had to come before it")
            self._turns.pass_over(expected)

    # -- the log ---------------------------------------------------------------------------------------

    def _check_origin(self) -> None:
        """The projection from which the log goes on has to be the one that the chain names."""
        if self._origin is None:
            return
        through = self._origin.head.through
        named = [one.projection for one in self.archived if one.through == through]
        if self._origin.digest not in named:
            what = "is not the one that the chain names" if named else "is named nowhere in the chain"
            self._find(position(through), Drift.ARCHIVE, f"the projection behind {through} {what}")

    def _find_gap(self, sequence: int) -> None:
        self._leaders.lose()
        missing = self.report.last + 1
        if self.report.messages == 0:
            self.report.first = sequence
            what = f"the log begins at {sequence}: what came before is not here"
        else:
            what = f"{sequence - missing} missing, the next is {sequence}"
        self._find(position(missing), Drift.GAP, what)

    def _look_at_start(self, place: Position, started: OrchestratorStarted) -> None:
        self._findings += self._leaders.start(place, started, self._head)

    def _look_at_head(self, place: Position, head: DecisionFrame) -> None:
        if head is not self._head:
            self._find(place, Drift.LEADER, "a head within a frame")

    def _find_unreadable(self, record: Undecodable) -> None:
        if record.unknown_type is not None:
            self.newer = self.newer or _newer(record.position, record.unknown_type)
        self._find(record.position, Drift.UNREADABLE, record.message)

    def _find_missing(self, one: Turn) -> None:
        place, what = self._turns.describe_missing(one)
        unknown = self._unknown.get(place) if isinstance(one.about, RejectTask) else None
        if unknown is not None:
            self.newer = self.newer or _newer(place, unknown)
        self._find(place, Drift.UNANSWERED, what)

    def _check_overlap(self, place: Position, decided: RoutingDecided) -> None:
        holder = self.fold.view.holder(decided.situation.target)
        if holder is not None:
            self._find(place, Drift.OVERLAP, f"{holder.execution} holds {decided.situation.target}")

    def _check_shadow(self, place: Position, found: ShadowDecided | None) -> None:
        """Hold what follows a verdict against what the policy in shadow says of the same situation."""
        expected, self._shadow = self._shadow, None
        if found != expected:
            given, told = plain(expected) or "nothing else", plain(found) or "nothing"
            self._find(place, Drift.JUDGEMENT, f"the policy in shadow gives {given}, and {told} is recorded")

    def _find(self, place: Position, drift: Drift, message: str) -> None:
        self._findings.append(Finding(place, drift, message))


_LOOKS: dict[type, Callable[..., None]] = {
    RoutingDecided: Auditor._look_at_verdict,
    PhaseChanged: Auditor._look_at_change,
    VerificationEnded: Auditor._look_at,
    TargetReleased: Auditor._look_at,
    SignalRejected: Auditor._look_at_rejection,
    PolicyRejected: Auditor._look_at,
    LogArchived: Auditor._look_at_archive,
    OrchestratorStarted: Auditor._look_at_start,
    DecisionFrame: Auditor._look_at_head,
}


def _newer(place: Position, unknown: str) -> str:
    return f"unknown event type {unknown!r} at {place}: this log needs the newer version of ro that wrote it"
