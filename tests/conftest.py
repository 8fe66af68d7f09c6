"""Fixtures: one real server a session, a fresh cell a test."""

import logging
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings
from nats.aio.client import Client

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import CellName

# A machine that stands still for a moment is no finding: how long a test takes is asked of benchmarks alone.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """What a verb that is called in this process does to the log's level lasts no longer than its test."""
    log = logging.getLogger("remediation_orchestrator")
    level = log.level
    yield
    log.setLevel(level)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The embedded server of this session, started from the main thread, as pytest runs a plain fixture."""
    running = EmbeddedServer(tmp_path_factory.mktemp("server")).start()
    yield running
    running.stop()


@pytest.fixture
def cell() -> CellName:
    """A cell of this test's own."""
    return CellName(f"t{uuid.uuid4().hex[:12]}")


@pytest.fixture
async def connection(server: EmbeddedServer) -> AsyncIterator[Client]:
    """A connection to the session's server."""
    async with connected(server.url, name="test") as client:
        yield client


@pytest.fixture
async def log(connection: Client, cell: CellName) -> JetStreamLog:
    """An empty log on JetStream."""
    return await JetStreamLog.ensure(connection, cell)
