"""The ends of runs that nobody had begun: who leads writes one where the remediation is over, or time is up.

An executor may write on the same subject, and what it writes there is folded: so one for nothing is a fault."""

from collections.abc import Iterator
from datetime import datetime

from remediation_orchestrator.events import (
    ExecutionId,
    PhaseChanged,
    Recorded,
    RoutingDecided,
    StoredMessage,
    WorkflowRevoked,
)
from remediation_orchestrator.events.codec import Attributes, attributes_of
from remediation_orchestrator.events.identity import position_key
from remediation_orchestrator.orchestrator.frames import revocation_attributes
from remediation_orchestrator.orchestrator.routing.projection import Projection

from .envelopes import wrong_around
from .findings import Drift, Finding
from .leaders import Leaders

NOT_OURS = "of who has led"
_TYPE = f'"{WorkflowRevoked.__name__}.v1"'.encode()


class Revocations:
    """Until when each run may begin, and whether it is to be ended, as the log has decided."""

    def __init__(self, leaders: Leaders) -> None:
        self._leaders = leaders
        self._until: dict[ExecutionId, datetime | None] = {}
        """None where it is to be ended at once."""
        self._read: dict[int, Attributes | None] = {}
        """What stands around those that are not folded yet."""

    def resume(self, view: Projection) -> None:
        """Begin where a projection stands."""
        self._until = {run.execution: None if run.ending else run.start_before for run in view.runs.values()}

    def take(self, message: StoredMessage) -> None:
        """Read the next record about a run."""
        if _TYPE in message.payload:
            self._read[message.sequence] = attributes_of(message.payload)

    def decided(self, decision: RoutingDecided | PhaseChanged) -> None:
        """A run was decided, or is to be ended."""
        if decision.execution is not None:
            self._until[decision.execution] = (
                decision.start_before if isinstance(decision, RoutingDecided) else None
            )

    def forget(self, execution: ExecutionId) -> None:
        """A run is over."""
        self._until.pop(execution, None)

    def folded(self, record: Recorded, fact: WorkflowRevoked, *, fits: bool, is_open: bool) -> Iterator[Finding]:
        """One has been folded, at its moment; where it does not fit it has changed nothing."""
        place = record.position
        found = self._read.pop(position_key(place)[0], None)
        if not fits:
            return
        limit = self._until.pop(fact.execution, None)
        now = max(record.recorded_at, found.time) if found is not None else record.recorded_at
        if limit is not None and now <= limit:
            yield Finding(place, Drift.CAUSE, f"nothing has asked for the end of {fact.execution}")
        if is_open:
            yield Finding(place, Drift.FENCE, f"the end of {fact.execution} expects another record before it")
        by = found.source if found is not None and self._leaders.may_have_written(found.source) else NOT_OURS
        at = record.recorded_at if found is None else found.time
        yield from wrong_around(place, revocation_attributes(fact, by, at), found)
