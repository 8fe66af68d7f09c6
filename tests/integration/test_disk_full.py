"""A full disk: publishing fails loudly, and what was acknowledged is still there. Needs a disk of its own."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cell import orchestrator

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogError, LogFullError, UnknownOutcomeError
from remediation_orchestrator.events import CellName, subjects

PATIENCE = 60
BYTES = 48 * 1024 * 1024
MESSAGE = b"x" * 100_000
# What is left of the disk when the log begins to grow: less than the server believes to have.
LEFT = 8 * 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={BYTES}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mounting, capture_output=True, text=True)
    except FileNotFoundError as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def append_until_refused(log: JetStreamLog) -> tuple[list[int], LogError]:
    """Append until the log says no; return what was acknowledged, and the refusal."""
    acknowledged: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                acknowledged.append(await log.append(subjects.signal(log.cell, "test"), MESSAGE))
            except LogError as refusal:
                return acknowledged, refusal


async def test_a_full_disk_refuses_loudly_and_loses_nothing_that_was_acknowledged(
    disk: Path, cell: CellName
) -> None:
    """Somebody else fills the disk under the server, and readiness says so; with room again, and a server that was
    started again, all that was acknowledged is read."""
    ballast = disk / "ballast"
    server = EmbeddedServer(disk / "data").start()
    try:
        async with connected(server.url) as connection:
            log = await JetStreamLog.ensure(connection, cell)
            service = await orchestrator(connection, cell)
            serving = asyncio.create_task(service.run())
            async with asyncio.timeout(PATIENCE):
                await service.active.wait()
                ballast.write_bytes(bytes(BYTES - LEFT))
                acknowledged, refusal = await append_until_refused(log)
                while "the broker stores nothing" not in (await service.why_not_ready() or ""):
                    await service.inbox.wait(0.1)  # At first it may only be behind.
            serving.cancel()
            await asyncio.wait({serving})
        assert len(acknowledged) > 10
        assert isinstance(refusal, LogFullError | UnknownOutcomeError)
    finally:
        server.stop()
    ballast.unlink()
    server = EmbeddedServer(disk / "data").start()
    try:
        async with connected(server.url) as connection:
            log = await JetStreamLog.open(connection, cell)
            stored = [message.sequence async for message in log.read()]
            assert set(acknowledged) <= set(stored)
            assert await log.append(subjects.signal(cell, "test"), MESSAGE) > stored[-1]
    finally:
        server.stop()
