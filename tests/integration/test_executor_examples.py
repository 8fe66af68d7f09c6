"""The examples do what they say, on any machine."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from executors import all_facts, create, executor, publish, reaches

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import (
    AnalyzeSignal,
    CellName,
    Fingerprint,
    Position,
    RemediationId,
    Target,
    WorkflowCompleted,
    WorkflowFailed,
)
from remediation_orchestrator.executor.analyser import choose
from remediation_orchestrator.executor.catalog import load_catalog

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_every_example_workflow_is_whole() -> None:
    """And the catalog analyser finds the restart for both names of the alert."""
    catalog = load_catalog(EXAMPLES / "workflows")
    assert catalog.problems == ()
    for name in ("PodCrashLooping", "KubePodCrashLooping"):
        command = AnalyzeSignal(
            analysis="rr-1",
            remediation=RemediationId("rr-1"),
            fingerprint=Fingerprint("f"),
            signal=Position("1"),
            name=name,
            severity="critical",
            target=Target(name="checkout", kind="Deployment"),
            deadline=datetime.now(UTC) + timedelta(minutes=1),
            decided_at=Position("2"),
        )
        chosen = choose(catalog.workflows.values(), command)
        assert chosen is not None
        assert chosen.spec.id == "restart-deployment"


async def test_the_example_workflows_run_without_a_cluster(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The restart says what it would do; the one that fails, fails half-way."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "find", "head"):
        (tools / tool).symlink_to(f"/bin/{tool}")
    # No test may find a real kubectl, and a real cluster behind it.
    monkeypatch.setenv("PATH", str(tools))
    for number, workflow in enumerate(("restart-deployment", "always-fails", "clear-disk"), 1):
        await publish(log, create(number, workflow))
    async with executor(server.url, log.cell, EXAMPLES / "workflows"):
        restarted, failed, cleared = [(await reaches(log, number, 2))[1] for number in (1, 2, 3)]
    assert isinstance(restarted, WorkflowCompleted)
    assert "rollout restart deployment/checkout" in restarted.output
    assert isinstance(failed, WorkflowFailed)
    assert (failed.reason, failed.exit_code, failed.was_execution_failure) == ("TaskFailed", 3, True)
    assert isinstance(cleared, WorkflowCompleted)


async def test_a_users_own_executor_claims_runs_and_reports(tmp_path: Path) -> None:
    """In under thirty lines; what was taken before is left alone."""
    command = (sys.executable, "own_executor.py")
    server = EmbeddedServer(tmp_path / "server").start()
    try:
        async with connected(server.url) as client:
            log = await JetStreamLog.ensure(client, CellName("main"))
            environment = os.environ | {"NATS_URL": server.url}
            own = await asyncio.create_subprocess_exec(*command, cwd=EXAMPLES, env=environment)
            try:
                for number in (1, 2):
                    await publish(log, create(number, "anything"))
                    await publish(log, create(number, "anything"))
                ended = [(await reaches(log, number, 2))[1] for number in (1, 2)]
                assert all(isinstance(one, WorkflowCompleted) for one in ended)
                await publish(log, create(3, "anything"))
                await reaches(log, 3, 2)
                told = (await all_facts(log)).values()
                assert all(one == ["WorkflowStarted", "WorkflowCompleted"] for one in told)
            finally:
                own.kill()
                await own.wait()
    finally:
        server.stop()
