"""A log that the real system has recorded: exported, brought into a fresh cell, audited and judged again."""

import asyncio
import json
from pathlib import Path

import pytest
from cell import bare, orchestrator, running, tell, wait_for
from click.testing import CliRunner, Result
from nats.aio.client import Client

from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import ImportedLogError
from remediation_orchestrator.cli.main import main
from remediation_orchestrator.events import (
    CellName,
    CreateWorkflow,
    ExecutionId,
    PhaseChanged,
    RoutingDecided,
    WorkflowCompleted,
    WorkflowStarted,
    subjects,
)


@pytest.fixture
async def recorded(connection: Client, log: JetStreamLog, cell: CellName) -> JetStreamLog:
    """A problem that is repaired, its repetition, a record that is no signal, and another's run under way."""
    source = subjects.signal(cell, "test")
    async with running(await orchestrator(connection, cell)):
        signal = await log.append(source, bare(resolves=True), message_id="once")
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow))
        await log.append(source, b"no JSON")
        for fact in (WorkflowStarted, WorkflowCompleted):
            await tell(log, fact(ExecutionId(f"wfe-{signal}")), f"wfe-{signal}")
        await wait_for(log, lambda event: isinstance(event, PhaseChanged))
        again = await log.append(source, bare(resolves=True))
        await wait_for(log, lambda event: isinstance(event, RoutingDecided) and event.signal == str(again))
        other = await log.append(source, bare(target="cart"))
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow) and event.execution == f"wfe-{other}")
    return log


async def ro(*arguments: object) -> Result:
    """Run a verb, beside this event loop."""
    return await asyncio.to_thread(CliRunner().invoke, main, [str(one) for one in arguments])


async def test_an_export_is_imported_audited_and_exported_again_the_same(
    server: EmbeddedServer, recorded: JetStreamLog, tmp_path: Path
) -> None:
    """Byte for byte, in a cell of another name, too; and nobody decides in the copy."""
    there, copy = ["--nats", server.url, "--cell"], f"{recorded.cell}-copy"
    first, second = tmp_path / "log.jsonl.gz", tmp_path / "copy.jsonl"
    assert (await ro("export", first, *there, recorded.cell)).exit_code == 0
    result = await ro("import", first, *there, copy, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["messages"] == await recorded.last_sequence()
    audits = [await ro("audit", *there, cell, "--json") for cell in (recorded.cell, copy)]
    assert [one.exit_code for one in audits] == [0, 0]
    original, of_copy = (json.loads(one.stdout.splitlines()[-1]) for one in audits)
    assert of_copy == {**original, "cell": copy}
    assert (await ro("export", second, *there, copy)).exit_code == 0
    unpacked = await ro("export", "-", *there, recorded.cell)
    assert second.read_text() == unpacked.stdout


async def test_an_imported_cell_is_only_read(
    server: EmbeddedServer, connection: Client, recorded: JetStreamLog, tmp_path: Path
) -> None:
    """No orchestrator becomes active there, nothing is stored there, and nothing is brought in on top."""
    there, copy = ["--nats", server.url, "--cell"], CellName(f"{recorded.cell}-copy")
    await ro("export", tmp_path / "log.jsonl", *there, recorded.cell)
    assert (await ro("import", tmp_path / "log.jsonl", *there, copy)).exit_code == 0
    with pytest.raises(ImportedLogError, match="imported log"):
        await orchestrator(connection, copy)
    again = await ro("import", tmp_path / "log.jsonl", *there, copy)
    assert again.exit_code == 1
    assert "has a log already" in again.stderr
    assert (await ro("signal", "--name", "A", "--target-name", "b", *there, copy)).exit_code != 0


async def test_a_part_is_exported_and_imported_from_its_first_sequence(
    server: EmbeddedServer, recorded: JetStreamLog, tmp_path: Path
) -> None:
    """As a broken export goes on; audit says that the beginning is not there."""
    there, copy = ["--nats", server.url, "--cell"], f"{recorded.cell}-part"
    await ro("export", tmp_path / "part.jsonl", "--since", 3, *there, recorded.cell)
    result = await ro("import", tmp_path / "part.jsonl", *there, copy, "--json")
    assert json.loads(result.stdout)["first_sequence"] == 3
    audited = await ro("audit", *there, copy)
    assert audited.exit_code == 1
    assert "the log begins at 3" in audited.stdout


@pytest.mark.parametrize("lines", [[0, 2], [], [1, 0]], ids=["a gap", "nothing", "out of order"])
async def test_a_file_that_is_no_whole_log_leaves_no_cell(
    server: EmbeddedServer, connection: Client, recorded: JetStreamLog, tmp_path: Path, lines: list[int]
) -> None:
    """It is read to its end before anything is made."""
    there, copy = ["--nats", server.url, "--cell"], CellName(f"{recorded.cell}-bad")
    await ro("export", tmp_path / "log.jsonl", *there, recorded.cell)
    whole = (tmp_path / "log.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "bad.jsonl").write_bytes(b"".join(whole[number] for number in lines))
    result = await ro("import", tmp_path / "bad.jsonl", *there, copy)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert (await ro("audit", *there, copy)).exit_code == 3


async def test_backtest_and_replay_of_the_live_log_agree_with_what_was_decided(
    server: EmbeddedServer, recorded: JetStreamLog
) -> None:
    """Under the policy in force nothing differs."""
    there = ["--nats", server.url, "--cell", recorded.cell, "--json"]
    rows = [json.loads(line) for line in (await ro("backtest", *there)).stdout.splitlines()]
    assert len(rows) == 3
    assert all(row["verdict"] == row["recorded"] for row in rows)
    state = [json.loads(line) for line in (await ro("replay", *there)).stdout.splitlines()]
    assert {row["kind"] for row in state} == {"moment", "policy", "fingerprint", "target", "remediation"}
    assert (await ro("replay", *there, "--until", "2999-01-01T00:00:00Z")).exit_code == 2
