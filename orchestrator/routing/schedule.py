"""What is still to be looked at: occurrences without a verdict and tasks in the order of the log, and what becomes
due or is over by its moment.

No record has moments, and no snapshot: they follow from the projection. A moment is put down whenever one may have
come about, and counts when its time has come only if something still waits for exactly that moment: so nothing
ever has to be found and taken out."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from heapq import heapify, heappop, heappush

from remediation_orchestrator.events import (
    Fingerprint,
    Position,
    RemediationId,
    RetryRequested,
    SignalResolved,
    Target,
)
from remediation_orchestrator.events.durations import EPOCH, later

from .state import ArchiveTask, JudgeTask, RejectTask, ServeTask, Task, TaskKey, TellTask, Unjudged, VerifyTask


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
        case VerifyTask():
            return VerifyTask, task.remediation
        case RejectTask():
            return RejectTask, task.position
        case ArchiveTask():
            return ArchiveTask, task.record.position


class Occurrences:
    """What waits to be judged, in the order of the log, and in a line of its own for each problem.

    It is worked off from the front, so it is an OrderedDict: to find its first, a dict would walk over all that
    is gone."""

    def __init__(self) -> None:
        self.unjudged: OrderedDict[Position, Unjudged] = OrderedDict()
        self.waiting: dict[Fingerprint, deque[Position]] = {}
        """The unjudged of each fingerprint, in the order of the log."""
        self.asked: Counter[RemediationId] = Counter()
        """How many of them are retries of a remediation."""

    def wait(self, occurrence: Unjudged) -> None:
        """Let an occurrence wait for its turn to be judged."""
        self.unjudged[occurrence.position] = occurrence
        self.waiting.setdefault(occurrence.fingerprint, deque()).append(occurrence.position)
        if isinstance(occurrence.event, RetryRequested):
            self.asked[occurrence.event.remediation] += 1

    def answer(self, occurrence: Unjudged) -> Unjudged | None:
        """An occurrence has its verdict. Return the resolution that waited right behind it, if one did."""
        del self.unjudged[occurrence.position]
        if isinstance(occurrence.event, RetryRequested):
            of = occurrence.event.remediation
            self.asked[of] -= 1
            if not self.asked[of]:
                del self.asked[of]
        line = self.waiting[occurrence.fingerprint]
        line.remove(occurrence.position)
        if not line:
            del self.waiting[occurrence.fingerprint]
            return None
        following = self.unjudged[line[0]]
        return following if isinstance(following.event, SignalResolved) else None


MINUTE = timedelta(minutes=1)

Memo = Fingerprint | RemediationId | Target | tuple[Target, str]

Due = tuple[datetime, int, str]
"""When, the order among equals (the smaller the older), and the id of what is to be looked at."""


class Timers:
    """Moments at which something becomes due. `wanted` says for which moment something waits now, if for any."""

    def __init__(self, wanted: Callable[[str], datetime | None]) -> None:
        self._wanted = wanted
        self.heap: list[Due] = []

    def wake(self, at: datetime, order: int, about: str) -> None:
        """Remember to look at something at a moment."""
        heappush(self.heap, (at, order, about))

    def next_due(self, by: datetime | None = None) -> tuple[datetime, str] | None:
        """What becomes due next, and when: the earlier first, then the older. With `by` nothing that is later."""
        while self.heap and (by is None or self.heap[0][0] <= by):
            at, _, about = self.heap[0]
            if self._wanted(about) == at:
                return at, about
            heappop(self.heap)
        return None

    def take_due(self, now: datetime) -> None:
        """Take away what is due next, if anything is by now."""
        if self.next_due(now) is not None:
            heappop(self.heap)

    def let_go(self, newest: datetime, looks: int) -> None:
        """Look at so many that have passed, and let go those that nobody waits for."""
        while looks and self.heap and self.heap[0][0] <= newest:
            if self._wanted(self.heap[0][2]) == self.heap[0][0]:
                return
            heappop(self.heap)
            looks -= 1

    def begin(self, waiting: Iterable[tuple[int, str]]) -> None:
        """Begin anew with all that may wait, each by its order and id."""
        found = ((self._wanted(about), order, about) for order, about in waiting)
        self.heap = [(at, order, about) for at, order, about in found if at is not None]
        heapify(self.heap)


def minute_after(at: datetime) -> datetime:
    """The end of a moment's minute: one value for all that happens in it."""
    return _minute((at - EPOCH) // MINUTE + 1)


@lru_cache(maxsize=16)
def _minute(number: int) -> datetime:
    return later(EPOCH, number * MINUTE)


class ExpiryQueue:
    """What is to be looked at, by the minute after which its time is over: a reference for each, and no more."""

    def __init__(self) -> None:
        self._by_minute: dict[int, list[Memo]] = {}
        self._minutes: list[int] = []
        self.next_at: datetime | None = None
        """When the first minute is over."""

    def add(self, at: datetime, key: Memo) -> None:
        """Look at this once a moment has passed."""
        minute = (at - EPOCH) // MINUTE
        keys = self._by_minute.get(minute)
        if keys is None:
            self._by_minute[minute] = keys = []
            heappush(self._minutes, minute)
            self.next_at = later(EPOCH, (self._minutes[0] + 1) * MINUTE)
        keys.append(key)

    def due(self, now: datetime, most: int | None) -> Iterator[Memo]:
        """Take what is to be looked at by now, so many at most."""
        while self.next_at is not None and self.next_at <= now and most != 0:
            keys = self._by_minute[self._minutes[0]]
            while keys and most != 0:
                most = None if most is None else most - 1
                yield keys.pop()
            if not keys:
                del self._by_minute[heappop(self._minutes)]
                self.next_at = later(EPOCH, (self._minutes[0] + 1) * MINUTE) if self._minutes else None
