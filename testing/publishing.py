"""Where a fact goes, for whoever tells one in a test."""

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    CellName,
    Fact,
    SignalReceived,
    SignalResolved,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
    subjects,
)

SOURCE = "test"


def subject_of(cell: CellName, fact: Fact) -> str:
    """The subject on which a fact belongs."""
    match fact:
        case SignalReceived() | SignalResolved():
            return subjects.signal(cell, SOURCE)
        case AnalysisCompleted() | AnalysisFailed():
            return subjects.analysis(cell, fact.remediation)
        case WorkflowStarted() | WorkflowCompleted() | WorkflowFailed() | WorkflowRevoked():
            return subjects.execution(cell, fact.execution)
        case _:
            return subjects.operator(cell, fact)
