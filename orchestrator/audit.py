"""Audit: derive every decision of a log again, and say where the log does not hold.

Two questions of each verdict: does folding the log give this situation again (projection drift), and does
deciding this situation give this verdict again (judgement drift)? And of the log: is its chain whole, has
every decision its cause, every fact its decision, every command its decision, every run its command?"""

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from remediation_orchestrator.events import (
    Cause,
    DecisionFrame,
    OrchestratorStarted,
    PhaseChanged,
    PolicyRejected,
    Position,
    Proceed,
    Recorded,
    RoutingDecided,
    SignalReceived,
    SignalRejected,
    StoredMessage,
    TargetReleased,
    Undecodable,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
    decode,
)
from remediation_orchestrator.events.identity import position, position_key, remediation_id

from .routing.checks import decide
from .routing.decisions import promises
from .routing.fold import Fold
from .routing.judge import expected_end, verdict_again, verdict_on_signal
from .routing.owed import command_of
from .routing.policy import Policy
from .routing.state import Answer, Judge, Owed, Serve, Tell


class Drift(StrEnum):
    """What can be wrong with a log."""

    CHAIN = "chain"
    PROJECTION = "projection"
    JUDGEMENT = "judgement"
    RECORD = "record"
    CAUSE = "no cause"
    UNANSWERED = "no decision"
    COMMAND = "no such command owed"
    EXECUTION = "no command"
    OVERLAP = "two runs on one target"
    STRAY = "stray"
    UNREADABLE = "unreadable"


# A stray execution event is somebody else's mistake: shown, and no fault of the log.
HARMLESS = frozenset({Drift.STRAY})


class Finding(Struct, frozen=True):
    """One place where a log does not hold."""

    position: Position
    drift: Drift
    message: str


class Report(Struct):
    """What an audit has seen."""

    messages: int = 0
    facts: int = 0
    decisions: int = 0
    commands: int = 0
    last: int = 0


def audit(messages: Iterable[StoredMessage], report: Report | None = None) -> Iterator[Finding]:
    """Fold a log and yield every finding, in the order of the log. `report` is counted up on the way."""
    auditor = Auditor(report or Report())
    for message in messages:
        yield from auditor.take(message)
    yield from auditor.end()


class Auditor:
    """Looks on while a log is folded, and holds each record against what it should be."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.fold = Fold(self)
        self._policies: dict[str, Policy] = {}
        self._promised: dict[tuple[str, str], Owed] = {}
        """Every command that a decision has owed and the log has not shown yet, though it may be owed no more."""
        self._findings: list[Finding] = []
        self._identity = ""

    def take(self, message: StoredMessage) -> list[Finding]:
        """Read the next message; return what is wrong up to it."""
        self._findings = []
        self.report.messages += 1
        self.report.last = message.sequence
        self.fold.take(message)
        return self._findings

    def end(self) -> list[Finding]:
        """The log is over: return what it leaves open although later frames have passed it."""
        covered = self.fold.chain.as_of
        self._findings = []
        for place in self.fold.view.unjudged:
            if position_key(place)[0] <= covered:
                self._find(place, Drift.UNANSWERED, "no decision answers this signal")
        for task in self.fold.view.agenda.values():
            self._find(_place(task), Drift.UNANSWERED, f"nothing was recorded: {_describe(task)}")
        return self._findings

    # -- looking on ------------------------------------------------------------------------------------

    def fact(self, record: Recorded | Undecodable, *, fits: bool) -> None:
        """A fact has been folded."""
        self.report.facts += 1
        if isinstance(record, Recorded) and not fits and isinstance(record.event, _RUN_FACTS):
            run = record.event.execution
            self._find(record.position, Drift.STRAY, f"{type(record.event).__name__} of {run} fits no run")

    def frame(self, message: StoredMessage, head: DecisionFrame | None) -> None:
        """A frame is next."""
        place = position(message.sequence, 0)
        if head is None:
            self._find(place, Drift.UNREADABLE, "this record of the decision subject is no frame")
            return
        if head.as_of < self.fold.chain.as_of or head.as_of >= message.sequence:
            self._find(place, Drift.CHAIN, f"as_of {head.as_of} is not where the fold stands")
        if head.previous != self.fold.chain.previous():
            self._find(place, Drift.CHAIN, "the digest of all before does not match: something before was changed")

    def decision(self, record: Recorded | Undecodable) -> None:
        """A decision is next: hold it against what the projection asks for."""
        self.report.decisions += 1
        if isinstance(record, Undecodable):
            self._find(record.position, Drift.UNREADABLE, record.message)
            return
        if isinstance(record.event, RoutingDecided | PhaseChanged):
            self._promised |= {key: Owed(record.event, record.position) for key in promises(record.event)}
        match record.event:
            case RoutingDecided() as decided:
                self._check_verdict(record.position, decided)
            case PhaseChanged() as change:
                self._check_change(record.position, change)
            case TargetReleased() as released:
                run = self.fold.view.runs.get(released.execution)
                if run is None or not run.lost or released.now < run.released_at:
                    self._find(record.position, Drift.CAUSE, f"{released.execution} was not lost, or not so long")
            case SignalRejected() | PolicyRejected() as answer:
                task = self.fold.view.agenda.get((Answer, answer.position))
                if not isinstance(task, Answer) or task.message != answer.message:
                    self._find(record.position, Drift.CAUSE, f"nothing at {answer.position} is to be rejected so")
            case OrchestratorStarted() as started:
                if self._identity and started.log != self._identity:
                    self._find(record.position, Drift.CHAIN, f"another log's life: {started.log}")
                self._identity = started.log
            case _:
                pass

    def command(self, message: StoredMessage, key: tuple[str, str]) -> None:
        """A command is next: a decision must have owed it, and it must say what that decision says.

        One that was under way when its remediation ended arrives all the same, and does no harm."""
        self.report.commands += 1
        place = position(message.sequence)
        owed = self._promised.pop(key, None)
        record = decode(message)[0]
        if isinstance(record, Undecodable):
            self._find(place, Drift.UNREADABLE, record.message)
        elif owed is None or owed.position is None:
            self._find(place, Drift.COMMAND, f"no decision owes {'.'.join(key)}")
        elif _plain(command_of(key[0], owed.decision, owed.position)) != _plain(record.event):
            self._find(place, Drift.RECORD, f"{'.'.join(key)} does not say what its decision says")

    # -- verdicts --------------------------------------------------------------------------------------

    def _check_verdict(self, place: Position, decided: RoutingDecided) -> None:
        self._know_policy()
        expected = self._expected(decided)
        if expected is None:
            self._find(place, Drift.CAUSE, f"nothing asks for attempt {decided.attempt} on {decided.signal}")
            return
        if expected.situation != decided.situation:
            self._find(place, Drift.PROJECTION, _difference(expected.situation, decided.situation))
        policy = self._policies.get(decided.situation.policy)
        if policy is None:
            self._find(place, Drift.PROJECTION, f"policy {decided.situation.policy[:12]} was never in force")
        elif (verdict := decide(decided.situation, policy)) != decided.verdict:
            self._find(place, Drift.JUDGEMENT, f"the situation gives {_plain(verdict)}")
        elif expected.situation == decided.situation and expected != decided:
            self._find(place, Drift.RECORD, _difference(expected, decided))
        if isinstance(decided.verdict, Proceed) and decided.execution is not None:
            holder = self.fold.view.holder(decided.situation.target)
            if holder is not None:
                self._find(place, Drift.OVERLAP, f"{holder.execution} holds {decided.situation.target}")

    def _expected(self, decided: RoutingDecided) -> RoutingDecided | None:
        """What a live service would have recorded here; None where nothing asks for a verdict."""
        view = self.fold.view
        now, because = decided.situation.now, decided.because
        if because.kind is Cause.SIGNAL:
            occurrence = view.unjudged.get(because.position) if because.position else None
            if occurrence is None or not isinstance(occurrence.event, SignalReceived):
                return None
            return verdict_on_signal(view, occurrence, occurrence.event, now)
        remediation = view.remediations.get(remediation_id(decided.signal))
        if remediation is None or not self._asks(decided):
            return None
        return verdict_again(view, remediation, because, now)

    def _asks(self, decided: RoutingDecided) -> bool:
        """Whether a cause of this kind stands on the agenda, or time has come."""
        view, because = self.fold.view, decided.because
        remediation = view.remediations[remediation_id(decided.signal)]
        if because.kind is Cause.RETRY:
            return because.position in view.unjudged
        if because.kind is Cause.DUE:
            return remediation.until is not None and remediation.until <= decided.situation.now
        judging = view.agenda.get((Judge, remediation.id))
        serving = view.agenda.get((Serve, remediation.target))
        return (isinstance(judging, Judge) and judging.because == because) or (
            isinstance(serving, Serve) and serving.because == because
        )

    def _know_policy(self) -> None:
        policy = self.fold.view.policy
        self._policies.setdefault(policy.digest, policy)

    def _check_change(self, place: Position, change: PhaseChanged) -> None:
        task = self.fold.view.agenda.get((Tell, change.remediation))
        expected = (
            replace(task.change, now=change.now)
            if isinstance(task, Tell)
            else expected_end(self.fold.view, change.remediation, change.now)
        )
        if expected is None:
            self._find(place, Drift.CAUSE, f"nothing has changed the phase of {change.remediation}")
        elif expected != change:
            self._find(place, Drift.RECORD, _difference(expected, change))

    def _find(self, place: Position, drift: Drift, message: str) -> None:
        self._findings.append(Finding(place, drift, message))


_RUN_FACTS = (WorkflowStarted, WorkflowCompleted, WorkflowFailed, WorkflowRevoked)


def _plain(value: object) -> object:
    return msgspec.to_builtins(value)


def _difference(expected: Struct, recorded: Struct) -> str:
    for field in expected.__struct_fields__:
        wanted, found = getattr(expected, field), getattr(recorded, field)
        if wanted != found:
            return f"{field} is recorded as {_plain(found)}, and the log gives {_plain(wanted)}"
    return "they differ"


def _place(task: Judge | Serve | Tell | Answer) -> Position:
    match task:
        case Answer():
            return task.position
        case Tell():
            return task.change.because.position or Position("0")
        case _:
            return task.because.position or Position("0")


def _describe(task: Judge | Serve | Tell | Answer) -> str:
    match task:
        case Answer():
            return "a rejection"
        case Tell():
            return f"{task.change.remediation} {task.change.phase}"
        case Judge():
            return f"a verdict on {task.remediation}"
        case Serve():
            return f"the queue of {task.target}"
