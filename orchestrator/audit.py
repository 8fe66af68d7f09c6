"""Audit: derive every decision of a log again, and say where the log does not hold.

Two questions of each verdict: does folding the log give this situation again (projection drift), and does
deciding this situation give this verdict again (judgement drift)? And of the log: is its chain whole, has
every decision its cause, every fact its decision, every command its decision, every run its command?"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from remediation_orchestrator.events import (
    Cause,
    DecisionFrame,
    ExecutionId,
    LogArchived,
    OrchestratorStarted,
    PhaseChanged,
    PolicyRejected,
    Position,
    Proceed,
    Recorded,
    RemediationId,
    RoutingDecided,
    ShadowDecided,
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
from remediation_orchestrator.events.identity import position, position_key, remediation_id, signal_of

from .findings import Drift, Finding, Report
from .frames import FRAME_BYTES_MAX
from .promises import Promises
from .routing.checks import decide
from .routing.durations import EPOCH
from .routing.fold import Fold, Observer
from .routing.judge import expected_end, verdict_again, verdict_on_signal
from .routing.owed import command_of
from .routing.policy import Policy, PolicyError, policy_of
from .routing.shadow import shadow_verdict
from .routing.state import Answer, Archive, Judge, Serve, Task, Tell
from .snapshots import Origin
from .tasks import describe, place_of

# An append is answered within five seconds or tried again: twice that after its decision a command is late.
COMMAND_GRACE = timedelta(seconds=10)


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
        self._policies: dict[str, Policy] = {}
        self._promises = Promises()
        self._origin: Origin | None = None
        """The projection from which the log goes on, where its beginning is archived."""
        self._unknown: dict[Position, str] = {}
        self._findings: list[Finding] = []
        self._identity = ""
        self._frame: StoredMessage | None = None
        self._shadow: ShadowDecided | None = None
        """What has to stand behind the verdict just read."""
        self._now = EPOCH
        """The latest moment of any decision."""

    def resume(self, origin: Origin) -> None:
        """The fold goes on from an archived projection: nothing before it is looked at."""
        self._origin = origin
        self.report.last = origin.head.through
        self._now = origin.head.newest
        self._promises.resume(self.fold.view, origin.head.through)

    def take(self, message: StoredMessage) -> list[Finding]:
        """Read the next message; return what is wrong up to it."""
        self._findings = []
        if message.sequence != self.report.last + 1:
            self._find_gap(message.sequence)
        self.report.messages += 1
        self.report.last = message.sequence
        self.fold.take(message)
        return self._findings

    def end(self) -> list[Finding]:
        """The log is over: return what it leaves open although its last round is complete."""
        self._findings = []
        self._check_shadow(position(self.report.last), None)
        if self._frame is None or len(self._frame.payload) > FRAME_BYTES_MAX // 2:
            return self._findings  # Of a round in several frames all but the last are at least half full.
        for task in self.fold.view.agenda.values():
            self._find_unanswered(task)
        covered = self.fold.chain.as_of
        for place in self.fold.view.unjudged:
            if position_key(place)[0] <= covered:
                self._find(place, Drift.UNANSWERED, "no decision answers this signal")
        self._find_overdue()
        self._check_origin()
        for key, place in self._promises.late(self.fold.view.owed, self._frame.recorded_at - COMMAND_GRACE):
            self._find(place, Drift.UNANSWERED, f"the command {'.'.join(key)} that it owes never came")
        return self._findings

    # -- looking on ------------------------------------------------------------------------------------

    def fact(self, record: Recorded | Undecodable, *, fits: bool) -> None:
        """A fact has been folded."""
        self.report.facts += 1
        if isinstance(record, Undecodable):
            if record.unknown_type is not None:
                self._unknown[record.position] = record.unknown_type
        elif isinstance(record.event, _RUN_FACTS):
            run, kind = record.event.execution, type(record.event).__name__
            if not fits:
                self._find(record.position, Drift.STRAY, f"{kind} of {run} fits no run")
            elif isinstance(record.event, WorkflowRevoked):
                self._promises.revoked(run)
            elif not self._promises.was_sent(run, record.position):
                self._find(record.position, Drift.EXECUTION, f"{kind} of {run}, and no command for it before")
                self._promises.keep(("workflow", run), position_key(record.position)[0])  # Said once.
            if isinstance(record.event, WorkflowCompleted | WorkflowFailed):
                self._promises.forget(run)

    def frame(self, message: StoredMessage, head: DecisionFrame | None, *, fits: bool) -> None:
        """A frame is next."""
        place = position(message.sequence, 0)
        if head is None:
            self._find(place, Drift.UNREADABLE, "this record of the decision subject is no frame")
            return
        chain = self.fold.chain
        if head.as_of < chain.as_of or head.as_of > head.read:
            self._find(place, Drift.CHAIN, f"as_of {head.as_of} is not where the fold stands")
        if head.read < chain.read or head.read >= message.sequence:
            self._find(place, Drift.CHAIN, f"read {head.read} is not behind {chain.read} and before itself")
        if not fits:
            what = f"something from {chain.read + 1} to {head.read} was changed, removed or moved"
            self._find(place, Drift.CHAIN, f"the digest of what came before does not match: {what}")
        self._frame = message

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
        if self._origin is not None and message.sequence < self._origin.head.sequence:
            return  # Its decision is archived.
        place = position(message.sequence)
        owed = self._promises.keep(key, message.sequence)
        records = decode(message)
        record = records[0] if len(records) == 1 else None
        if record is None:
            self._find(place, Drift.UNREADABLE, "a command is one event")
        elif isinstance(record, Undecodable):
            self._find_unreadable(record)
        elif owed is None or owed.position is None:
            self._find(place, Drift.COMMAND, f"no decision owes {'.'.join(key)}")
        elif command_of(key[0], owed.decision, owed.position) != record.event:
            self._find(place, Drift.RECORD, f"{'.'.join(key)} does not say what its decision says")

    # -- decisions -------------------------------------------------------------------------------------

    def _look_at_verdict(self, place: Position, decided: RoutingDecided) -> None:
        self._check_now(place, decided.situation.now)
        self._check_verdict(place, decided)
        self._promises.add(decided, place)
        self._shadow = shadow_verdict(self.fold.view.shadow, decided)

    def _look_at_change(self, place: Position, change: PhaseChanged) -> None:
        self._check_now(place, change.now)
        self._check_change(place, change)
        self._promises.add(change, place)

    def _look_at_release(self, place: Position, released: TargetReleased) -> None:
        self._check_now(place, released.now)
        run = self.fold.view.runs.get(released.execution)
        if run is None or not run.lost or released.now < run.released_at:
            self._find(place, Drift.CAUSE, f"{released.execution} was not lost, or not so long")

    def _look_at_answer(self, place: Position, answer: SignalRejected | PolicyRejected) -> None:
        self._unknown.pop(answer.position, None)
        task = self.fold.view.agenda.get((Answer, answer.position))
        if not isinstance(task, Answer) or task.message != answer.message:
            self._find(place, Drift.CAUSE, f"nothing at {answer.position} is to be rejected so")

    def _look_at_archive(self, place: Position, archived: LogArchived) -> None:
        task = self.fold.view.agenda.get((Archive, archived.position))
        if not isinstance(task, Archive) or task.record != archived:
            self._find(place, Drift.CAUSE, f"nothing at {archived.position} asks for it")
        self.archived.append(archived)

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
        missing = self.report.last + 1
        if self.report.messages == 0:
            self.report.first = sequence
            what = f"the log begins at {sequence}: what came before is not here"
        else:
            what = f"{sequence - missing} missing, the next is {sequence}"
        self._find(position(missing), Drift.GAP, what)

    def _check_now(self, place: Position, now: datetime) -> None:
        if now < self.fold.view.newest:
            self._find(place, Drift.RECORD, f"judged at {now.isoformat()}, before a fact that it knows of")
        if now > self._now:
            self._now = now

    def _check_start(self, place: Position, started: OrchestratorStarted) -> None:
        if self._identity and started.log != self._identity:
            self._find(place, Drift.CHAIN, f"another log's life: {started.log}")
        self._identity = started.log
        policy = self.fold.view.policy
        if not self.fold.view.adopted:
            if started.policy is None:
                self._find(place, Drift.RECORD, "the first start of a log has to carry its policy")
                return
            try:
                policy = policy_of(started.policy)
            except PolicyError as error:
                self._find(place, Drift.RECORD, f"its policy cannot be adopted: {error}")
                return
        if started.policy_digest not in (None, policy.digest):
            self._find(place, Drift.RECORD, f"the policy in force is {policy.digest[:12]}, not the one it names")

    def _find_unreadable(self, record: Undecodable) -> None:
        if record.unknown_type is not None:
            self.newer = self.newer or _newer(record.position, record.unknown_type)
        self._find(record.position, Drift.UNREADABLE, record.message)

    def _find_unanswered(self, task: Task) -> None:
        unknown = self._unknown.get(task.position) if isinstance(task, Answer) else None
        if unknown is not None:
            self.newer = self.newer or _newer(place_of(task), unknown)
        self._find(place_of(task), Drift.UNANSWERED, f"nothing was recorded: {describe(task)}")

    def _find_overdue(self) -> None:
        """What had become due before the last decision, and was not judged."""
        view = self.fold.view
        while (about := view.take_due(self._now)) is not None:
            run = view.runs.get(ExecutionId(about))
            if (
                run is None or run.started
            ):  # Who begins a run that was not begun in time is decided on its subject.
                remediation = run.remediation if run else RemediationId(about)
                self._find(signal_of(remediation), Drift.UNANSWERED, f"{about} was due, and was not judged")

    # -- verdicts --------------------------------------------------------------------------------------

    def _check_verdict(self, place: Position, decided: RoutingDecided) -> None:
        self._know_policy()
        expected = self._expected(decided)
        if expected is None:
            self._find(place, Drift.CAUSE, f"nothing asks for attempt {decided.attempt} on {decided.signal}")
            return
        if expected != decided:  # Else the log gives this situation, and the situation this verdict: both hold.
            self._find_difference(place, expected, decided)
        if isinstance(decided.verdict, Proceed) and decided.execution is not None:
            holder = self.fold.view.holder(decided.situation.target)
            if holder is not None:
                self._find(place, Drift.OVERLAP, f"{holder.execution} holds {decided.situation.target}")

    def _find_difference(self, place: Position, expected: RoutingDecided, decided: RoutingDecided) -> None:
        if expected.situation != decided.situation:
            self._find(place, Drift.PROJECTION, _difference(expected.situation, decided.situation))
        policy = self._policies.get(decided.situation.policy)
        if policy is None:
            self._find(place, Drift.PROJECTION, f"policy {decided.situation.policy[:12]} was never in force")
        elif (verdict := decide(decided.situation, policy)) != decided.verdict:
            self._find(place, Drift.JUDGEMENT, f"the situation gives {_plain(verdict)}")
        elif expected.situation == decided.situation:
            self._find(place, Drift.RECORD, _difference(expected, decided))

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

    def _check_shadow(self, place: Position, found: ShadowDecided | None) -> None:
        """Hold what follows a verdict against what the policy in shadow says of the same situation."""
        expected, self._shadow = self._shadow, None
        if found != expected:
            given, told = _plain(expected) or "nothing else", _plain(found) or "nothing"
            self._find(place, Drift.JUDGEMENT, f"the policy in shadow gives {given}, and {told} is recorded")

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


_LOOKS: dict[type, Callable[..., None]] = {
    RoutingDecided: Auditor._look_at_verdict,
    PhaseChanged: Auditor._look_at_change,
    TargetReleased: Auditor._look_at_release,
    SignalRejected: Auditor._look_at_answer,
    PolicyRejected: Auditor._look_at_answer,
    LogArchived: Auditor._look_at_archive,
    OrchestratorStarted: Auditor._check_start,
}
_RUN_FACTS = (WorkflowStarted, WorkflowCompleted, WorkflowFailed, WorkflowRevoked)


def _newer(place: Position, unknown: str) -> str:
    return f"unknown event type {unknown!r} at {place}: this log needs the newer version of ro that wrote it"


def _plain(value: object) -> object:
    return msgspec.to_builtins(value)


def _difference(expected: Struct, recorded: Struct) -> str:
    for field in expected.__struct_fields__:
        wanted, found = getattr(expected, field), getattr(recorded, field)
        if wanted != found:
            return f"{field} is recorded as {_plain(found)}, and the log gives {_plain(wanted)}"
    return "they differ"
