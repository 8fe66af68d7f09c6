"""What the golden logs tell: each theme is a small story on a real cell, under a policy with short times.

A theme waits for what it needs to see, and ends when the last thing that it is about has been recorded."""

from collections.abc import Awaitable, Callable

import msgspec
from golden.outages import bad_records, executor, owed, takeover
from golden.repairs import clears, verification
from golden.scopes import classify, matchers, policies, within
from golden.steps import POLICY, SHORT, appears, completes, fails, objects, proceeds, reaches, starts

from remediation_orchestrator.events import (
    Alternative,
    AnalysisCompleted,
    AnalysisFailed,
    AnalyzeSignal,
    ApprovalGranted,
    ApprovalRejected,
    Block,
    BlockCleared,
    CancelWorkflow,
    Duplicate,
    FailureReason,
    Notify,
    Phase,
    PolicyAdopted,
    PolicyRejected,
    PolicyShadowed,
    Position,
    Proceed,
    Reason,
    Refuse,
    RemediationCancelled,
    RetryRequested,
    ShadowDecided,
    Skip,
    Target,
    WorkflowFailed,
    WorkflowRef,
    WorkflowRevoked,
    subjects,
)
from remediation_orchestrator.events.identity import execution_id, plan_of, remediation_id
from remediation_orchestrator.orchestrator.routing.policy import policy_of
from remediation_orchestrator.testing.cell import Cell


async def ladder(cell: Cell, url: str) -> None:
    """Two failures climb, the third blocks, a probe fails and another repairs; elsewhere the fifth is the last."""
    async with cell.orchestrated(POLICY):
        repaired, refused = [await cell.signal(target=name, resolves=True) for name in ("checkout", "cart")]
        for run in range(1, 6):
            for signal in (repaired, refused):
                await proceeds(cell, signal, 2 * run - 1, run)
                if (signal, run) != (repaired, 5):
                    await fails(cell, signal, run)
            reason = Reason.EXPONENTIAL_BACKOFF if run < 3 else Reason.CONSECUTIVE_FAILURES
            if run < 5:
                await objects(cell, refused, 2 * run, Block, reason)
        await completes(cell, repaired, 5)
        await objects(cell, refused, 10, Refuse, Reason.EXHAUSTED_RETRIES)
        await appears(cell, Notify, remediation_id(refused))


async def queue(cell: Cell, url: str) -> None:
    """Four problems of one target: never two runs at once, in the order in which they came."""
    async with cell.orchestrated(POLICY):
        first, second, third, fourth = [
            await cell.signal(name, workflow=f"repair-{name}", resolves=True) for name in ("A", "B", "C", "D")
        ]
        await proceeds(cell, first)
        for signal in (second, third, fourth):
            await objects(cell, signal, 1, Block, Reason.RESOURCE_BUSY)
        await completes(cell, first)
        await proceeds(cell, second, 2)
        await cell.signal("C", status="resolved")
        await reaches(cell, third, Phase.CANCELLED)
        await fails(cell, second)
        await proceeds(cell, fourth, 2)
        await objects(cell, second, 4, Block, Reason.RESOURCE_BUSY)
        await completes(cell, fourth)
        await proceeds(cell, second, 5, 2)
        await completes(cell, second, 2)


async def cooldowns(cell: Cell, url: str) -> None:
    """After a success the same problem waits or is skipped, and so does the same workflow on its target."""
    async with cell.orchestrated(POLICY):
        first = await cell.signal(resolves=True)
        await proceeds(cell, first)
        await completes(cell, first)
        skipped, waiting, other = [
            await cell.signal(),
            await cell.signal(resolves=True),
            await cell.signal("KubeDeploymentReplicasMismatch", resolves=True),
        ]
        for signal, kind in ((skipped, Skip), (waiting, Block), (other, Block)):
            await objects(cell, signal, 1, kind, Reason.RECENTLY_REMEDIATED)
        await objects(cell, waiting, 2, Block, Reason.RECENTLY_REMEDIATED)
        await proceeds(cell, waiting, 3)
        await completes(cell, waiting)
        unrelated = await cell.signal("KubeDeploymentReplicasMismatch", workflow="scale-up")
        await cell.verdict(unrelated)
        await cell.verdict(other, attempt=2)


async def duplicates(cell: Cell, url: str) -> None:
    """Repetitions are counted on the first, alone and in an array; a resolution ends what has not begun."""
    async with cell.orchestrated(POLICY):
        first = await cell.signal(resolves=True)
        await proceeds(cell, first)
        again = await cell.signal(resolves=True)
        await objects(cell, again, 1, Duplicate, Reason.DUPLICATE_IN_PROGRESS)
        body = {"name": "KubePodCrashLooping", "target": {"name": "checkout"}, "workflow": {"id": "restart"}}
        new = {"name": "HighLatency", "target": {"name": "cart"}, "workflow": {"id": "restart"}}
        array = await cell.publish(subjects.signal(cell.name, "test"), msgspec.json.encode([body, new, new]))
        await cell.verdict(Position(f"{array}-2"))
        await cell.signal(status="resolved", workflow=None)
        await appears(cell, WorkflowRevoked, execution_id(first, 1))
        second = await cell.signal(resolves=True)
        await proceeds(cell, second)
        await starts(cell, second)
        await cell.signal(status="resolved", workflow=None)
        await cell.signal(status="resolved", workflow=None, target="unheard-of")
        failed = WorkflowFailed(execution_id(second, 1), reason="TaskFailed", idempotent=True)
        await cell.tell(failed)
        await reaches(cell, second, Phase.FAILED)


async def alerts(cell: Cell, url: str) -> None:
    """Two alerts of one problem: it is over when both have resolved, and what has not begun is cancelled."""
    async with cell.orchestrated(POLICY):
        for status in ("firing", "resolved"):
            first = await cell.signal(resolves=True, alert="a")
            await proceeds(cell, first)
            again = await cell.signal(resolves=True, alert="b")
            await objects(cell, again, 1, Duplicate, Reason.DUPLICATE_IN_PROGRESS)
            await cell.signal(status="resolved", workflow=None, alert="a")
            if status == "resolved":  # A run that has begun goes on, and is not tried again when nothing fires.
                await starts(cell, first)
            await cell.signal(status="resolved", workflow=None, alert="b")
            if status == "resolved":
                await cell.tell(WorkflowFailed(execution_id(first, 1), reason="TaskFailed", idempotent=True))
            await reaches(cell, first, Phase.FAILED if status == "resolved" else Phase.CANCELLED)
        held = await cell.signal(target="cart", resolves=True, alert="a")
        await proceeds(cell, held)
        await cell.signal(target="cart", resolves=True, alert="b")
        await cell.signal(target="cart", status="resolved", workflow=None, alert="a")
        await cell.signal(target="cart", status="resolved", workflow=None)
        await reaches(cell, held, Phase.CANCELLED)
        open_ = await cell.signal(target="search", resolves=True, alert="a")
        await proceeds(cell, open_)
        await fails(cell, open_)
        await objects(cell, open_, 2, Block, Reason.EXPONENTIAL_BACKOFF)


async def storm(cell: Cell, url: str) -> None:
    """Problems repeat themselves in an array, mixed; in their midst one waits for its target, another proceeds."""
    async with cell.orchestrated(POLICY):
        first = await cell.signal(resolves=True)
        await proceeds(cell, first)
        await starts(cell, first)
        crash, slow = (
            {"name": name, "target": {"name": "checkout"}, "resolves": True, "workflow": {"id": "restart"}}
            for name in ("KubePodCrashLooping", "HighLatency")
        )
        other = {**crash, "target": {"name": "cart"}}
        bodies = [crash, crash, slow, crash, slow, slow, other, other, slow, crash]
        array = await cell.publish(subjects.signal(cell.name, "test"), msgspec.json.encode(bodies))
        await objects(cell, Position(f"{array}-9"), 1, Duplicate, Reason.DUPLICATE_IN_PROGRESS)
        await proceeds(cell, Position(f"{array}-6"))
        await cell.tell(WorkflowFailed(execution_id(first, 1), reason="TaskFailed", idempotent=True))
        await objects(cell, first, 2, Block, Reason.EXPONENTIAL_BACKOFF)
        await proceeds(cell, Position(f"{array}-2"), 2)
        await completes(cell, Position(f"{array}-6"))


async def revoked(cell: Cell, url: str) -> None:
    """Cancelled before the start and after it, nobody starts in time, and one that runs too long."""
    async with cell.orchestrated(POLICY):
        before = await cell.signal(target="before")
        await proceeds(cell, before)
        await cell.tell(RemediationCancelled(remediation_id(before), by="ops", reason="maintenance"))
        await appears(cell, WorkflowRevoked, execution_id(before, 1))
        during = await cell.signal(target="during")
        await proceeds(cell, during)
        await starts(cell, during)
        await cell.tell(RemediationCancelled(remediation_id(during), by="ops", reason="maintenance"))
        await appears(cell, CancelWorkflow, execution_id(during, 1))
        await cell.tell(WorkflowFailed(execution_id(during, 1), reason="TaskFailed", message="cancelled"))
        late, slow = await cell.signal(target="late", resolves=True), await cell.signal(target="slow")
        await proceeds(cell, slow)
        await starts(cell, slow)
        await proceeds(cell, late)
        await appears(cell, WorkflowRevoked, execution_id(late, 1))
        await proceeds(cell, late, 2, 2)
        await completes(cell, late, 2)
        await appears(cell, CancelWorkflow, execution_id(slow, 1))
        await cell.tell(WorkflowFailed(execution_id(slow, 1), reason=FailureReason.DEADLINE_EXCEEDED))
        await reaches(cell, slow, Phase.TIMED_OUT)
        await cell.verdict(await cell.signal(target="slow"))


async def lost(cell: Cell, url: str) -> None:
    """An executor is lost: its target stays held until an operator frees it, and nothing is run again over it."""
    async with cell.orchestrated(POLICY):
        first = await cell.signal(resolves=True)
        await proceeds(cell, first)
        waiting = await cell.signal("HighLatency", workflow="scale-up", resolves=True)
        await fails(cell, first, idempotent=False, reason=FailureReason.EXECUTOR_LOST)
        await objects(cell, first, 2, Refuse, Reason.PREVIOUS_EXECUTION_FAILED)
        await appears(cell, Notify, remediation_id(first))
        refused = await cell.signal(resolves=True)
        await objects(cell, refused, 1, Refuse, Reason.PREVIOUS_EXECUTION_FAILED)
        await cell.tell(BlockCleared(target=Target("checkout"), by="ops", reason="looked at it"))
        await proceeds(cell, waiting, 2)
        await completes(cell, waiting)
        after = await cell.signal(resolves=True)
        decided = await cell.verdict(after)
        await proceeds(cell, after, 1 if isinstance(decided.verdict, Proceed) else 2)
        await completes(cell, after)


async def analysis(cell: Cell, url: str) -> None:
    """Signals that name no workflow: one is found, none fits or is needed, an analyser fails or takes too long."""
    async with cell.orchestrated(POLICY):
        signals = [
            await cell.signal(target=name, workflow=None, severity=severity)
            for name, severity in (
                ("a", "high"),
                ("b", "high"),
                ("c", "critical"),
                ("d", "high"),
                ("e", "high"),
                ("f", "high"),
            )
        ]
        found, unfit, critical, failed, slow, needless = signals
        for signal in signals:
            await appears(cell, AnalyzeSignal, remediation_id(signal))
        await cell.tell(
            AnalysisCompleted(remediation_id(found), Target("a2"), WorkflowRef("restart", {"grace": 5}), 0.9)
        )
        await cell.tell(AnalysisCompleted(remediation_id(unfit)))
        await cell.tell(AnalysisCompleted(remediation_id(needless), no_action=True))
        await cell.tell(AnalysisCompleted(remediation_id(critical)))
        await cell.tell(AnalysisFailed(remediation_id(failed), reason="Unknown", message="no answer"))
        await proceeds(cell, found, 2)
        await completes(cell, found)
        await appears(cell, Notify, remediation_id(critical))
        await reaches(cell, slow, Phase.TIMED_OUT)
        await cell.tell(AnalysisCompleted(remediation_id(slow), None, WorkflowRef("restart")))
        again = await cell.signal(target="d", workflow=None)
        await cell.verdict(again)


async def another_way(cell: Cell, url: str) -> None:
    """What was tried twice in vain is tried otherwise, on another target; a late answer changes nothing."""
    numbers = {**SHORT["routing"], "runs_per_analysis": 2}
    async with cell.orchestrated(policy_of({**SHORT, "routing": numbers})):
        signal = await cell.signal(workflow=None, resolves=True)
        one = remediation_id(signal)
        await appears(cell, AnalyzeSignal, one)
        unsure = (Alternative("move", 0.2, "it has room elsewhere"),)
        restart = AnalysisCompleted(one, None, WorkflowRef("restart"), 0.8, analysis=one, analyser="model-1")
        await cell.tell(msgspec.structs.replace(restart, rationale="It hangs.", alternatives=unsure))
        await proceeds(cell, signal, 2)
        await fails(cell, signal)
        await proceeds(cell, signal, 4, 2)
        await fails(cell, signal, 2)
        again = await cell.find(lambda said: isinstance(said, AnalyzeSignal) and len(said.tried) == 2)
        assert isinstance(again.event, AnalyzeSignal)
        await cell.tell(restart)
        drain = AnalysisCompleted(one, Target("n1", kind="Node"), WorkflowRef("drain"), 0.4)
        await cell.tell(msgspec.structs.replace(drain, analysis=again.event.analysis))
        await proceeds(cell, signal, 7, 3)
        await completes(cell, signal, 3)
        after = await cell.signal("HighLatency", workflow=None)
        await appears(cell, AnalyzeSignal, remediation_id(after))


PLAN = plan_of(WorkflowRef("restart"), Target("checkout"))


async def approvals(cell: Cell, url: str) -> None:
    """Granted is judged by the whole list, rejected and expired count nothing."""
    async with cell.orchestrated(POLICY):
        signals = [await cell.signal(name, workflow=None, resolves=True) for name in ("A", "B", "C", "D")]
        granted, rejected, expired, busy = signals
        for signal in signals:
            await appears(cell, AnalyzeSignal, remediation_id(signal))
            chosen = AnalysisCompleted(remediation_id(signal), None, WorkflowRef("restart"), 0.6, True)
            await cell.tell(chosen)
            await reaches(cell, signal, Phase.AWAITING_APPROVAL)
        await cell.tell(ApprovalGranted(remediation_id(granted), PLAN, by="ops", reason="fine"))
        await proceeds(cell, granted, 2)
        await cell.tell(ApprovalGranted(remediation_id(busy), PLAN, by="ops", reason="fine"))
        await objects(cell, busy, 2, Block, Reason.RESOURCE_BUSY)
        await cell.tell(ApprovalRejected(remediation_id(rejected), by="ops", reason="not now"))
        await reaches(cell, rejected, Phase.FAILED)
        await reaches(cell, expired, Phase.TIMED_OUT)
        await cell.tell(ApprovalGranted(remediation_id(expired), PLAN, by="ops", reason="too late"))
        await completes(cell, granted)
        await objects(cell, busy, 3, Block, Reason.RECENTLY_REMEDIATED)
        await proceeds(cell, busy, 4)
        await cell.tell(RetryRequested(remediation_id(rejected), by="ops", reason="now"))
        await cell.find(lambda one: isinstance(one, AnalyzeSignal) and one.analysis == f"rr-{rejected}-r2")


async def shadow(cell: Cell, url: str) -> None:
    """A patient policy in shadow says otherwise of a failure, is adopted, and casts no shadow any more."""
    patient = policy_of({**SHORT, "routing": {**SHORT["routing"], "backoff_base": "10m", "backoff_cap": "1h"}})
    async with cell.orchestrated(POLICY):
        await cell.tell(PolicyShadowed(patient.document(), by="ops", reason="how many waits would be longer?"))
        bad = await cell.tell(PolicyShadowed({"routing": {"retry_limit": 0}}, by="ops"))
        await cell.find(lambda one: isinstance(one, PolicyRejected) and one.position == bad)
        first = await cell.signal(resolves=True)
        await proceeds(cell, first)
        await fails(cell, first)
        await cell.find(lambda one: isinstance(one, ShadowDecided) and (one.signal, one.attempt) == (first, 2))
        await proceeds(cell, first, 3, 2)
        await completes(cell, first, 2)
        await cell.tell(PolicyAdopted(patient.document(), replaces=POLICY.digest, by="ops", reason="promoted"))
        second = await cell.signal("Other", target="cart", resolves=True)
        await proceeds(cell, second)
        await fails(cell, second)
        await objects(cell, second, 2, Block, Reason.EXPONENTIAL_BACKOFF)


Theme = Callable[[Cell, str], Awaitable[None]]
THEMES: dict[str, Theme] = {
    "ladder": ladder,
    "queue": queue,
    "cooldowns": cooldowns,
    "duplicates": duplicates,
    "alerts": alerts,
    "storm": storm,
    "revoked": revoked,
    "executor-lost": lost,
    "analysis": analysis,
    "another-way": another_way,
    "approvals": approvals,
    "policy-adoption": policies,
    "matchers": matchers,
    "classify": classify,
    "within": within,
    "clears": clears,
    "shadow": shadow,
    "bad-records": bad_records,
    "takeover": takeover,
    "owed": owed,
    "executor": executor,
    "verification": verification,
}
