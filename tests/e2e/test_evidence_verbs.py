"""The log's questions, asked by real processes in a pipe."""

import asyncio
import sys
from pathlib import Path

from nats.aio.client import Client
from written import WrittenLog

from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.imported import bring_in
from remediation_orchestrator.events import CellName

PATIENCE_SECONDS = 30


async def ro(*arguments: object) -> tuple[int | None, str, str]:
    """Run a verb in a process of its own, to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from remediation_orchestrator.cli.main import main; main()",
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def story() -> WrittenLog:
    """A failure that waits."""
    written = WrittenLog()
    written.signal(0)
    written.fails(1, "wfe-2")
    return written


async def test_every_question_is_answered_in_a_pipe_and_nothing_else_is_said(tmp_path: Path) -> None:
    """No progress, no colours."""
    log = story().export(tmp_path / "log.jsonl")
    for verb in ("audit", "replay", "backtest"):
        code, out, err = await ro(verb, "--log", log)
        assert (code, err) == (0, ""), verb
        assert out
        assert "\x1b" not in out


async def test_an_orchestrator_refuses_to_become_active_in_an_imported_cell(
    server: EmbeddedServer, connection: Client, cell: CellName
) -> None:
    """One line, and exit code 1."""
    await bring_in(connection, cell, 1, story().messages)
    code, _, err = await ro("orchestrator", "--nats", server.url, "--cell", cell)
    assert code == 1
    assert "holds an imported log" in err.splitlines()[-1]
