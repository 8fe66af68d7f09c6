"""What is sent stands behind what asks for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from remediation_orchestrator.events import (
    AnalyzeSignal,
    CancelWorkflow,
    CreateWorkflow,
    DecisionFrame,
    PhaseChanged,
    Proceed,
    RoutingDecided,
    WorkflowStarted,
)

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


def check_nothing_is_sent_of_what_is_over(day: "Day") -> Iterator[str]:
    """What was over in the frame that let it run, or be analysed, is never commanded."""
    owed: dict[tuple[int, str], str] = {}
    over: dict[str, str] = {}
    for record in day.records:
        match record.event:
            case RoutingDecided(remediation=remediation, verdict=Proceed()) as decided:
                owed[sequence_of(record), remediation] = decided.execution or decided.analysis or ""
            case PhaseChanged(remediation=remediation, phase=phase) if phase.ended:
                what = owed.get((sequence_of(record), remediation))
                if what is not None:
                    over[what] = record.position
            case CreateWorkflow(execution=what) | AnalyzeSignal(analysis=what) if what in over:
                yield f"{record.position} commands {what}, which was over in its own round, at {over[what]}"
            case _:
                pass
