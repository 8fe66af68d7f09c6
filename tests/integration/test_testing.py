"""The plugin's fixtures on the real server, as a user's test has them."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from click.testing import CliRunner

from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.cli.export import verb as export
from remediation_orchestrator.events import (
    Block,
    CreateWorkflow,
    ExecutionId,
    OrchestratorStarted,
    Proceed,
    Reason,
    WorkflowFailed,
    WorkflowStarted,
)
from remediation_orchestrator.orchestrator.queries.case import Case
from remediation_orchestrator.testing.cell import Cell


async def test_an_empty_cell_has_a_log_and_nobody_who_decides(ro_cell: AbstractAsyncContextManager[Cell]) -> None:
    """What is published stands there, and nothing else."""
    async with ro_cell as cell:
        assert await cell.events() == []
        place = await cell.signal()
        assert [message.sequence for message in await cell.messages()] == [int(place)]


async def test_an_orchestrator_decides_in_the_test_s_own_event_loop(
    ro_orchestrator: AbstractAsyncContextManager[Cell],
) -> None:
    """A signal becomes a command, and the log is audited without a finding."""
    async with ro_orchestrator as cell:
        decided = await cell.verdict(await cell.signal())
        assert decided.verdict == Proceed()
        await cell.find(lambda event: isinstance(event, CreateWorkflow))
        assert await cell.findings() == []


@pytest.mark.ro_policy({"routing": {"backoff_base": "7m", "jitter": 0.0}})
async def test_the_marker_s_policy_is_in_force(ro_orchestrator: AbstractAsyncContextManager[Cell]) -> None:
    """In full, the keys that it leaves out by their defaults."""
    async with ro_orchestrator as cell:
        started = (await cell.find(lambda event: isinstance(event, OrchestratorStarted))).event
    assert isinstance(started, OrchestratorStarted)
    assert started.policy is not None
    routing = started.policy["routing"]
    assert isinstance(routing, dict)
    assert (routing["backoff_base"], routing["retry_limit"]) == ("7m", 5)


def test_a_case_is_exported_and_judged_again(
    ro_orchestrator: AbstractAsyncContextManager[Cell],
    ro_server: EmbeddedServer,
    ro_case: Callable[[Path], Case],
    tmp_path: Path,
) -> None:
    """The part of a live log that one remediation's verdicts came from. No plugin runs coroutines here."""

    async def story() -> tuple[str, str]:
        async with ro_orchestrator as cell:
            await cell.signal("Other", target="cart")
            signal = await cell.signal(resolves=True)
            await cell.verdict(signal)
            run = ExecutionId(f"wfe-{signal}")
            await cell.tell(WorkflowStarted(run))
            await cell.tell(WorkflowFailed(run, idempotent=True))
            second = await cell.verdict(signal, attempt=2)
            assert isinstance(second.verdict, Block)
            assert second.verdict.reason is Reason.EXPONENTIAL_BACKOFF
            return cell.name, f"rr-{signal}"

    name, remediation = asyncio.run(story())
    file = tmp_path / "mine.case.jsonl"
    options = ["--nats", ro_server.url, "--cell", name, "--case"]
    done = CliRunner().invoke(export, [*options, remediation, str(file)])
    assert done.exit_code == 0, done.output
    case = ro_case(file)
    assert case.remediation == remediation
    assert not any(b"cart" in message.payload for message in case.messages)
    unheard = CliRunner().invoke(export, [*options, "rr-999", str(file)])
    assert (unheard.exit_code, unheard.output) == (1, "Error: rr-999: the log has no verdict on it\n")
    malformed = CliRunner().invoke(export, [*options, "nonsense", str(file)])
    assert malformed.exit_code == 2
