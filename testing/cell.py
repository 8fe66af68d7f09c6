"""A real cell in a test: its log on a real server, orchestrators in the test's own event loop.

It waits for facts, never for a while, and gives up after PATIENCE_SECONDS."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version

import msgspec

from remediation_orchestrator.bus.behind import append_behind
from remediation_orchestrator.bus.clock import BrokerClock
from remediation_orchestrator.bus.connection import Connection, connected
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.lease import JetStreamLease
from remediation_orchestrator.events import (
    CellName,
    Event,
    Fact,
    Position,
    Recorded,
    RoutingDecided,
    SignalReceived,
    SignalResolved,
    StoredMessage,
    Target,
    decode,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.events.codec import event_source as event_source
from remediation_orchestrator.events.identity import position
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.findings import Finding
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT, Policy
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator

from .publishing import SOURCE, signed, subject_of

PATIENCE_SECONDS = 20


class Cell:
    """A cell's log, open for a test to publish to and to wait at."""

    def __init__(self, connection: Connection, log: JetStreamLog) -> None:
        self.connection = connection
        self.log = log

    @property
    def name(self) -> CellName:
        """The cell's name, a fresh one for each test."""
        return self.log.cell

    async def signal(
        self,
        name: str = "KubePodCrashLooping",
        *,
        target: str | Target = "checkout",
        workflow: str | None = "restart",
        **more: object,
    ) -> Position:
        """Publish a bare signal, by default one that names its workflow; `more` are further keys of its data."""
        body: dict[str, object] = {"name": name, "target": Target(target) if isinstance(target, str) else target}
        if workflow is not None:
            body["workflow"] = {"id": workflow}
        return await self.publish(subjects.signal(self.name, SOURCE), msgspec.json.encode({**body, **more}))

    async def tell(self, fact: Fact) -> Position:
        """Publish a fact where it belongs, as an executor, an analyser or an operator would."""
        now = datetime.now(UTC)
        attributes = Attributes(id=f"{now.timestamp():f}", source=event_source(self.name, SOURCE), time=now)
        fact = signed(fact)
        subject, payload = subject_of(self.name, fact), encode(fact, attributes)
        if isinstance(fact, SignalReceived | SignalResolved):
            return await self.publish(subject, payload)
        return position(await append_behind(self.log, subject, payload, message_id=uuid.uuid4().hex))

    async def publish(self, subject: str, payload: bytes) -> Position:
        """Store bytes on a subject of the cell, whatever they are."""
        return Position(str(await self.log.append(subject, payload)))

    async def find(self, wanted: Callable[[Event], bool], *, start: int = 1) -> Recorded:
        """The first event from a sequence on that is wanted, waiting for it within patience."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for message in self.log.read(start, follow=True):
                for record in decode(message):
                    if isinstance(record, Recorded) and wanted(record.event):
                        return record
        raise AssertionError("a log that is followed has no end")

    async def verdict(self, signal: Position, *, attempt: int = 1) -> RoutingDecided:
        """The verdict on a signal, with all that was known, waiting for it within patience."""
        record = await self.find(
            lambda event: isinstance(event, RoutingDecided) and (event.signal, event.attempt) == (signal, attempt)
        )
        assert isinstance(record.event, RoutingDecided)
        return record.event

    async def messages(self) -> list[StoredMessage]:
        """Everything that the log holds now."""
        return [message async for message in self.log.read()]

    async def events(self) -> list[Event]:
        """Every event that the log holds now."""
        records = [record for message in await self.messages() for record in decode(message)]
        return [record.event for record in records if isinstance(record, Recorded)]

    async def findings(self) -> list[Finding]:
        """Return what an audit of the log finds: nothing, where all is well."""
        return list(audit(await self.messages()))

    @asynccontextmanager
    async def orchestrated(self, policy: Policy = DEFAULT, *, name: str = "o1") -> AsyncIterator[Orchestrator]:
        """Have an orchestrator of the cell active in this event loop for as long as the block lasts."""
        async with running(await orchestrator(self.connection, self.name, name, policy)) as service:
            yield service


@asynccontextmanager
async def opened(url: str, name: CellName) -> AsyncIterator[Cell]:
    """A cell, its log made where there is none, for as long as the block lasts."""
    async with connected(url, name="ro-testing") as connection:
        yield Cell(connection, await JetStreamLog.ensure(connection, name))


@asynccontextmanager
async def orchestrated(cell: AbstractAsyncContextManager[Cell], policy: Policy) -> AsyncIterator[Cell]:
    """A cell with an active orchestrator, for as long as the block lasts."""
    async with cell as open_cell, open_cell.orchestrated(policy):
        yield open_cell


async def orchestrator(
    connection: Connection, cell: CellName, name: str = "o1", policy: Policy | None = None
) -> Orchestrator:
    """An orchestrator of a cell, not running yet."""
    log = await JetStreamLog.ensure(connection, cell)
    lease = await JetStreamLease.open(connection, cell)
    identity = Identity(name, version("remediation-orchestrator"))
    return Orchestrator(log, lease, BrokerClock(datetime.now(UTC)), identity, policy)


@asynccontextmanager
async def running(service: Orchestrator) -> AsyncIterator[Orchestrator]:
    """Run an orchestrator until it is active, and stop it cleanly at the end."""
    task = asyncio.create_task(service.run())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await service.active.wait()
        yield service
    finally:
        service.stop()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await task
