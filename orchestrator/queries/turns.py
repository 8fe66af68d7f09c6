"""Whose turn it was: audit asks of every decision whether it is the one that had to come next.

The facts that a frame covers are folded, and then everything that waits is judged, in one fixed order, at one
moment, before any further fact is folded. Only an orchestrator that takes over finds something left. So what
comes next follows from the projection at every place of a log, by the same function that the live service asks."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import assert_never

from remediation_orchestrator.events import (
    DecisionFrame,
    Decoded,
    ExecutionId,
    LogArchived,
    OrchestratorStarted,
    PhaseChanged,
    PolicyRejected,
    Position,
    Recorded,
    RemediationId,
    RoutingDecided,
    SignalRejected,
    TargetReleased,
    Undecodable,
    VerificationEnded,
)
from remediation_orchestrator.events.identity import signal_of
from remediation_orchestrator.orchestrator.routing.judge import Judged, Turn, TurnKey, next_turn
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import (
    ArchiveTask,
    JudgeTask,
    RejectTask,
    ServeTask,
    Task,
    TellTask,
    Unjudged,
    VerifyTask,
)

from .moments import moment_of


class Turns:
    """Where a log stands between two rounds, or within one."""

    def __init__(self, view: Projection) -> None:
        self._view = view
        self._as_of = 0
        self._judging = False
        """Whether who is active has judged what is folded; who takes over has not yet."""
        self._passed: dict[TurnKey, Turn] = {}
        """What was not decided in its turn, and has been named."""
        self._missing: set[TurnKey] = set()
        """What was not decided in its round, and has been named."""
        self.decided = 0
        """How many decisions the round has, as far as it has come."""
        self.now: datetime | None = None
        """The moment of the round; None where none of its decisions says one."""
        self.said: datetime | None = None
        """The moment that the newest frame says."""
        self.begins = False
        """Whether the newest frame begins with a start."""

    def resume(self, as_of: int) -> None:
        """The log goes on from an archived projection, in which everything is judged."""
        self._as_of = as_of

    def begin(self, head: DecisionFrame, records: Sequence[Decoded]) -> list[Turn]:
        """A frame is next, and the facts that it is the first to cover. Return what is missing before them."""
        further = head.as_of > self._as_of
        missing = list(self.missing()) if further and self._judging else []
        decisions = [record.event for record in records if isinstance(record, Recorded)]
        moments = (moment_of(one) for one in decisions)
        self.said = next((one for one in moments if one is not None), None)
        if further or self.said is not None:
            self.now = self.said
        self.decided = len(decisions) + (0 if further else self.decided)
        second = records[1] if len(records) > 1 else None
        if isinstance(second, Undecodable):  # What a newer version has written there may be one.
            self.begins = second.unknown_type is not None
        else:
            self.begins = second is not None and isinstance(second.event, OrchestratorStarted)
        self._judging = not self.begins
        self._as_of = max(self._as_of, head.as_of)
        return missing

    def next(self) -> Turn | None:
        """Return what has to be decided next; None where nothing has."""
        now = self.now or self._view.newest
        while (one := next_turn(self._view, now, self._passed)) is not None:
            if not isinstance(one, str):  # A run that nobody has begun in time is revoked on its own subject.
                return one
        return None

    def is_late(self, decision: Judged) -> bool:
        """Whether this is what was passed over before, and comes now."""
        late = [key for key in _keys(decision) if key in self._passed]
        for key in late:
            del self._passed[key]
        return bool(late)

    def pass_over(self, one: Turn) -> None:
        """It was not decided in its turn, which has been said: what comes after it is expected."""
        self._passed[one.key] = one

    def missing(self) -> Iterator[Turn]:
        """All that should have been decided by now and was not, each once."""
        still = [one for one in self._passed.values() if self._is_open(one)]
        yield from (one for one in still if one.key not in self._missing)
        self._missing.update(one.key for one in still)
        while (one := self.next()) is not None:
            self._missing.add(one.key)
            self.pass_over(one)
            yield one

    def describe_missing(self, one: Turn) -> tuple[Position, str]:
        """Say what was not decided, for a person, and the record that asks for it."""
        match one.about:
            case Unjudged():
                return one.about.position, "no decision answers this signal"
            case tuple():
                run = self._view.runs.get(ExecutionId(one.about[1]))
                remediation = run.remediation if run else RemediationId(one.about[1])
                return signal_of(remediation), f"{one.about[1]} was due, and was not judged"
            case task:
                return place_of(task), f"nothing was recorded: {describe_task(task)}"

    def _is_open(self, one: Turn) -> bool:
        if isinstance(one.about, tuple):
            return self._view.is_timed(one.about[1], one.about[0])
        return one.key in self._view.tasks or one.key in self._view.unjudged


def _keys(decision: Judged) -> list[TurnKey]:
    """Return what a decision may be an answer to."""
    match decision:
        case RoutingDecided(because=because):
            served: list[TurnKey] = [(JudgeTask, decision.remediation), (ServeTask, decision.situation.target)]
            return [because.position or decision.remediation, *served]
        case PhaseChanged():
            return [(TellTask, decision.remediation), decision.remediation, decision.execution or ""]
        case VerificationEnded():
            return [(VerifyTask, decision.remediation), decision.remediation]
        case TargetReleased():
            return [decision.execution]
        case LogArchived():
            return [(ArchiveTask, decision.position)]
        case SignalRejected() | PolicyRejected():
            return [(RejectTask, decision.position)]
        case _:
            assert_never(decision)


def place_of(task: Task) -> Position:
    """The record because of which a task is to be done."""
    match task:
        case RejectTask():
            return task.position
        case ArchiveTask():
            return task.record.position
        case TellTask():
            return task.change.because.position or Position("0")
        case VerifyTask():
            return signal_of(task.remediation)
        case JudgeTask() | ServeTask():
            return task.because.position or Position("0")


def describe_task(task: Task) -> str:
    """Say what is to be done, for a person."""
    match task:
        case RejectTask():
            return "a rejection"
        case ArchiveTask():
            return f"the archive of all through {task.record.through}"
        case TellTask():
            return f"{task.change.remediation} {task.change.phase}"
        case VerifyTask():
            return f"whether the run of {task.remediation} has helped"
        case JudgeTask():
            return f"a verdict on {task.remediation}"
        case ServeTask():
            return f"the queue of {task.target}"


def describe_turn(one: Turn) -> str:
    """Say what had to be decided, for a person."""
    match one.about:
        case Unjudged():
            return f"the verdict on {one.about.position}"
        case tuple():
            return f"{one.about[1]}, due at {one.about[0].isoformat()},"
        case task:
            return describe_task(task)
