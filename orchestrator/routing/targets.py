"""Targets: which run holds each, who waits in its line, and what was left half-changed there."""

from collections.abc import Callable, Iterable

from remediation_orchestrator.events import ExecutionId, Fingerprint, RemediationId, Target

from .state import HalfDone, HeldRun, Remediation


class Targets:
    """One holder and one line for each target. There are many lines, and each is short."""

    def __init__(self) -> None:
        self.runs: dict[ExecutionId, HeldRun] = {}
        """Every run as long as it holds its target; one that a foreign decision has displaced, too."""
        self.holders: dict[Target, ExecutionId] = {}
        self.queues: dict[Target, dict[RemediationId, None]] = {}
        """Who waits for each target, in the order of being blocked."""
        self.half_done: dict[tuple[Target, str], HalfDone] = {}

    def holder(self, target: Target) -> HeldRun | None:
        """The run that holds a target."""
        execution = self.holders.get(target)
        return None if execution is None else self.runs[execution]

    def claim(self, run: HeldRun) -> None:
        """Give a run its target."""
        self.runs[run.execution] = run
        self.holders[run.target] = run.execution

    def renew(self, run: HeldRun) -> None:
        """Know this of a run from now on."""
        self.runs[run.execution] = run

    def restore(
        self,
        *,
        holders: Iterable[tuple[Target, ExecutionId]] = (),
        queues: Iterable[tuple[Target, dict[RemediationId, None]]] = (),
        half_done: Iterable[tuple[tuple[Target, str], HalfDone]] = (),
    ) -> None:
        """Know some of what was written down."""
        self.holders.update(holders)
        self.queues.update(queues)
        self.half_done.update(half_done)

    def release(self, run: HeldRun) -> bool:
        """End a run's hold on its target; whether its line is to be served."""
        del self.runs[run.execution]
        if self.holders.get(run.target) != run.execution:
            return False
        del self.holders[run.target]
        return run.target in self.queues

    def enqueue(self, remediation: Remediation) -> None:
        """Let a remediation wait for its target, behind all that wait already."""
        self.queues.setdefault(remediation.target, {})[remediation.id] = None

    def dequeue(self, remediation: Remediation) -> bool:
        """Let a remediation wait no longer; whether nobody waits there any more."""
        queue = self.queues.get(remediation.target)
        if queue is None or remediation.id not in queue:
            return False
        del queue[remediation.id]
        if not queue:
            del self.queues[remediation.target]
        return not queue

    def first(self, target: Target) -> RemediationId:
        """Who waits at the front of a target's line."""
        return next(iter(self.queues[target]))

    def ahead(self, remediation: RemediationId, target: Target) -> tuple[RemediationId | None, int]:
        """Who is first in the target's line before this remediation, and how many are; itself not counted."""
        queue = self.queues.get(target)
        if not queue:
            return None, 0
        first = next(iter(queue))
        if first == remediation:
            return None, 0
        if remediation not in queue:
            return first, len(queue)
        return first, next(place for place, other in enumerate(queue) if other == remediation)

    def leave(self, run: HeldRun, *, whole: bool) -> None:
        """Remember how a run left its target: half-changed until somebody clears it, or whole."""
        if whole:
            self.half_done.pop((run.target, run.workflow), None)
        else:
            self.half_done[run.target, run.workflow] = HalfDone(run.remediation, run.fingerprint)

    def clear_problem(self, fingerprint: Fingerprint) -> None:
        """Forget what the runs of one problem left half-changed."""
        self._clear(lambda key: self.half_done[key].fingerprint == fingerprint)

    def clear_target(self, target: Target, workflow: str | None) -> None:
        """Forget what was left half-changed on a target, by one workflow or by any."""
        self._clear(lambda key: key[0] == target and workflow in (None, key[1]))

    def _clear(self, cleared: Callable[[tuple[Target, str]], bool]) -> None:
        for key in [key for key in self.half_done if cleared(key)]:
            del self.half_done[key]
