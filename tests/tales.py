"""Tales of one remediation, `rr-2`: every way to every phase of a life, each in a log as a cell would write it."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from story import CELL, CHECKOUT, STEADY, minute
from written import SOURCE, WrittenLog

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    ApprovalGranted,
    ApprovalRejected,
    Decision,
    ExecutionId,
    Fact,
    Phase,
    PolicyAdopted,
    Reason,
    Recorded,
    RemediationCancelled,
    RemediationId,
    RetryRequested,
    Undecodable,
    VerificationEnded,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRef,
    WorkflowRevoked,
    WorkflowStarted,
    decode,
    encode,
    fingerprint_of,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.events.identity import plan_of
from remediation_orchestrator.orchestrator.frames import Batch
from remediation_orchestrator.orchestrator.queries.chronicle import Chronicle
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.lifecycle import Happening
from remediation_orchestrator.testing.publishing import signed

ONE, RUN, AGAIN = RemediationId("rr-2"), ExecutionId("wfe-2"), ExecutionId("wfe-2-r2")
RESTART = WorkflowRef("restart")
PLAN = plan_of(RESTART, CHECKOUT)
PROBLEM = fingerprint_of(CHECKOUT, "KubePodCrashLooping")


class Log(WrittenLog):
    """A log of which most is about one remediation, `rr-2`."""

    def fires(self, at: float = 0, **more: object) -> "Log":
        """Its problem is there."""
        self.signal(at, **more)  # type: ignore[arg-type]
        return self

    def tell(self, at: float, *facts: Fact) -> "Log":
        """Facts, and what is decided on them."""
        for fact in map(signed, facts):
            self.fact(at, subject_of(fact), fact)
        return self

    def leave(self, at: float, *facts: Fact) -> "Log":
        """Facts on which nobody has decided yet."""
        for fact in map(signed, facts):
            attributes = Attributes(id=f"{len(self.messages)}", source=SOURCE, time=minute(at))
            subject = subject_of(fact)
            self.store(at, subject, encode(fact, attributes), self.expecting(subject))
        return self

    def until(self, at: float) -> "Log":
        """Time passes, and what is due is decided."""
        self.decide(at)
        return self

    def resolves(self, at: float) -> "Log":
        """Its source says that it is over."""
        self.signal(at, status="resolved")
        return self

    def begins(self, at: float = 1, run: ExecutionId = RUN) -> "Log":
        """An executor begins its run."""
        return self.tell(at, WorkflowStarted(run, "e1"))

    def fails(self, at: float = 2, execution: str = RUN, **more: object) -> "Log":  # type: ignore[override]
        """Its run fails half-way."""
        return self.tell(at, WorkflowFailed(ExecutionId(execution), **{**HALFWAY, **more}))  # type: ignore[arg-type]

    def read(self) -> tuple[Fold, Chronicle]:
        """All of it, folded."""
        chronicle = Chronicle()
        fold = Fold(chronicle)
        for message in self.messages:
            fold.take(message)
        fold.fold_facts()
        return fold, chronicle


HALFWAY: dict[str, object] = {"reason": "TaskFailed", "was_execution_failure": True, "idempotent": True}


def subject_of(fact: Fact) -> str:
    """Where a fact belongs."""
    match fact:
        case AnalysisCompleted() | AnalysisFailed():
            return subjects.analysis(CELL, fact.remediation)
        case WorkflowStarted() | WorkflowCompleted() | WorkflowFailed() | WorkflowRevoked():
            return subjects.execution(CELL, fact.execution)
        case _:
            return subjects.operator(CELL, fact)  # type: ignore[arg-type]


def analysing() -> Log:
    """It is being analysed."""
    return Log().fires(workflow=None)


def asking() -> Log:
    """A person is asked."""
    return analysing().tell(1, AnalysisCompleted(ONE, None, RESTART, approval_required=True))


def behind() -> Log:
    """Another problem's run holds its target, and its executor has begun it."""
    log = (
        Log().fires(workflow=None).fires(0.5, name="Other").tell(0.75, WorkflowStarted(ExecutionId("wfe-5"), "e1"))
    )
    return log.tell(1, AnalysisCompleted(ONE, None, WorkflowRef("scale")))


def excluded() -> dict[str, object]:
    """A policy that keeps away from the target."""
    return {**STEADY, "scope": {"exclude": [{"target": {"namespace": "shop"}}]}}


def late() -> Log:
    """A signal of a source that does not resolve, on which nobody decides for twenty minutes."""
    log = Log()
    log.store(0, subjects.signal(CELL, "test"), b'{"name":"A","target":{"name":"checkout"}}')
    return log.until(20)


def exhausted() -> Log:
    """Five runs that failed."""
    log = Log().fires().begins().fails(1)
    for run, at in enumerate((3.0, 6.0, 70.0, 140.0), start=2):
        execution = f"wfe-2-r{run}"
        log.until(at).begins(at, ExecutionId(execution)).fails(at, execution)
    return log


def rested() -> Log:
    """Three runs that failed."""
    third = ExecutionId("wfe-2-r3")
    first = Log().fires().begins().fails()
    return first.until(3).begins(3, AGAIN).fails(4, AGAIN).until(6).begins(6, third).fails(7, third)


def running() -> Log:
    """A run that somebody has begun."""
    return Log().fires().begins()


def completed(*, resolves: bool = True) -> Log:
    """A run that has completed."""
    return Log().fires(resolves=resolves).begins().tell(2, WorkflowCompleted(RUN))


def verifying(log: Log | None = None, *, resolves: bool = True, **numbers: object) -> Log:
    """A run that has completed, and has to show that it has helped."""
    told = {"within": "30m", "settle": "1m", "chain": 3, "chain_window": "4h", **numbers}
    adopted = (log or Log()).fires(resolves=resolves).tell(0, PolicyAdopted({**STEADY, "verification": told}))
    return adopted.begins().tell(2, WorkflowCompleted(RUN))


class Piecemeal(Log):
    """A log whose rounds are stored in frames of one decision each, so that it may end within one."""

    def batches(self, decisions: Sequence[Decision], now: datetime) -> Iterator[Batch]:
        """One frame a decision."""
        for decision in decisions:
            yield from super().batches([decision], now)


def in_vain() -> Log:
    """A repair that has not helped: nobody has judged its remediation again yet."""
    log = verifying(Piecemeal()).until(33)
    found = [VerificationEnded in map(_kind, decode(message)) for message in log.messages]
    del log.messages[found.index(True) + 1 :]
    return log


def _kind(record: Recorded | Undecodable) -> type:
    return type(record.event) if isinstance(record, Recorded) else Undecodable


Way = Happening | tuple[Happening, Phase | Reason]
TALES: dict[Way, tuple[Callable[[], Log], float]] = {
    Happening.TO_BE_ANALYSED: (analysing, 1),
    Happening.TO_BE_RUN: (lambda: Log().fires(), 1),
    (Happening.BLOCKED, Reason.EXPONENTIAL_BACKOFF): (lambda: running().fails(), 2.5),
    (Happening.BLOCKED, Reason.CONSECUTIVE_FAILURES): (rested, 8),
    (Happening.BLOCKED, Reason.RECENTLY_REMEDIATED): (lambda: completed().tell(3, RetryRequested(ONE)), 3.5),
    (Happening.BLOCKED, Reason.RESOURCE_BUSY): (behind, 2),
    (Happening.SKIPPED, Reason.STALE_SIGNAL): (late, 21),
    (Happening.SKIPPED, Reason.UNMANAGED_RESOURCE): (
        lambda: running().fails().tell(2.5, PolicyAdopted(excluded(), by="me")),
        3,
    ),
    (Happening.SKIPPED, Reason.RECENTLY_REMEDIATED): (
        lambda: completed(resolves=False).tell(3, RetryRequested(ONE)),
        3.5,
    ),
    (Happening.REFUSED, Reason.EXHAUSTED_RETRIES): (exhausted, 141),
    (Happening.REFUSED, Reason.PREVIOUS_EXECUTION_FAILED): (lambda: running().fails(idempotent=False), 3),
    Happening.WORKFLOW_CHOSEN: (lambda: analysing().leave(1, AnalysisCompleted(ONE, None, RESTART)), 2),
    Happening.APPROVAL_WANTED: (asking, 2),
    Happening.NONE_FITS: (lambda: analysing().tell(1, AnalysisCompleted(ONE)), 2),
    Happening.ANALYSIS_FAILED: (lambda: analysing().tell(1, AnalysisFailed(ONE)), 1.5),
    Happening.APPROVED: (lambda: asking().leave(2, ApprovalGranted(ONE, PLAN)), 3),
    Happening.REJECTED: (lambda: asking().tell(2, ApprovalRejected(ONE)), 3),
    Happening.RUN_COMPLETED: (completed, 3),
    Happening.RUN_TO_VERIFY: (verifying, 3),
    Happening.VERIFIED: (lambda: verifying().resolves(10).until(11), 12),
    Happening.INEFFECTIVE: (in_vain, 33),
    Happening.INEFFECTIVE_FOR_GOOD: (lambda: verifying().resolves(33), 34),
    (Happening.REFUSED, Reason.INEFFECTIVE_CHAIN): (lambda: verifying(chain=1).until(33), 34),
    (Happening.CANCELLED, Phase.VERIFYING): (lambda: verifying().tell(3, RemediationCancelled(ONE)), 4),
    Happening.RUN_FAILED: (lambda: running().leave(2, WorkflowFailed(RUN)), 3),
    Happening.RUN_FAILED_FOR_GOOD: (lambda: Log().fires(resolves=False).begins().fails(), 4),
    Happening.RUN_REVOKED: (lambda: Log().fires().leave(5.5, WorkflowRevoked(RUN)), 6),
    (Happening.RESOLVED, Phase.PENDING): (
        lambda: asking().leave(2, ApprovalGranted(ONE, PLAN)).resolves(3).until(3),
        4,
    ),
    (Happening.RESOLVED, Phase.BLOCKED): (lambda: running().fails().resolves(2.5), 4),
    (Happening.RESOLVED, Phase.ANALYZING): (lambda: analysing().resolves(1), 2),
    (Happening.RESOLVED, Phase.AWAITING_APPROVAL): (lambda: asking().resolves(2), 3),
    (Happening.RESOLVED, Phase.EXECUTING): (lambda: Log().fires().resolves(1), 2),
    (Happening.CANCELLED, Phase.PENDING): (
        lambda: asking().leave(2, ApprovalGranted(ONE, PLAN), RemediationCancelled(ONE)).until(3),
        4,
    ),
    (Happening.CANCELLED, Phase.BLOCKED): (lambda: running().fails().tell(2.5, RemediationCancelled(ONE)), 4),
    (Happening.CANCELLED, Phase.ANALYZING): (lambda: analysing().tell(1, RemediationCancelled(ONE)), 2),
    (Happening.CANCELLED, Phase.AWAITING_APPROVAL): (lambda: asking().tell(2, RemediationCancelled(ONE)), 3),
    (Happening.CANCELLED, Phase.EXECUTING): (lambda: running().tell(2, RemediationCancelled(ONE)), 3),
    (Happening.TOO_LATE, Phase.ANALYZING): (lambda: analysing().until(11), 13),
    (Happening.TOO_LATE, Phase.AWAITING_APPROVAL): (lambda: asking().until(17), 18),
    (Happening.TOO_LATE, Phase.EXECUTING): (lambda: running().until(31), 32),
}
"""Every way to a phase, and a tale that goes it: where it makes a difference, from which phase or why."""
