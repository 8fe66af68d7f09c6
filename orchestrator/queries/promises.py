"""The commands that a log's decisions owe, followed through it: what audit holds the commands against.

It only remembers. What is owed at the moment is the projection's to know."""

from collections.abc import Container, Iterator
from datetime import datetime

from remediation_orchestrator.events import (
    ExecutionId,
    PhaseChanged,
    Position,
    RoutingDecided,
)
from remediation_orchestrator.orchestrator.routing.outbox import Errand, Key, promises
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Owed

from .moments import moment_of


class Promises:
    """The commands that decisions owe, until they are in the log: also one whose remediation ended meanwhile."""

    def __init__(self) -> None:
        self._owed: dict[Key, Owed] = {}
        self._sent: dict[ExecutionId, int] = {}
        """Where the command of each run stands."""

    def add(self, decision: RoutingDecided | PhaseChanged, place: Position) -> None:
        """A decision owes what it owes."""
        for key in promises(decision):
            if key.errand is not Errand.REVOKE:
                self._owed[key] = Owed(decision, place)

    def resume(self, view: Projection, sequence: int) -> None:
        """Begin where a projection stands: what it owes is owed, and of every other run the command was sent."""
        self._owed = {key: owed for key, owed in view.owed.items() if key.errand is not Errand.REVOKE}
        self._sent = {run: sequence for run in view.runs if Key(Errand.WORKFLOW, run) not in self._owed}

    def keep(self, key: tuple[str, str], sequence: int) -> Owed | None:
        """A command is there: return what owed it."""
        if key[0] == Errand.WORKFLOW:
            self._sent[ExecutionId(key[1])] = sequence
        return self._owed.pop(key, None)  # type: ignore[call-overload, no-any-return]  # A pair of words equals a key.

    def forget(self, execution: ExecutionId) -> None:
        """A run is over: nothing more is asked about its command."""
        self._sent.pop(execution, None)

    def revoked(self, execution: ExecutionId) -> None:
        """A run never began: nobody will cancel it."""
        self._owed.pop(Key(Errand.CANCEL, execution), None)

    def was_sent(self, execution: ExecutionId, sequence: int) -> bool:
        """Whether the command of a run stands before this record."""
        return self._sent.get(execution, sequence) < sequence

    def late(self, wanted: Container[Key], before: datetime) -> Iterator[tuple[Key, Position]]:
        """The commands that are still wanted of decisions before a moment."""
        for key, owed in self._owed.items():
            if key in wanted and owed.position is not None and (moment_of(owed.decision) or before) < before:
                yield key, owed.position
