"""The task list: what facts have made necessary and no record has answered yet, in their order."""

from collections import OrderedDict

from remediation_orchestrator.events import Target

from .state import ArchiveTask, JudgeTask, RejectTask, ServeTask, Task, TaskKey, TellTask


class TaskList:
    """Tasks, each once. It is worked off from the front, as the occurrences are."""

    def __init__(self) -> None:
        self.tasks: OrderedDict[TaskKey, Task] = OrderedDict()

    def ask(self, task: Task) -> None:
        """Put a task on the list. One of the same kind about the same thing stands already: that one stays."""
        self.tasks.setdefault(task_key(task), task)

    def tell(self, tell: TellTask) -> None:
        """Have readers told of a remediation's phase; the newest one, where several wait to be told."""
        self.drop(TellTask, tell.change.remediation)
        self.tasks[task_key(tell)] = tell

    def drop(self, kind: type[Task], about: str | Target) -> None:
        """Take a task off it, if it is there."""
        self.tasks.pop((kind, about), None)


def task_key(task: Task) -> TaskKey:
    """Return what makes a task the same as another: its kind and what it is about."""
    match task:
        case JudgeTask():
            return JudgeTask, task.remediation
        case ServeTask():
            return ServeTask, task.target
        case TellTask():
            return TellTask, task.change.remediation
        case RejectTask():
            return RejectTask, task.position
        case ArchiveTask():
            return ArchiveTask, task.record.position
