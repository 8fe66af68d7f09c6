"""Tests of routing, to copy into a project of yours.

    pip install "remediation-orchestrator[testing]" && pytest

`ro_story` needs no broker and no time; `ro_orchestrator` starts a real server, and works with any asyncio plugin
or, as here, with none."""

import asyncio

import pytest

from remediation_orchestrator.events import Block, Proceed, Reason, RemediationId, Skip, Target
from remediation_orchestrator.testing.story import minute

DATABASE = Target("orders", cluster="eu-1", namespace="shop", kind="StatefulSet")


def test_a_failed_restart_is_tried_again_after_a_minute(ro_story):
    """Given a failure, when a minute has passed, then it runs again."""
    signal = ro_story.signal(0, "KubePodCrashLooping")
    ro_story.failed(0.5, f"wfe-{signal}")
    assert ro_story.verdict == Block(Reason.EXPONENTIAL_BACKOFF, until=minute(1.5))
    ro_story.wait(1.5)
    assert ro_story.verdict == Proceed()


def test_two_problems_of_one_database_never_run_at_once(ro_story):
    """The second waits in the target's queue, whatever its workflow."""
    first = ro_story.signal(0, "HighLatency", target=DATABASE, workflow="scale-up")
    ro_story.signal(1, "DiskAlmostFull", target=DATABASE, workflow="vacuum")
    assert ro_story.verdict == Block(Reason.RESOURCE_BUSY, of=RemediationId(f"rr-{first}"), queue_position=1)
    ro_story.completed(2, f"wfe-{first}")
    assert ro_story.verdict == Proceed()


@pytest.mark.ro_policy({"scope": {"exclude": [{"target": {"kind": "StatefulSet"}}]}})
def test_our_policy_keeps_away_from_databases(ro_story):
    """A policy of ours: a mapping, or the path of its file beside this one."""
    ro_story.signal(0, target=DATABASE)
    assert ro_story.verdict == Skip(Reason.UNMANAGED_RESOURCE)


def test_a_signal_is_decided_on_a_real_server(ro_orchestrator):
    """The real thing: an embedded server, a cell of this test's own, an orchestrator in this event loop."""

    async def story():
        async with ro_orchestrator as cell:
            signal = await cell.signal("KubePodCrashLooping", target=DATABASE, workflow="restart")
            assert (await cell.verdict(signal)).verdict == Proceed()
            assert await cell.findings() == []

    asyncio.run(story())
