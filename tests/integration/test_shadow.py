"""A policy in shadow on a real cell: put there, counted, adopted by the command line."""

import asyncio
import json
from pathlib import Path

import yaml
from cell import bare, findings, orchestrator, running, tell, wait_for
from click.testing import CliRunner, Result
from nats.aio.client import Client

from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.cli.main import main
from remediation_orchestrator.events import (
    CellName,
    CreateWorkflow,
    ExecutionId,
    RoutingDecided,
    ShadowDecided,
    WorkflowFailed,
    WorkflowStarted,
    subjects,
)


async def ro(*arguments: object) -> Result:
    """Run a verb, beside this event loop."""
    return await asyncio.to_thread(CliRunner().invoke, main, [str(one) for one in arguments])


async def test_a_policy_goes_from_shadow_into_force(
    server: EmbeddedServer, connection: Client, log: JetStreamLog, cell: CellName, tmp_path: Path
) -> None:
    """It is refused twice, differs once, is adopted, and audit has nothing to say."""
    there = ("--nats", server.url, "--cell", cell)
    file = tmp_path / "policy.yaml"
    file.write_text(yaml.safe_dump({"routing": {"backoff_base": "5m"}}))
    async with running(await orchestrator(connection, cell)):
        assert (await ro("policy", "adopt", "--shadow", "--reason", "x", *there)).exit_code == 1
        assert (await ro("policy", "shadow", "--off", "--reason", "x", *there)).exit_code == 1
        put = await ro("policy", "shadow", file, "--reason", "try it", "--json", *there)
        assert put.exit_code == 0, put.stderr
        again = await ro("policy", "shadow", file, "--reason", "try it", *there)
        assert (again.exit_code, "in shadow already" in again.stderr) == (1, True)
        signal = await log.append(subjects.signal(cell, "test"), bare(resolves=True))
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow))
        run = ExecutionId(f"wfe-{signal}")
        await tell(log, WorkflowStarted(run), run)
        await tell(log, WorkflowFailed(run, idempotent=True), run)
        await wait_for(log, lambda event: isinstance(event, ShadowDecided))
        report = json.loads((await ro("policy", "shadow", "--report", "--json", *there)).stdout)
        assert (report["policy"], report["standing"]) == (json.loads(put.stdout)["digest"], True)
        assert (report["judged"], report["differing"]) == (2, 1)
        adopted = await ro("policy", "adopt", "--shadow", "--reason", "it waits long enough", "--json", *there)
        assert json.loads(adopted.stdout)["digest"] == report["policy"]
        await wait_for(log, lambda event: isinstance(event, RoutingDecided) and event.attempt == 3)
        assert not json.loads((await ro("policy", "shadow", "--report", "--json", *there)).stdout)["standing"]
    assert await findings(log) == []
