"""A real cell for tests: orchestrators on the embedded server, and a publisher that waits for facts."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import EventLog
from remediation_orchestrator.events import Event, ExecutionId, Fact, Recorded, decode, encode, subjects
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.findings import Finding
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.testing.cell import PATIENCE_SECONDS, orchestrator, running

__all__ = [
    "PATIENCE_SECONDS",
    "bare",
    "events_of",
    "findings",
    "folded",
    "orchestrator",
    "running",
    "tell",
    "wait_for",
]


def bare(name: str = "KubePodCrashLooping", target: str = "checkout", **more: object) -> bytes:
    """A bare signal with a workflow of its own."""
    body: dict[str, object] = {"name": name, "target": {"name": target}, "workflow": {"id": "restart"}}
    return msgspec.json.encode({**body, **more})


async def tell(log: EventLog, fact: Fact, execution: str) -> int:
    """Store an execution event as executors do: behind what stands on the run's subject already."""
    attributes = Attributes(id=f"{execution}.{type(fact).__name__}", source="/test", time=datetime.now(UTC))
    subject = subjects.execution(log.cell, ExecutionId(execution))
    before = await log.last(subject)
    return await log.append(subject, encode(fact, attributes), expect=before.sequence if before else 0)


async def wait_for(log: EventLog, wanted: Callable[[Event], bool], start: int = 1) -> Recorded:
    """The first record of the log that is wanted, however long it takes, within patience."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for message in log.read(start, follow=True):
            for record in decode(message):
                if isinstance(record, Recorded) and wanted(record.event):
                    return record
    raise AssertionError("a log that is followed has no end")


async def events_of(log: EventLog) -> list[Event]:
    """Every event of the log."""
    return [
        record.event async for message in log.read() for record in decode(message) if isinstance(record, Recorded)
    ]


async def folded(log: JetStreamLog) -> Fold:
    """A fresh fold of the whole log."""
    fold = Fold()
    async for message in log.read():
        fold.take(message)
    return fold


async def findings(log: JetStreamLog) -> list[Finding]:
    """What an audit finds."""
    return list(audit([message async for message in log.read()]))
