"""What is sent stands behind what asks for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from remediation_orchestrator.events import CancelWorkflow, DecisionFrame, WorkflowStarted

from .reading import sequence_of

if TYPE_CHECKING:
    from remediation_orchestrator.simulation.world import Day


def check_cancels_are_covered(day: "Day") -> Iterator[str]:
    """A run is cancelled because it has begun, and so behind a frame that covers its start."""
    covered, begun = 0, dict[str, int]()
    for record in day.records:
        match record.event:
            case DecisionFrame(as_of=as_of):
                covered = max(covered, as_of)
            case WorkflowStarted(execution=execution):
                begun.setdefault(execution, sequence_of(record))
            case CancelWorkflow(execution=execution) if begun.get(execution, 0) > covered:
                yield f"{execution} is cancelled at {record.position}, and no frame covers its start"
            case _:
                pass
