"""In which order a cell decides: signals as they came, what is due by its moment, and the line before each target.

Counted from verdicts and facts alone, in the order of the fold."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from remediation_orchestrator.events import (
    Because,
    Block,
    Cause,
    DecisionFrame,
    Duplicate,
    LogArchived,
    Phase,
    PhaseChanged,
    PolicyRejected,
    Position,
    Proceed,
    Reason,
    Recorded,
    RemediationCancelled,
    RetryRequested,
    RoutingDecided,
    SignalReceived,
    SignalRejected,
    SignalResolved,
    Target,
    TargetReleased,
    VerificationEnded,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
)
from remediation_orchestrator.events.identity import position_key, remediation_of, signal_of
from remediation_orchestrator.simulation.firing import Firing
from remediation_orchestrator.simulation.fold_order import in_fold_order
from remediation_orchestrator.simulation.known import GRACE, KnownRun, run_of
from remediation_orchestrator.simulation.occurrences import ProblemLines

if TYPE_CHECKING:
    from remediation_orchestrator.simulation.world import Day

_OCCURRENCES = (Cause.SIGNAL, Cause.RETRY)


def check_the_order_of_judgement(day: "Day") -> Iterator[str]:
    """Signals are judged in the order of the log; in a frame facts come first, then what is due, by its moment.

    Of what is due at one moment the older goes first."""
    yield from _signals_in_order(day)
    dues = _Dues()
    for frame in _frames(day):
        yield from dues.take(frame)


def _signals_in_order(day: "Day") -> Iterator[str]:
    newest = (0, 0)
    for record in day.records:
        because = record.event.because if isinstance(record.event, RoutingDecided) else None
        if because is not None and because.kind in _OCCURRENCES and because.position is not None:
            place = position_key(because.position)
            if place <= newest:
                yield f"{record.position} judges what stands at {because.position} after {newest}"
            newest = max(newest, place)


def _frames(day: "Day") -> Iterator[list[Recorded]]:
    """The decisions of each frame, and what is said of runs that the next one covers."""
    frame: list[Recorded] = []
    for record in in_fold_order(day.messages):
        if isinstance(record.event, DecisionFrame):
            yield frame
            frame = []
        elif isinstance(
            record.event,
            RoutingDecided
            | PhaseChanged
            | VerificationEnded
            | TargetReleased
            | SignalRejected
            | PolicyRejected
            | LogArchived
            | WorkflowStarted
            | WorkflowFailed,
        ):
            frame.append(record)
    yield frame


class _Dues:
    """When each remediation and each run becomes due, as its newest verdict says."""

    def __init__(self) -> None:
        self._until: dict[str, datetime | None] = {}
        self._runs: dict[str, KnownRun] = {}

    def take(self, frame: list[Recorded]) -> Iterator[str]:
        """Hold one frame's decisions against the order, and remember what they wait for."""
        fact, due, judged = (0, 0), None, None
        alike: tuple[type, datetime | None, tuple[int, int]] = (type(None), None, (0, 0))
        began = False
        for record in frame:
            kind, place = _cause(record)
            if kind is Cause.DUE:
                moment = self._moment(record)
                if judged is not None:
                    yield f"{record.position} was due, and comes after the signal at {judged}"
                if due is not None and moment is not None and moment < due:
                    yield f"{record.position} was due at {moment}, and comes after what was due at {due}"
                what, age = (type(record.event), moment), _age(record)
                if moment is not None and alike[:2] == what and age < alike[2]:
                    yield f"{record.position} was due at {moment} as what was judged before it, which is younger"
                alike = *what, age
                due, began = moment or due, True
            elif kind in _OCCURRENCES:
                judged, began = place, True
            elif place is not None and not began:
                if position_key(place) < fact:
                    yield f"{record.position} answers {place} after {fact}"
                fact = max(fact, position_key(place))
            self._remember(record)

    def _moment(self, record: Recorded) -> datetime | None:
        match record.event:
            case TargetReleased(execution=execution):
                run = self._runs.get(execution)
                return None if run is None else run.deadline + GRACE
            case PhaseChanged(execution=str(execution)):
                run = self._runs.get(execution)
                return None if run is None else run.deadline
            case RoutingDecided(remediation=remediation) | PhaseChanged(remediation=remediation):
                return self._until.get(remediation)
            case _:
                return None

    def _remember(self, record: Recorded) -> None:
        match record.event:
            case RoutingDecided(verdict=Duplicate()):
                return
            case RoutingDecided(verdict=Block(until=until), remediation=remediation):
                self._until[remediation] = until
            case RoutingDecided(execution=str(execution), remediation=remediation) as decided:
                self._until[remediation], self._runs[execution] = None, run_of(decided)
            case WorkflowStarted(execution=execution) if execution in self._runs:
                self._runs[execution].begins(record.recorded_at)
            case WorkflowFailed(execution=execution) if execution in self._runs:
                self._runs[execution].started = True  # Whoever says to begin it now begins nothing.
            case RoutingDecided(remediation=remediation, deadline=deadline):
                self._until[remediation] = deadline
            case PhaseChanged(remediation=remediation):
                self._until[remediation] = None
            case _:
                pass


def _age(record: Recorded) -> tuple[int, int]:
    """Where the first signal of what a decision is about stands in the log: the older, the earlier."""
    match record.event:
        case TargetReleased(execution=execution):
            return position_key(signal_of(remediation_of(execution)))
        case RoutingDecided(signal=signal):
            return position_key(signal)
        case PhaseChanged(remediation=remediation):
            return position_key(signal_of(remediation))
        case _:
            return 0, 0


def _cause(record: Recorded) -> tuple[Cause | None, Position | None]:
    match record.event:
        case RoutingDecided(because=because) | PhaseChanged(because=because):
            return because.kind, because.position
        case TargetReleased():
            return Cause.DUE, None
        case (
            SignalRejected(position=position) | PolicyRejected(position=position) | LogArchived(position=position)
        ):
            return None, position
        case _:
            return None, None


def check_the_line(day: "Day") -> Iterator[str]:
    """Who waits for a target keeps its place, is told it rightly, and nobody is let past."""
    lines = _Lines(day)
    for record in in_fold_order(day.messages):
        yield from lines.take(record)


class _Lines:
    """Who waits before each target."""

    def __init__(self, day: "Day") -> None:
        self._lines: dict[Target, list[str]] = defaultdict(list)
        self._at: dict[str, Target] = {}
        """Before which target each waits."""
        self._of: dict[str, str] = {}
        """The fingerprint of each remediation."""
        self._waiting = ProblemLines()
        self._revoked: dict[Position, str] = {}
        self._firing = Firing()
        self._answered = {
            record.event.because.position
            for record in day.records
            if isinstance(record.event, RoutingDecided) and record.event.because.kind in _OCCURRENCES
        }

    def take(self, record: Recorded) -> Iterator[str]:
        """One more fact or decision, in the order of the fold."""
        over = self._firing.take(record)
        match record.event:
            case RoutingDecided() as decided:
                yield from self._verdict(decided, record.position)
            case PhaseChanged(remediation=remediation, phase=phase):
                if phase.ended or phase is Phase.TIMED_OUT:
                    self._leave(remediation)
            case RemediationCancelled(remediation=remediation):
                self._leave(remediation)
            case SignalReceived(fingerprint=fingerprint):
                self._waiting.came(fingerprint, record.position)
            case RetryRequested(remediation=one) if record.position in self._answered and one in self._of:
                self._waiting.came(self._of[one], record.position)
            case SignalResolved(fingerprint=fingerprint) if over:
                if self._waiting.is_over_at_once(fingerprint, record.position):
                    self._is_over(fingerprint)
            case WorkflowRevoked(execution=execution):
                self._revoked[record.position] = remediation_of(execution)
            case _:
                pass

    def _verdict(self, decided: RoutingDecided, place: Position) -> Iterator[str]:
        remediation, verdict, target = decided.remediation, decided.verdict, decided.situation.target
        if not isinstance(verdict, Duplicate):
            self._of[remediation] = decided.situation.fingerprint
            line = self._lines[target]
            ahead = line[: line.index(remediation)] if remediation in line else line
            yield from self._place(decided, place, ahead)
            if isinstance(verdict, Block) and verdict.reason is Reason.RESOURCE_BUSY:
                if remediation not in line:
                    self._leave(remediation)
                    line.append(remediation)
                    self._at[remediation] = target
            else:
                self._leave(remediation)
        occurrence = decided.because.position if decided.because.kind in _OCCURRENCES else None
        if occurrence is not None and self._waiting.answer(decided.situation.fingerprint, occurrence):
            self._is_over(decided.situation.fingerprint)

    def _place(self, decided: RoutingDecided, place: Position, ahead: list[str]) -> Iterator[str]:
        verdict, remediation = decided.verdict, decided.remediation
        if isinstance(verdict, Proceed) and ahead:
            yield f"{place} lets {remediation} past {ahead} on {decided.situation.target}"
        told = verdict.queue_position if isinstance(verdict, Block) else None
        if told is not None and told != len(ahead) + 1:
            yield f"{place} tells {remediation} place {told}, and {len(ahead)} are ahead"
        served = decided.because.kind is Cause.RELEASED and not self._is_revoked(decided.because, remediation)
        if served and (ahead or self._at.get(remediation) != decided.situation.target):
            yield f"{place} serves {remediation}, and the line is {self._lines[decided.situation.target]}"

    def _is_revoked(self, because: Because, remediation: str) -> bool:
        return because.position is not None and self._revoked.get(because.position) == remediation

    def _leave(self, remediation: str) -> None:
        target = self._at.pop(remediation, None)
        if target is not None:
            self._lines[target].remove(remediation)

    def _is_over(self, fingerprint: str) -> None:
        for remediation in [one for one in self._at if self._of[one] == fingerprint]:
            self._leave(remediation)
