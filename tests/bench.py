"""A worker on a faulty log, with an engine that only counts, and the commands that it answers."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from faulty import NOW, SUBJECT, Delivered, FaultyLog

from remediation_orchestrator.bus.port import EventLog
from remediation_orchestrator.events import (
    CreateWorkflow,
    ExecutionId,
    Fact,
    Fingerprint,
    Position,
    RemediationId,
    StoredMessage,
    Target,
    WorkflowRef,
    encode,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.executor.catalog import load_catalog
from remediation_orchestrator.executor.engine import Engine, Run, RunOutcome, Stop, Succeeded
from remediation_orchestrator.executor.lease import ClaimLease, ConfirmSchedule
from remediation_orchestrator.executor.local import LocalEngine, Perform
from remediation_orchestrator.executor.ports import Ports
from remediation_orchestrator.executor.worker import Worker

IDEMPOTENT = 'id: w\nidempotent: true\nscript: {command: [sh, "{target.name}"]}\n'


class Bench:
    """A worker on a faulty log, with an engine that only counts."""

    def __init__(self, folder: Path, log: FaultyLog, name: str = "e1") -> None:
        self.log = log
        self.ran: list[Run] = []
        self.outcome: RunOutcome = Succeeded("done")
        self.during: Callable[[], Awaitable[None]] | None = None
        self.perform: Perform = self._count
        self.engines: dict[str, Engine] = {"script": LocalEngine(lambda run, stop: self.perform(run, stop))}
        self.clock = 1000.0
        self.folder = folder
        self.write("w", IDEMPOTENT)
        ports = Ports(
            log=cast(EventLog, log),
            catalog=lambda: self.catalog,
            engines=self.engines,
            monotonic=lambda: self.clock,
            now=lambda: NOW,
            environment={"PATH": "/usr/bin:/bin"},
            retry_after=0.001,
        )
        self.worker = Worker(name, ports)

    def write(self, name: str, text: str) -> None:
        """Write a file of the catalog, as a person would, and have it read again."""
        (self.folder / f"{name}.yaml").write_text(text)
        self.catalog = load_catalog(self.folder)

    async def _count(self, run: Run, stop: Stop) -> RunOutcome:
        self.ran.append(run)
        if self.during:
            await self.during()
        return self.outcome

    async def handle(self, delivery: Delivered) -> None:
        """Let it answer, within bounds."""
        async with asyncio.timeout(5):
            await self.worker.handle(delivery, ClaimLease(ConfirmSchedule(30), lambda: self.clock, self.clock))


def command(
    target: str = "checkout",
    start_in: float = 60,
    execution: str = "wfe-1",
    workflow: str = "w",
    sent: datetime = NOW,
) -> bytes:
    """A command as the orchestrator would write it."""
    event = CreateWorkflow(
        execution=ExecutionId(execution),
        remediation=RemediationId("rr-1"),
        fingerprint=Fingerprint("f"),
        target=Target(name=target),
        workflow=WorkflowRef(workflow),
        start_before=sent + timedelta(seconds=start_in),
        deadline=sent + timedelta(seconds=600),
        decided_at=Position("2"),
    )
    return encode(event, Attributes(id="c", source="/ro/main/orchestrator", time=sent, correlationid="rr-1"))


def store(log: FaultyLog, payload: bytes) -> None:
    """Whatever bytes, on the execution's subject."""
    log.stored.append(StoredMessage(len(log.stored) + 1, NOW, SUBJECT, payload))


def tell(log: FaultyLog, fact: Fact, event_id: str = "x") -> None:
    """Somebody else's record on the execution's subject."""
    store(log, encode(fact, Attributes(id=event_id, source="/x", time=NOW)))
