"""What nobody has answered, as an audit names it: the place in the log that asks for it, and the words."""

from remediation_orchestrator.events import Position
from remediation_orchestrator.orchestrator.routing.judge import Turn
from remediation_orchestrator.orchestrator.routing.state import (
    ArchiveTask,
    JudgeTask,
    RejectTask,
    ServeTask,
    Task,
    TellTask,
    Unjudged,
)


def place_of(task: Task) -> Position:
    """The record because of which a task is to be done."""
    match task:
        case RejectTask():
            return task.position
        case ArchiveTask():
            return task.record.position
        case TellTask():
            return task.change.because.position or Position("0")
        case JudgeTask() | ServeTask():
            return task.because.position or Position("0")


def describe(task: Task) -> str:
    """What is to be done, for a person."""
    match task:
        case RejectTask():
            return "a rejection"
        case ArchiveTask():
            return f"the archive of all through {task.record.through}"
        case TellTask():
            return f"{task.change.remediation} {task.change.phase}"
        case JudgeTask():
            return f"a verdict on {task.remediation}"
        case ServeTask():
            return f"the queue of {task.target}"


def asked(one: Turn) -> str:
    """What had to be decided, for a person."""
    match one.about:
        case Unjudged():
            return f"the verdict on {one.about.position}"
        case tuple():
            return f"{one.about[1]}, due at {one.about[0].isoformat()},"
        case task:
            return describe(task)
