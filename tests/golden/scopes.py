"""Golden logs of what is kept away from: by what a signal says, a share, a workflow, and where a target stands."""

from golden.steps import SHORT, completes, objects, proceeds

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalyzeSignal,
    Duplicate,
    Proceed,
    Reason,
    Skip,
    Target,
    WorkflowRef,
)
from remediation_orchestrator.events.identity import remediation_id
from remediation_orchestrator.orchestrator.routing.policy import policy_of
from remediation_orchestrator.testing.cell import Cell


async def matchers(cell: Cell, url: str) -> None:
    """A scope keeps away from a share of problems, from what a signal says, and from a workflow once known."""
    scope = [
        {"severity": ["info", "?one"], "target": {"namespace": "shop-*"}, "not": {"team": "payments"}},
        {"workflow": "drain-*"},
        {"priority": "P5", "share": 0.5},
    ]
    async with cell.orchestrated(policy_of({**SHORT, "scope": {"exclude": scope}})):
        shop = Target("checkout", namespace="shop-eu")
        for severity, team in (("INFO", ""), ("none", "search")):
            skipped = await cell.signal(target=shop, severity=severity, team=team)
            await objects(cell, skipped, 1, Skip, Reason.UNMANAGED_RESOURCE)
        kept = await cell.signal(target=shop, severity="info", team="payments")
        await proceeds(cell, kept)
        again = await cell.signal(target=shop, severity="warning")
        await objects(cell, again, 1, Duplicate, Reason.DUPLICATE_IN_PROGRESS)
        beside = await cell.signal(target=shop, severity="info")
        await objects(cell, beside, 1, Skip, Reason.UNMANAGED_RESOURCE)
        await completes(cell, kept)
        analysed = await cell.signal(target="n1", workflow=None)
        await cell.find(lambda one: isinstance(one, AnalyzeSignal))
        await cell.tell(AnalysisCompleted(remediation_id(analysed), workflow=WorkflowRef("drain-node")))
        await objects(cell, analysed, 2, Skip, Reason.UNMANAGED_RESOURCE)
        for name in ("a", "b", "c", "d"):
            await cell.verdict(await cell.signal(name, target=name, priority="P5"))


async def within(cell: Cell, url: str) -> None:
    """Who keeps away from a node keeps away from what stands on it, said by a signal or found by an analysis."""
    scope = {"exclude": [{"target": {"kind": "Node", "name": "n1"}}]}
    node, other = [{"kind": "Node", "name": name} for name in ("n1", "n2")]
    async with cell.orchestrated(policy_of({**SHORT, "scope": scope})):
        skipped = await cell.signal(target="a", within=[node])
        await objects(cell, skipped, 1, Skip, Reason.UNMANAGED_RESOURCE)
        first = await cell.signal(target="b", within=[other, {"name": "b"}])
        await proceeds(cell, first)
        again = await cell.signal(target="b", within=[other])
        await objects(cell, again, 1, Duplicate, Reason.DUPLICATE_IN_PROGRESS)
        await completes(cell, first)
        for name, found, places in (
            ("c", None, None),
            ("d", Target("d"), None),
            ("e", None, (Target("n1", kind="Node"),)),
        ):
            analysed = await cell.signal(target=name, workflow=None, within=[other])
            remediation = remediation_id(analysed)
            await cell.find(lambda one, it=remediation: isinstance(one, AnalyzeSignal) and one.remediation == it)  # type: ignore[misc]
            await cell.tell(AnalysisCompleted(remediation, found, WorkflowRef("restart"), within=places))
            decided = await cell.verdict(analysed, attempt=2)
            assert isinstance(decided.verdict, Skip if name == "e" else Proceed)
            assert len(decided.situation.within) == (name != "d")
