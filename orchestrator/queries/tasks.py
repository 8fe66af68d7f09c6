"""What nobody has answered, as an audit names it: the place in the log that asks for it, and the words."""

from remediation_orchestrator.events import Position
from remediation_orchestrator.orchestrator.routing.judge import Following
from remediation_orchestrator.orchestrator.routing.state import Answer, Archive, Judge, Serve, Task, Tell, Unjudged


def place_of(task: Task) -> Position:
    """The record because of which a task is to be done."""
    match task:
        case Answer():
            return task.position
        case Archive():
            return task.record.position
        case Tell():
            return task.change.because.position or Position("0")
        case Judge() | Serve():
            return task.because.position or Position("0")


def describe(task: Task) -> str:
    """What is to be done, for a person."""
    match task:
        case Answer():
            return "a rejection"
        case Archive():
            return f"the archive of all through {task.record.through}"
        case Tell():
            return f"{task.change.remediation} {task.change.phase}"
        case Judge():
            return f"a verdict on {task.remediation}"
        case Serve():
            return f"the queue of {task.target}"


def asked(one: Following) -> str:
    """What had to be decided, for a person."""
    match one.about:
        case Unjudged():
            return f"the verdict on {one.about.position}"
        case tuple():
            return f"{one.about[1]}, due at {one.about[0].isoformat()},"
        case task:
            return describe(task)
