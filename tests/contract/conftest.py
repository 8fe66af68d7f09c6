"""Every log of the contract suite: in memory, and on a real server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.memory import MemoryCell
from remediation_orchestrator.bus.port import EventLog
from remediation_orchestrator.events import CellName

MakeLog = Callable[..., Awaitable[EventLog]]


@pytest.fixture(params=["memory", "jetstream"])
async def make_log(request: pytest.FixtureRequest, cell: CellName) -> AsyncIterator[MakeLog]:
    """Makes handles on the log of one cell; `max_bytes` counts for the first."""
    if request.param == "memory":
        made: list[MemoryCell] = []

        async def in_memory(max_bytes: int | None = None) -> EventLog:
            if not made:
                made.append(MemoryCell(cell, lambda: datetime.now(UTC), max_bytes=max_bytes))
            return made[0].log()

        yield in_memory
        return
    server: EmbeddedServer = request.getfixturevalue("server")
    async with connected(server.url, name="contract") as client:

        async def on_jetstream(max_bytes: int | None = None) -> EventLog:
            return await JetStreamLog.ensure(client, cell, max_bytes=max_bytes)

        yield on_jetstream


@pytest.fixture
async def log(make_log: MakeLog) -> EventLog:
    """An empty log."""
    return await make_log()
