"""The projection: everything that routing knows, folded from the log and from nothing else.

It has its parts, each with tables of its own: the retention (what has been, what fires, and for how long that
is known), the targets (who holds them, who waits in line), the occurrences without a verdict, the tasks, the
outbox and the timers. The tables belong to the fold (`facts`, `decisions`), and each is changed by its part alone;
the values in them are frozen, and others only read. Nothing here judges: `situation` only gathers what the checks
will read."""

from collections.abc import Callable, Mapping
from datetime import datetime

from remediation_orchestrator.events import (
    Because,
    Cause,
    ExecutionId,
    Fingerprint,
    Phase,
    Position,
    RemediationId,
    Situation,
    Target,
    Words,
    WorkflowRef,
)
from remediation_orchestrator.events.duplicates import situation_beside
from remediation_orchestrator.events.identity import execution_id

from .outbox import Outbox, OwedKey
from .policy import Policy
from .retention import LOOKS, Retention
from .schedule import Occurrences, TaskList, Timers
from .state import (
    FingerprintHistory,
    HalfDone,
    HeldRun,
    Owed,
    Remediation,
    ServeTask,
    Task,
    TaskKey,
    TellTask,
    Unjudged,
    WorkflowHistory,
    after,
)
from .targets import Targets
from .verification import IneffectiveChain


class Projection:
    """The state of a cell at one place of its log. `forgotten` is told of every remediation that is let go."""

    def __init__(self, forgotten: Callable[[Remediation], None] | None = None) -> None:
        self.retention = Retention(self._is_spoken_of, forgotten)
        self.targets = Targets()
        self.occurrences = Occurrences()
        self.task_list = TaskList()
        self.outbox = Outbox()
        self.timers = Timers(self._wanted)
        # The tables of the parts, to be read.
        self.remediations: Mapping[RemediationId, Remediation] = self.retention.remediations
        self.histories: Mapping[Fingerprint, FingerprintHistory] = self.retention.histories
        self.workflows: Mapping[tuple[Target, str], WorkflowHistory] = self.retention.workflows
        self.firing: Mapping[Fingerprint, Mapping[str, datetime]] = self.retention.alerts.firing
        self.chains: Mapping[Target, IneffectiveChain] = self.retention.chains.known
        self.spoilt: Mapping[RemediationId, set[ExecutionId]] = self.retention.spoilt
        self.runs: Mapping[ExecutionId, HeldRun] = self.targets.runs
        self.holders: Mapping[Target, ExecutionId] = self.targets.holders
        self.queues: Mapping[Target, Mapping[RemediationId, None]] = self.targets.queues
        self.half_done: Mapping[tuple[Target, str], HalfDone] = self.targets.half_done
        self.unjudged: Mapping[Position, Unjudged] = self.occurrences.unjudged
        self.tasks: Mapping[TaskKey, Task] = self.task_list.tasks
        self.owed: Mapping[OwedKey, Owed] = self.outbox.owed

    # -- reading ---------------------------------------------------------------------------------------

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.retention.policy

    @property
    def shadow(self) -> Policy | None:
        """The policy that judges beside it, without effect."""
        return self.retention.shadow

    @property
    def adopted(self) -> bool:
        """Whether any was adopted yet."""
        return self.retention.adopted

    @property
    def newest(self) -> datetime:
        """The latest moment of any record folded."""
        return self.retention.newest

    def history(self, fingerprint: Fingerprint) -> FingerprintHistory:
        """Return what a fingerprint has been through; nothing, if it was never heard of."""
        return self.retention.history(fingerprint)

    def active(self, fingerprint: Fingerprint) -> Remediation | None:
        """The remediation that is at this problem."""
        at_it = self.retention.history(fingerprint).active
        return None if at_it is None else self.remediations[at_it]

    def holder(self, target: Target) -> HeldRun | None:
        """The run that holds a target."""
        return self.targets.holder(target)

    def situation(self, remediation: Remediation, now: datetime, active: RemediationId | None) -> Situation:
        """Gather every value that a check reads. Where another remediation is active, nothing else is read."""
        if active is not None:
            said = (remediation.words, remediation.workflow) if self.retention.reads_signal else None
            where = remediation.target, remediation.within
            return self.situation_beside(remediation.fingerprint, where, now, active, said)
        history = self.retention.remembered(remediation.fingerprint, now)
        key = (remediation.target, remediation.workflow.id) if remediation.workflow else None
        done = self.retention.remembered_of(key, now) if key else None
        half_done = self.half_done.get(key) if key else None
        chain = self.retention.remembered_chain(remediation.target, now) if self.chains else ()
        holder = self.targets.holder(remediation.target)
        first, before = self.targets.ahead(remediation.id, remediation.target)
        return Situation(
            now=now,
            policy=self.retention.policy.digest,
            fingerprint=remediation.fingerprint,
            target=remediation.target,
            words=remediation.words if self.retention.reads_signal else None,
            within=remediation.within,
            workflow=key[1] if key else None,
            resolves=remediation.resolves,
            occurred_at=remediation.occurred_at,
            queued=remediation.waited(now),
            previous_failure=half_done.remediation if half_done else None,
            ineffective=tuple(one.at for one in chain),
            ineffective_of=chain[-1].remediation if chain else None,
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
        self,
        fingerprint: Fingerprint,
        where: tuple[Target, tuple[Target, ...]],
        now: datetime,
        active: RemediationId,
        said: tuple[Words, WorkflowRef | None] | None,
    ) -> Situation:
        """All that a check reads of a problem that another remediation is at; `said` where a matcher asks."""
        target, within = where
        words, workflow = said or (None, None)
        chosen = workflow.id if workflow is not None else None
        policy = self.retention.policy.digest
        return situation_beside(now, policy, fingerprint, target, active, (words, chosen), within)

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

    # -- what concerns more than one part --------------------------------------------------------------

    def claim(self, run: HeldRun) -> None:
        """Give a run its target."""
        self.targets.claim(run)
        self.task_list.drop(ServeTask, run.target)
        self.timers.wake(after(run.start_before), run.order, run.execution)

    def release(self, run: HeldRun, position: Position | None) -> None:
        """End a run's hold on its target, and have its line served if anybody waits."""
        if self.targets.release(run):
            self.task_list.ask(ServeTask(run.target, Because(Cause.RELEASED, position)))

    def dequeue(self, remediation: Remediation) -> None:
        """Let a remediation wait no longer."""
        if self.targets.dequeue(remediation):
            self.task_list.drop(ServeTask, remediation.target)

    def reach(self, moment: datetime) -> None:
        """A record of this moment is being folded: let go what is over, moments that nobody waits for among it."""
        self.retention.reach(moment)
        self.timers.let_go(self.retention.newest, LOOKS)

    def resume(self, newest: datetime) -> None:
        """The tables have been filled from a snapshot: set the clocks that follow from them."""
        self.retention.resume(newest)
        runs = ((run.order, run.execution) for run in self.runs.values())
        self.timers.begin([*runs, *((one.order, one.id) for one in self.remediations.values())])

    # -- time ------------------------------------------------------------------------------------------

    def next_wakeup(self) -> datetime | None:
        """When something becomes due that no fact will tell; None where nothing waits for time to pass."""
        due = self.timers.next_due()
        return None if due is None else due[0]

    def is_timed(self, about: str, at: datetime) -> bool:
        """Whether something is to be looked at at exactly this moment."""
        return self._wanted(about) == at

    def _wanted(self, about: str) -> datetime | None:
        run = self.runs.get(ExecutionId(about))
        if run is not None:
            return self._end_of(run)
        remediation = self.remediations.get(RemediationId(about))
        return None if remediation is None or remediation.phase.ended else remediation.due

    def _end_of(self, run: HeldRun) -> datetime | None:
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

    def _is_spoken_of(self, remediation: RemediationId) -> bool:
        return remediation in self.occurrences.asked or (TellTask, remediation) in self.tasks

    def tables(self) -> dict[str, object]:
        """Every table, to hold one projection against another; timers follow from them."""
        self.retention.forget()
        return {
            "policy": self.policy,
            "shadow": self.shadow,
            "adopted": self.adopted,
            "waiting": self.occurrences.waiting,
            "asked": self.occurrences.asked,
            **{name: table for name, table in vars(self).items() if isinstance(table, Mapping)},
        }
