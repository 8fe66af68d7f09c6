"""Golden logs of policies: what they keep away from, what they classify, and how one replaces another."""

from golden.steps import SHORT, completes, fails, objects, proceeds

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalyzeSignal,
    Block,
    Duplicate,
    PolicyAdopted,
    PolicyRejected,
    Position,
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
        {"severity": ["info", "unk*"], "target": {"namespace": "shop-*"}, "not": {"team": "payments"}},
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


async def classify(cell: Cell, url: str) -> None:
    """Rules classify what a signal says and see what was set; another policy classifies what comes later."""
    rules = [
        {"when": {"labels": {"app": "check*"}}, "set": {"team": "shop", "severity": "critical"}},
        {"when": {"team": "shop", "target": {"cluster": ""}}, "set": {"environment": "test", "severity": "Info"}},
    ]
    scope = {"exclude": [{"environment": "test", "severity": "info", "target": {"namespace": "none"}}]}
    policy = {**SHORT, "classify": rules, "scope": scope}
    labels = {"app": "checkout"}
    async with cell.orchestrated(policy_of(policy)):
        skipped = await cell.signal(target=Target("a", namespace="none"), labels=labels, severity="high")
        await objects(cell, skipped, 1, Skip, Reason.UNMANAGED_RESOURCE)
        plain = await cell.signal(target=Target("a", namespace="none"), severity="high")
        await proceeds(cell, plain)
        beside = await cell.signal(target=Target("a", namespace="none"), labels=labels)
        await objects(cell, beside, 1, Skip, Reason.UNMANAGED_RESOURCE)
        critical = await cell.signal(target=Target("b", "eu-1"), labels=labels, workflow=None, severity="page")
        asked = await cell.verdict(critical)
        assert (asked.severity, asked.situation.words and asked.situation.words.team) == ("critical", "shop")
        await cell.tell(PolicyAdopted({**policy, "classify": rules[1:]}, by="ops"))
        await cell.tell(AnalysisCompleted(remediation_id(critical), workflow=WorkflowRef("restart")))
        again = await cell.verdict(critical, attempt=2)
        assert again.situation.words == asked.situation.words
        later = await cell.verdict(await cell.signal(target=Target("c", "eu-1"), labels=labels, severity="page"))
        assert later.situation.words is not None
        assert later.situation.words.severity == "unknown"


async def policies(cell: Cell, url: str) -> None:
    """A policy is adopted, another is refused; whoever was blocked is judged again under the new one."""
    patient = {**SHORT, "routing": {**SHORT["routing"], "backoff_base": "10m", "backoff_cap": "1h"}}
    excluding = {**SHORT, "scope": {"exclude": [{"target": {"namespace": "kube-system"}}]}}
    async with cell.orchestrated(policy_of(patient)):
        first = await cell.signal(resolves=True)
        await proceeds(cell, first)
        await fails(cell, first)
        await objects(cell, first, 2, Block, Reason.EXPONENTIAL_BACKOFF)
        bad = await cell.tell(PolicyAdopted({"routing": {"retry_limit": 0}}, by="ops"))
        await cell.find(lambda one: isinstance(one, PolicyRejected) and one.position == bad)
        await cell.tell(PolicyAdopted(dict(excluding), replaces=policy_of(patient).digest, by="ops"))
        await proceeds(cell, first, 4 if await _blocked_again(cell, first) else 3, 2)
        await completes(cell, first, 2)
        excluded = await cell.signal(target=Target("coredns", namespace="kube-system"))
        await objects(cell, excluded, 1, Skip, Reason.UNMANAGED_RESOURCE)


async def _blocked_again(cell: Cell, signal: Position) -> bool:
    return isinstance((await cell.verdict(signal, attempt=3)).verdict, Block)
