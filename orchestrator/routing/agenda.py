"""The agenda: what facts have made necessary and no record has answered yet, in their order."""

from collections import OrderedDict

from remediation_orchestrator.events import Target

from .state import Answer, Archive, Judge, Serve, Task, TaskKey, Tell


class Agenda:
    """Tasks, each once. It is worked off from the front, as the occurrences are."""

    def __init__(self) -> None:
        self.tasks: OrderedDict[TaskKey, Task] = OrderedDict()

    def ask(self, task: Task) -> None:
        """Put a task on the agenda. One of the same kind about the same thing stands already: that one stays."""
        self.tasks.setdefault(task_key(task), task)

    def tell(self, tell: Tell) -> None:
        """Have readers told of a remediation's phase; the newest one, where several wait to be told."""
        self.drop(Tell, tell.change.remediation)
        self.tasks[task_key(tell)] = tell

    def drop(self, kind: type[Task], about: str | Target) -> None:
        """Take a task off the agenda, if it is there."""
        self.tasks.pop((kind, about), None)


def task_key(task: Task) -> TaskKey:
    """Return what makes a task the same as another: its kind and what it is about."""
    match task:
        case Judge():
            return Judge, task.remediation
        case Serve():
            return Serve, task.target
        case Tell():
            return Tell, task.change.remediation
        case Answer():
            return Answer, task.position
        case Archive():
            return Archive, task.record.position
