"""Histories: facts in any order and near every boundary, told to a real orchestrator by a string of bytes.

Where a day is wide, with faults at every port, a history is dense: two targets, four problems, runs that say
anything at any time, policies whose durations run out within minutes, and a leader that is stopped and begins
again, from a snapshot or not. Any bytes tell one, so what breaks a promise is made smaller as any case is."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from remediation_orchestrator.bus.memory import FaultPoint, MemoryCell
from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    ApprovalGranted,
    ApprovalRejected,
    BlockCleared,
    CellName,
    ExecutionId,
    Fact,
    OperatorFact,
    Phase,
    PolicyAdopted,
    PolicyShadowed,
    RemediationCancelled,
    RemediationId,
    RetryRequested,
    SignalReceived,
    SignalResolved,
    WorkflowRef,
    encode,
    fingerprint_of,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.orchestrator.routing.effects import asked_plan
from remediation_orchestrator.orchestrator.routing.policy import policy_of
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.service import Orchestrator

from . import clock, histories_runs
from .checkers.log import compare_folds
from .histories_process import HistoryProcess, written_by_others
from .histories_rest import at_rest, broken, fresh
from .histories_tale import (
    ALERTS,
    DECADES,
    JUNK,
    NAMES,
    POLICIES,
    SHORT_MEMORY_SECONDS,
    TARGETS,
    WAITS,
    WORKFLOWS,
    OverError,
    Tale,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

CELL = CellName("main")
# Some hundred steps: what comes behind them says little more, and costs as much.
TOLD_MAX = 600
# Longer than any trouble, and than a lease lasts where the clock was set back.
REST_SECONDS = 900.0


class LivedHistory:
    """One history, while it lasts."""

    def __init__(self, told: bytes) -> None:
        self.tale = Tale(told)
        self._off = timedelta()
        self._facts = 0
        self._begun = 0
        self._first = self.tale.pick(POLICIES[:-1])
        self._stepped = False
        self._unsent = False
        self.runs: dict[ExecutionId, None] = {}
        self.wrong: list[str] = []

    async def live(self) -> list[str]:
        """Tell it to its end, and name every promise that was broken."""
        self.cell = MemoryCell(CELL, self.now)
        self._begin()
        beside = self.tale.pick((None, None, *POLICIES[:-1]))
        if beside is not None:
            self.act(PolicyShadowed(beside))
        with contextlib.suppress(OverError):
            while not self.wrong:
                await self._step()
        await self.settle()
        self.wrong += compare_folds("at the end", self._service.fold, fresh(self.cell, self._service.fold))
        await self._end()
        self.wrong += await broken(self.cell, self._begun, stepped=self._stepped, unsent=self._unsent)
        return self.wrong

    @property
    def _service(self) -> Orchestrator:
        return self.process.service

    def now(self) -> datetime:
        """What the broker's clock shows."""
        return clock.broker_now() + self._off

    # -- the orchestrator ------------------------------------------------------------------------------

    def _begin(self) -> HistoryProcess:
        self._begun += 1
        self.process = HistoryProcess(self.cell, f"o{self._begun}", policy_of(self._first))
        return self.process

    async def _end(self) -> None:
        troubled = self.process.troubled
        died = await self.process.end()
        self.wrong += [died] if died is not None else []
        if self.cell.leased.holder() is not None and not troubled:
            self.wrong.append(f"{self.process.name} has ended, and keeps the lease")

    async def settle(self) -> None:
        """Let it read, judge, store and send all that there is."""
        seconds, waited = 0.02, 0.0
        while waited < REST_SECONDS:
            await asyncio.sleep(seconds)
            waited += seconds
            seconds *= 1.2
            fold = self._service.fold
            read = fold.read == len(self.cell.messages) and not fold.facts and not self.process.deciding
            if (
                self._service.active.is_set()
                and read
                and not (fold.view.tasks or fold.view.unjudged or fold.view.owed)
            ):
                sure = not (self._stepped or self.process.was_troubled)
                self.wrong += at_rest(self._service, self.cell, self.now() if sure else None)
                return
        self.wrong.append(f"not at rest after {REST_SECONDS:g} seconds: owed {list(self.view.owed)[:3]}")

    async def _restart(self) -> None:
        """Another begins, from what stands beside the log; sometimes that was written by other sources."""
        others = self.tale.pick((False, False, True))
        await self.settle()
        limit = self.view.next_wakeup()
        await self._end()
        if others:
            await written_by_others(self.cell)
        await histories_runs.unled(self, limit, UNLED)
        self._begin()
        await self.settle()
        live = self._service.fold
        self.wrong += compare_folds(f"begun again as {self.process.name}", live, fresh(self.cell, live))

    # -- what happens ----------------------------------------------------------------------------------

    async def _step(self) -> None:
        step = self.tale.pick(STEPS)
        await step(self)
        for execution in self.view.runs:
            self.runs[execution] = None

    @property
    def view(self) -> Projection:
        """What the orchestrator knows."""
        return self._service.fold.view

    def store(self, subject: str, payload: bytes) -> None:
        """Somebody publishes bytes."""
        newest = self.cell.newest(subject)
        behind = (newest.sequence if newest else 0) if subjects.parse(subject).family.is_fenced else None
        self.cell.store(subject, payload, behind, None)

    def tell(self, fact: Fact, subject: str) -> None:
        """Somebody tells a fact."""
        self._facts += 1
        self.store(subject, encode(fact, Attributes(id=f"fact-{self._facts}", source="/told", time=self.now())))

    def act(self, fact: OperatorFact) -> None:
        """A person acts."""
        said = msgspec.structs.replace(fact, by="op")
        self.tell(said, subjects.operator(CELL, said))

    async def wait(self) -> None:
        """Time passes; or just so much that the next thing is due, or is not quite."""
        seconds = self.tale.pick((*WAITS, -1.0))
        due = self.view.next_wakeup()
        if seconds < 0 and due is not None:
            seconds = max((due - self.now()).total_seconds(), 0.0) + self.tale.pick((-0.001, 0.0, 0.001))
        await asyncio.sleep(max(seconds, 0.0))
        if self.tale.pick((False, True)):
            await self.settle()

    def _signal(self) -> SignalReceived:
        pick = self.tale.pick
        name, workflow = pick(NAMES), pick(WORKFLOWS)
        chosen = WorkflowRef(workflow) if workflow is not None else None
        severity = "critical" if name == "M" else "info"
        target, resolves, alert = pick(TARGETS), pick((True, False)), pick(ALERTS)
        return SignalReceived(name, target, severity=severity, resolves=resolves, workflow=chosen, alert=alert)

    async def fire(self) -> None:
        """A source fires, perhaps several times in one message."""
        signals = [self._signal() for _ in range(self.tale.pick((1, 1, 1, 2, 5)))]
        self.store(subjects.signal(CELL, "told"), msgspec.json.encode(signals if len(signals) > 1 else signals[0]))

    async def resolve(self) -> None:
        """A source says that it is over."""
        over = SignalResolved(self.tale.pick(NAMES), self.tale.pick(TARGETS), alert=self.tale.pick(ALERTS))
        self.tell(over, subjects.signal(CELL, "told"))

    def _remediation(self) -> RemediationId:
        known = list(self.view.remediations)[-6:]
        return self.tale.pick(known) if known else RemediationId("rr-404")

    async def analyse(self) -> None:
        """An analyser answers, or cannot."""
        pick = self.tale.pick
        waiting = [one.id for one in self.view.remediations.values() if one.phase is Phase.ANALYZING]
        newest = pick((False, False, True)) or not waiting
        name = self._remediation() if newest else pick(waiting)
        chosen = pick(WORKFLOWS)
        workflow = WorkflowRef(chosen) if chosen is not None else None
        moved, asks = pick((None, None, *TARGETS)), pick((False, False, True))
        answers = name if asks else ""  # That is the first one, be it the newest or not.
        said: Fact = AnalysisCompleted(name, moved, workflow, None, asks, asks, analysis=answers)
        if pick((False, False, True)):
            said = AnalysisFailed(name)
        self.tell(said, subjects.analysis(CELL, name))

    async def operate(self) -> None:
        """A person acts on a remediation."""
        name = self._remediation()
        known = self.view.remediations.get(name)
        plan = asked_plan(known) if known is not None else ""
        acts: tuple[OperatorFact, ...] = (
            *(ApprovalGranted(name, plan), ApprovalRejected(name), RetryRequested(name)),
            *(RemediationCancelled(name), RetryRequested(name)),
        )
        self.act(self.tale.pick(acts))

    async def clear(self) -> None:
        """A person forgives a problem, or a target."""
        pick = self.tale.pick
        target, by = pick(TARGETS), pick(("F", "T", "both"))
        fingerprint = fingerprint_of(target, pick(NAMES)) if by != "T" else None
        self.act(BlockCleared(fingerprint, target if by != "F" else None, pick((None, "w"))))

    async def adopt(self) -> None:
        """A person changes the policy, puts one beside it, or both; perhaps when a memory has just run out."""
        pick = self.tale.pick
        await asyncio.sleep(pick((0.0, 0.0, SHORT_MEMORY_SECONDS)))
        which = pick(("adopt", "adopt", "shadow", "both"))
        if which != "shadow":
            self.act(PolicyAdopted(pick(POLICIES)))
        if which != "adopt":
            self.act(PolicyShadowed(pick((*POLICIES, None))))

    async def stamp(self) -> None:
        """The broker's clock is set by a little, or shows another decade while something is stored."""
        off = self.tale.pick((timedelta(seconds=-90), timedelta(seconds=40), DECADES, DECADES))
        self._off += off
        self._stepped = True
        if off == DECADES:
            await self.tale.pick(FACTS)(self)
            self._off -= off

    async def overtaken(self) -> None:
        """While a frame of it is under way another of its name, which was begun in its place, takes the fence."""
        if self.process.troubled:
            return
        self.process.meanwhile = self._take_the_fence
        await self.fire()
        await self.settle()

    async def _take_the_fence(self, subject: str) -> None:
        if subject == subjects.decision(CELL):
            self.process.meanwhile = None
            self._begun += 2  # It leads once more when the other has gone.
            other = HistoryProcess(self.cell, self.process.name, policy_of(self._first))
            await other.service.active.wait()
            died = await other.end()
            self.wrong += [died] if died is not None else []

    def lose(self, moment: FaultPoint, seconds: float, only: str) -> None:
        """From now on, and for so long, nothing that is stored there arrives, or is answered."""
        self._unsent = self._unsent or only != ""
        self.process.fail(moment, seconds, only)

    async def trouble(self) -> None:
        """For a while nothing that it stores arrives, or no command does, or nothing is answered."""
        seconds = self.tale.pick((0.1, 1.0, 5.0, 70.0, 100.0))
        moment, only = (
            self.tale.pick((FaultPoint.STORE, FaultPoint.ANSWER)),
            self.tale.pick(("", ".command.", ".execution.")),
        )
        self.lose(moment, seconds, only)

    async def junk(self) -> None:
        """The server's answer to somebody's question is stored where frames and commands stand."""
        execution = self.tale.pick([*list(self.runs)[-3:], ExecutionId("wfe-404")])
        for subject in (subjects.decision(CELL), f"ro.{CELL}.command.workflow.{execution}"):
            self.store(subject, JUNK)

    async def again(self) -> None:
        """The orchestrator ends, and another begins."""
        if self.tale.pick((True, False)):
            await self._restart()


Step = Callable[[LivedHistory], "Coroutine[object, object, None]"]
FACTS: tuple[Step, ...] = (histories_runs.run, LivedHistory.fire, LivedHistory.resolve)
UNLED: tuple[Step, ...] = (*FACTS, LivedHistory.operate, LivedHistory.operate, LivedHistory.analyse)
STEPS: tuple[Step, ...] = (
    *(LivedHistory.wait,) * 7,
    *(LivedHistory.fire,) * 5,
    *(histories_runs.run,) * 5,
    *(histories_runs.together,) * 3,
    *(
        LivedHistory.resolve,
        LivedHistory.resolve,
        LivedHistory.analyse,
        LivedHistory.analyse,
        LivedHistory.operate,
        LivedHistory.operate,
    ),
    *(
        LivedHistory.clear,
        LivedHistory.adopt,
        LivedHistory.adopt,
        LivedHistory.stamp,
        LivedHistory.again,
        LivedHistory.trouble,
        LivedHistory.junk,
    ),
    *(histories_runs.race, histories_runs.unrevoked, LivedHistory.overtaken),
)


def tell(told: bytes) -> Iterator[str]:
    """Live through a history, and name every promise that it breaks."""
    yield from clock.run(LivedHistory(told[:TOLD_MAX]).live())
