"""What is kept of each remediation while a log is folded, beyond what its projection needs: the newest verdict and
change of phase, and who has begun its run. It looks on, and says nothing of its own."""

from datetime import datetime

from msgspec import Struct

from remediation_orchestrator.events import (
    Duplicate,
    ExecutionId,
    Fingerprint,
    Outcome,
    PhaseChanged,
    Position,
    Recorded,
    RemediationId,
    RoutingDecided,
    SignalReceived,
    Undecodable,
    WorkflowStarted,
)
from remediation_orchestrator.events.identity import remediation_of
from remediation_orchestrator.orchestrator.routing.fold import Observer
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation


class Start(Struct, frozen=True):
    """A run that was begun."""

    execution: ExecutionId
    at: datetime
    executor: str


class Chronicle(Observer):
    """Looks on while a log is folded, and keeps of each remediation what its projection does not, or lets go."""

    def __init__(self, *, keep: bool = True) -> None:
        self._keep = keep
        """Whether what the projection forgets is kept here; else it is forgotten here, too."""
        self.verdicts: dict[RemediationId, RoutingDecided] = {}
        """The newest verdict on each that is not a duplicate's."""
        self.changes: dict[RemediationId, PhaseChanged] = {}
        self.opened: dict[RemediationId, datetime] = {}
        self.completed: dict[Fingerprint, tuple[datetime, RemediationId]] = {}
        """When each problem was last remediated, and by which."""
        self.starts: dict[RemediationId, Start] = {}
        """Who has begun the newest run of each that was begun, and when."""
        self.gone: dict[RemediationId, Remediation] = {}
        """What the projection has forgotten, as it was in the end."""
        self._signals: dict[Position, datetime] = {}

    def fact(self, record: Recorded | Undecodable, *, fits: bool) -> None:
        """Remember when a signal came until it has its verdict, and who has begun a run."""
        event = record.event if isinstance(record, Recorded) else None
        if isinstance(event, SignalReceived):
            self._signals[record.position] = record.recorded_at
        elif isinstance(event, WorkflowStarted) and fits:
            start = Start(event.execution, record.recorded_at, event.executor)
            self.starts[remediation_of(event.execution)] = start

    def decision(self, record: Recorded | Undecodable) -> None:
        """Keep the newest verdict and the newest change."""
        event = record.event if isinstance(record, Recorded) else None
        if isinstance(event, PhaseChanged):
            self.changes[event.remediation] = event
            if event.outcome in (Outcome.REMEDIATED, Outcome.UNVERIFIED):
                self.completed[event.fingerprint] = event.now, event.remediation
        elif isinstance(event, RoutingDecided):
            came = self._signals.pop(event.signal, None)
            if isinstance(event.verdict, Duplicate):
                return
            self.verdicts[event.remediation] = event
            if came is not None:
                self.opened[event.remediation] = came

    def forgotten(self, remediation: Remediation) -> None:
        """Keep it for whoever asks, or let it go as well."""
        if self._keep:
            self.gone[remediation.id] = remediation
            return
        for table in (self.verdicts, self.changes, self.opened, self.starts):
            table.pop(remediation.id, None)

    def known(self, view: Projection) -> dict[RemediationId, Remediation]:
        """Every remediation that there was."""
        return {**self.gone, **view.remediations}
