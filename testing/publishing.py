"""Where a fact goes, for whoever tells one in a test."""

from typing import TypeVar

import msgspec

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    CellName,
    Fact,
    OperatorFact,
    SignalReceived,
    SignalResolved,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
    subjects,
)

T = TypeVar("T")

SOURCE = "test"
OPERATOR = "ann"
"""Who acts where a test names nobody."""


def signed(fact: T) -> T:
    """A fact as it is; an operator's that says of nobody is by `ann`."""
    if isinstance(fact, OperatorFact) and not fact.by:
        return msgspec.structs.replace(fact, by=OPERATOR)
    return fact


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
