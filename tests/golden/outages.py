"""Themes in which something breaks: records, orchestrators, commands, and real runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from golden.steps import POLICY, SHORT, appears, completes, fails, proceeds, reaches

from remediation_orchestrator.bus.clock import BrokerClock
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.lease import JetStreamLease
from remediation_orchestrator.bus.port import LogUnreachableError
from remediation_orchestrator.events import (
    AnalyzeSignal,
    ExecutionId,
    Phase,
    Position,
    RemediationCancelled,
    SignalRejected,
    WorkflowCompleted,
    WorkflowRevoked,
    subjects,
)
from remediation_orchestrator.events.identity import execution_id, remediation_id
from remediation_orchestrator.executor.service import ExecutorSettings, run_executor
from remediation_orchestrator.orchestrator.routing.policy import policy_of
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator
from remediation_orchestrator.testing.cell import Cell, orchestrator, running


async def bad_records(cell: Cell, url: str) -> None:
    """What is no event is answered, what fits nothing is passed over, and the others are decided."""
    source = subjects.signal(cell.name, "test")
    async with cell.orchestrated(POLICY):
        await cell.publish(source, b"no JSON")
        await cell.publish(source, b'{"name": 7, "target": {"name": "checkout"}}')
        good = b'{"name":"Down","target":{"name":"checkout"},"workflow":{"id":"restart"}}'
        mixed = await cell.publish(source, b'[{"name":"Down"},' + good + b',{"target":{}}]')
        await cell.publish(source, b"[]")
        future = {"specversion": "1.0", "id": "1", "source": "/test", "type": "SignalForetold.v9", "data": {}}
        await cell.publish(source, msgspec.json.encode({**future, "time": datetime(2026, 1, 1, tzinfo=UTC)}))
        await cell.tell(WorkflowCompleted(ExecutionId("wfe-999")))
        await cell.tell(RemediationCancelled(remediation_id(Position("999")), by="ops", reason="a slip"))
        large = await cell.publish(source, b'{"name":"' + b"A" * 300_000 + b'","target":{"name":"checkout"}}')
        await cell.find(lambda one: isinstance(one, SignalRejected) and one.position == large)
        signal = Position(f"{mixed}-1")
        await completes(cell, signal)
        await cell.tell(WorkflowCompleted(execution_id(signal, 1)))
        await cell.verdict(await cell.signal(target="last"))


async def takeover(cell: Cell, url: str) -> None:
    """A clean stop, and then two that both believe to lead: the older is fenced, nothing is decided twice."""
    first = await orchestrator(cell.connection, cell.name, "o1", POLICY)
    async with running(first):
        before = await cell.signal(target="before", resolves=True)
        await proceeds(cell, before)
        await fails(cell, before)
        await cell.verdict(before, attempt=2)
    second = await orchestrator(cell.connection, cell.name, "o2", POLICY)
    async with running(second):
        await proceeds(cell, before, 3, 2)
        lease = await JetStreamLease.open(cell.connection, cell.name)
        await lease.release("o2")  # As if it had slept past its lease.
        async with cell.orchestrated(POLICY, name="o3"):
            during = await cell.signal(target="during")
            await proceeds(cell, during)
            await completes(cell, before, 2)
        await completes(cell, during)


class Unheard(JetStreamLog):
    """A log whose commands get lost on their way."""

    async def append(
        self, subject: str, payload: bytes, *, expect: int | None = None, message_id: str | None = None
    ) -> int:
        """Store what is no command."""
        if ".command." in subject:
            raise LogUnreachableError("nobody answers")
        return await super().append(subject, payload, expect=expect, message_id=message_id)


async def owed(cell: Cell, url: str) -> None:
    """An orchestrator ends between its frames and their commands; the next sends what is still wanted."""
    slow = policy_of({**SHORT, "timeouts": {**SHORT["timeouts"], "starting": "1m", "analyzing": "1m"}})
    log = await Unheard.ensure(cell.connection, cell.name)
    lease = await JetStreamLease.open(cell.connection, cell.name)
    identity = Identity("o1", "test")
    async with running(Orchestrator(log, lease, BrokerClock(datetime.now(UTC)), identity, slow)):
        wanted, resolved = await cell.signal(target="wanted"), await cell.signal(target="resolved", resolves=True)
        unknown = await cell.signal(target="unknown", workflow=None)
        await cell.verdict(unknown)
    await cell.signal(target="resolved", status="resolved", workflow=None)
    async with cell.orchestrated(POLICY, name="o2"):
        await appears(cell, WorkflowRevoked, execution_id(resolved, 1))
        await appears(cell, AnalyzeSignal, remediation_id(unknown))
        await proceeds(cell, wanted)
        await completes(cell, wanted)


WORKFLOWS = {
    "restart": ("echo restarted $1", "idempotent: true"),
    "break": ("echo it broke >&2; exit 3", ""),
}


async def executor(cell: Cell, url: str) -> None:
    """A real executor: a script that repairs, one that breaks half-way, one that nobody has, and the analyser."""
    async with cell.orchestrated(POLICY), _executor(cell, url):
        good, bad, unknown = [
            await cell.signal(workflow, target=workflow, workflow=workflow)
            for workflow in ("restart", "break", "unheard-of")
        ]
        analysed = await cell.signal("KubePodCrashLooping", target="cart", workflow=None)
        await reaches(cell, good, Phase.COMPLETED)
        await reaches(cell, bad, Phase.FAILED)
        await appears(cell, WorkflowRevoked, execution_id(unknown, 1))
        await cell.verdict(unknown, attempt=2)
        await reaches(cell, analysed, Phase.COMPLETED)
        await cell.verdict(await cell.signal("break", target="break", workflow="break"))


@asynccontextmanager
async def _executor(cell: Cell, url: str) -> AsyncIterator[None]:
    stop = asyncio.Event()
    with TemporaryDirectory() as name:
        folder = Path(name)
        for workflow, (text, more) in WORKFLOWS.items():
            program = folder / f"{workflow}.sh"
            program.write_text(f"#!/bin/sh\n{text}\n")
            program.chmod(0o755)
            match = "match: [{name: KubePodCrashLooping}]\n" if workflow == "restart" else ""
            (folder / f"{workflow}.yaml").write_text(
                f'id: {workflow}\nscript: {{command: ["./{workflow}.sh", "{{target.name}}"]}}\n{more}\n{match}'
            )
        serving = asyncio.create_task(
            run_executor(url, cell.name, ExecutorSettings(folder, slots=2, grace=1.0), stop)
        )
        try:
            yield
        finally:
            stop.set()
            await serving
