"""The projection: everything that routing knows, folded from the log and from nothing else.

The tables are mutable and belong to the fold (`facts`, `decisions`); the values in them are frozen.
What is worked off from the front is an OrderedDict: to find its first, a dict would walk over all that is gone.
Nothing here judges: `situation` only gathers what the checks will read."""

import heapq
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from datetime import datetime

from remediation_orchestrator.events import (
    Because,
    Cause,
    ExecutionId,
    Fingerprint,
    Phase,
    Position,
    RemediationId,
    RetryRequested,
    SignalResolved,
    Situation,
    Target,
)
from remediation_orchestrator.events.identity import execution_id

from .memory import LOOKS, Memory
from .state import (
    Answer,
    Archive,
    HalfDone,
    Judge,
    Owed,
    Remediation,
    Run,
    Serve,
    Task,
    TaskKey,
    Tell,
    Unjudged,
    after,
)


class Projection(Memory):
    """The state of a cell at one place of its log."""

    def __init__(self, forgotten: Callable[[Remediation], None] | None = None) -> None:
        super().__init__(forgotten)
        self.runs: dict[ExecutionId, Run] = {}
        self.holders: dict[Target, ExecutionId] = {}
        self.queues: dict[Target, dict[RemediationId, None]] = {}
        """Who waits for each target, in the order of being blocked. There are many, and each is short."""
        self.half_done: dict[tuple[Target, str], HalfDone] = {}
        self.unjudged: OrderedDict[Position, Unjudged] = OrderedDict()
        self.waiting: dict[Fingerprint, deque[Position]] = {}
        """The unjudged of each fingerprint, in the order of the log."""
        self.asked: Counter[RemediationId] = Counter()
        """How many of the unjudged are retries of a remediation."""
        self.agenda: OrderedDict[TaskKey, Task] = OrderedDict()
        """What facts have made necessary and no record has answered yet, in their order."""
        self.owed: dict[tuple[str, str], Owed] = {}
        """Commands and revocations, by kind and id."""
        self._timers: list[tuple[datetime, int, str]] = []

    # -- reading ---------------------------------------------------------------------------------------

    def active(self, fingerprint: Fingerprint) -> Remediation | None:
        """The remediation that is at this problem."""
        at_it = self.history(fingerprint).active
        return None if at_it is None else self.remediations[at_it]

    def holder(self, target: Target) -> Run | None:
        """The run that holds a target."""
        execution = self.holders.get(target)
        return None if execution is None else self.runs[execution]

    def ahead(self, remediation: RemediationId, target: Target) -> tuple[RemediationId | None, int]:
        """Who is first in the target's queue before this remediation, and how many are; itself not counted."""
        queue = self.queues.get(target)
        if not queue:
            return None, 0
        first = next(iter(queue))
        if first == remediation:
            return None, 0
        if remediation not in queue:
            return first, len(queue)
        return first, next(place for place, other in enumerate(queue) if other == remediation)

    def situation(self, remediation: Remediation, now: datetime, active: RemediationId | None) -> Situation:
        """Gather every value that a check reads. Where another remediation is active, nothing else is read."""
        if active is not None:
            return self.situation_beside(remediation.fingerprint, remediation.target, now, active)
        history = self.remembered(remediation.fingerprint, now)
        key = (remediation.target, remediation.workflow.id) if remediation.workflow else None
        done = self.remembered_of(key, now) if key else None
        half_done = self.half_done.get(key) if key else None
        holder = self.holder(remediation.target)
        first, before = self.ahead(remediation.id, remediation.target)
        return Situation(
            now=now,
            policy=self.policy.digest,
            fingerprint=remediation.fingerprint,
            target=remediation.target,
            workflow=key[1] if key else None,
            resolves=remediation.kind.resolves,
            occurred_at=remediation.occurred_at,
            queued=remediation.waited(now),
            previous_failure=half_done.remediation if half_done else None,
            failures=history.failures,
            last_failure_at=history.last_failure_at,
            completed_at=history.completed_at,
            completed_by=history.completed_by,
            workflow_completed_at=done.completed_at if done else None,
            workflow_completed_by=done.completed_by if done else None,
            held_by=holder.remediation if holder else None,
            queue_first=first,
            queue_ahead=before,
        )

    def situation_beside(
        self, fingerprint: Fingerprint, target: Target, now: datetime, active: RemediationId
    ) -> Situation:
        """All that a check reads of a problem that another remediation is at."""
        return Situation(now=now, policy=self.policy.digest, fingerprint=fingerprint, target=target, active=active)

    def next_run(self, remediation: Remediation) -> ExecutionId:
        """The id of a remediation's next run, which nobody has spoken of yet."""
        number = remediation.runs + 1
        spoilt = self.spoilt.get(remediation.id, ())
        while (execution := execution_id(remediation.signal, number)) in spoilt:
            number += 1
        return execution

    def blocked(self) -> list[Remediation]:
        """All that wait in Blocked, the oldest first."""
        waiting = [one for one in self.remediations.values() if one.phase is Phase.BLOCKED]
        return sorted(waiting, key=lambda one: one.order)

    # -- what is to be done ----------------------------------------------------------------------------

    def ask(self, task: Task) -> None:
        """Put a task on the agenda. One of the same kind about the same thing stands already: that one stays."""
        self.agenda.setdefault(task_key(task), task)

    def tell(self, tell: Tell) -> None:
        """Have readers told of a remediation's phase; the newest one, where several wait to be told."""
        key = task_key(tell)
        self.agenda.pop(key, None)
        self.agenda[key] = tell

    def drop(self, kind: type[Task], about: str | Target) -> None:
        """Take a task off the agenda, if it is there."""
        self.agenda.pop((kind, about), None)

    def await_verdict(self, occurrence: Unjudged) -> None:
        """Let an occurrence wait for its turn to be judged."""
        self.unjudged[occurrence.position] = occurrence
        self.waiting.setdefault(occurrence.fingerprint, deque()).append(occurrence.position)
        if isinstance(occurrence.event, RetryRequested):
            self.asked[occurrence.event.remediation] += 1

    def settle(self, occurrence: Unjudged) -> Unjudged | None:
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

    # -- targets ---------------------------------------------------------------------------------------

    def claim(self, run: Run) -> None:
        """Give a run its target."""
        self.runs[run.execution] = run
        self.holders[run.target] = run.execution
        self.drop(Serve, run.target)
        self.wake(after(run.start_before), run.order, run.execution)

    def release(self, run: Run, position: Position | None) -> None:
        """End a run's hold on its target, and have the queue served if anybody waits."""
        del self.runs[run.execution]
        if self.holders.get(run.target) == run.execution:
            del self.holders[run.target]
            if self.queues.get(run.target):
                self.ask(Serve(run.target, Because(Cause.RELEASED, position)))

    def enqueue(self, remediation: Remediation) -> None:
        """Let a remediation wait for its target, behind all that wait already."""
        self.queues.setdefault(remediation.target, {})[remediation.id] = None

    def dequeue(self, remediation: Remediation) -> None:
        """Let a remediation wait no longer."""
        queue = self.queues.get(remediation.target)
        if queue is None or remediation.id not in queue:
            return
        del queue[remediation.id]
        if not queue:
            del self.queues[remediation.target]
            self.drop(Serve, remediation.target)

    # -- time ------------------------------------------------------------------------------------------

    def wake(self, at: datetime, order: int, about: RemediationId | ExecutionId) -> None:
        """Remember to look at a remediation or a run at a moment."""
        heapq.heappush(self._timers, (at, order, about))

    def reach(self, moment: datetime) -> None:
        """A record of this moment is being folded: let go what is over, moments that nobody waits for among it."""
        super().reach(moment)
        looks = LOOKS
        while looks and self._timers and self._timers[0][0] <= self.newest and not self._waits(*self._timers[0]):
            heapq.heappop(self._timers)
            looks -= 1

    def next_wakeup(self) -> datetime | None:
        """When something becomes due that no fact will tell; None where nothing waits for time to pass."""
        due = self.next_due()
        return None if due is None else due[0]

    def next_due(self, by: datetime | None = None) -> tuple[datetime, str] | None:
        """What becomes due next, and when: the earlier first, then the older. With `by` nothing that is later."""
        while self._timers and (by is None or self._timers[0][0] <= by):
            if self._waits(*self._timers[0]):
                return self._timers[0][0], self._timers[0][2]
            heapq.heappop(self._timers)
        return None

    def take_due(self, now: datetime) -> str | None:
        """Take the id of what is due next; None where nothing is."""
        due = self.next_due(now)
        if due is None:
            return None
        heapq.heappop(self._timers)
        return due[1]

    def is_timed(self, about: str, at: datetime) -> bool:
        """Whether something is to be looked at at exactly this moment."""
        return self._timer(about) == at

    def _waits(self, at: datetime, _order: int, about: str) -> bool:
        return self._timer(about) == at

    def _timer(self, about: str) -> datetime | None:
        run = self.runs.get(ExecutionId(about))
        if run is not None:
            return self._run_timer(run)
        remediation = self.remediations.get(RemediationId(about))
        if remediation is None or remediation.until is None or remediation.phase.ended:
            return None
        return remediation.until if remediation.phase is Phase.BLOCKED else after(remediation.until)

    def _run_timer(self, run: Run) -> datetime | None:
        if run.lost:
            return run.released_at
        remediation = self.remediations.get(run.remediation)
        if (
            remediation is None
            or remediation.phase is not Phase.EXECUTING
            or remediation.execution != run.execution
        ):
            return None
        return after(run.deadline if run.started else run.start_before)

    def resume(self, newest: datetime) -> None:
        """The tables have been filled from a snapshot: set the clocks that follow from them."""
        self.newest = newest
        self.plan_forgetting()
        self._timers = []
        for run in self.runs.values():
            self._resume_timer(run.execution, run.order)
        for remediation in self.remediations.values():
            self._resume_timer(remediation.id, remediation.order)
        heapq.heapify(self._timers)

    def _resume_timer(self, about: str, order: int) -> None:
        at = self._timer(about)
        if at is not None:
            self._timers.append((at, order, about))

    def is_spoken_of(self, remediation: Remediation) -> bool:
        """Whether something of a remediation that has ended is still to be judged or told."""
        return remediation.id in self.asked or (Tell, remediation.id) in self.agenda

    def tables(self) -> dict[str, object]:
        """Every table, to hold one projection against another; timers follow from them."""
        self.forget()
        return {name: value for name, value in vars(self).items() if not name.startswith("_") and name != "newest"}


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
