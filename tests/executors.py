"""Start executors as processes, and publish the commands that they answer."""

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from remediation_orchestrator.bus.port import EventLog
from remediation_orchestrator.events import (
    CancelWorkflow,
    CellName,
    Command,
    CreateWorkflow,
    Event,
    ExecutionId,
    Fingerprint,
    Position,
    Recorded,
    RemediationId,
    Target,
    WorkflowRef,
    decode,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes

PATIENCE = 30.0

_MAIN = """
import asyncio, signal, sys
from pathlib import Path
from remediation_orchestrator.executor.service import ExecutorSettings, run_executor

async def main(url, cell, workflows, slots, ack_wait, grace):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = ExecutorSettings(Path(workflows), slots=int(slots), ack_wait=float(ack_wait), grace=float(grace))
    await run_executor(url, cell, settings, stop)

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def executor(
    url: str, cell: CellName, workflows: Path, *, slots: int = 2, ack_wait: float = 3.0, grace: float = 0.5
) -> AsyncIterator[Process]:
    """An executor in a process of its own, killed at the end if it is still there."""
    options = (url, cell, str(workflows), str(slots), str(ack_wait), str(grace))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _MAIN, *options)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def script(folder: Path, workflow: str, text: str, *, more: str = "") -> None:
    """Put a workflow of a few lines of shell into a catalog."""
    program = folder / f"{workflow}.sh"
    program.write_text("#!/bin/sh\n" + text + "\n")
    program.chmod(0o755)
    (folder / f"{workflow}.yaml").write_text(
        f'id: {workflow}\nscript: {{command: ["./{workflow}.sh", "{{target.name}}"]}}\n{more}'
    )


def create(number: int, workflow: str, target: str = "checkout") -> CreateWorkflow:
    """A command to run a workflow now, for a minute at most."""
    now = datetime.now(UTC)
    return CreateWorkflow(
        execution=ExecutionId(f"wfe-{number}"),
        remediation=RemediationId(f"rr-{number}"),
        fingerprint=Fingerprint(f"f{number}"),
        target=Target(name=target),
        workflow=WorkflowRef(workflow),
        start_before=now + timedelta(seconds=60),
        deadline=now + timedelta(seconds=120),
        decided_at=Position("1"),
    )


def cancel(number: int) -> CancelWorkflow:
    """The command to end that run."""
    return CancelWorkflow(ExecutionId(f"wfe-{number}"), RemediationId(f"rr-{number}"), Position("1"), "resolved")


async def publish(log: EventLog, command: Command) -> int:
    """Store a command, as the orchestrator would."""
    attributes = Attributes(id="c", source=f"/ro/{log.cell}/orchestrator", time=datetime.now(UTC))
    subject = subjects.command(log.cell, command)
    before = await log.last(subject)
    return await log.append(subject, encode(command, attributes), expect=before.sequence if before else 0)


async def facts(log: EventLog, number: int) -> list[Event]:
    """What stands on an execution's subject."""
    subject = subjects.execution(log.cell, ExecutionId(f"wfe-{number}"))
    read = [one async for one in log.read() if one.subject == subject]
    return [one.event for message in read for one in decode(message) if isinstance(one, Recorded)]


async def all_facts(log: EventLog) -> dict[str, list[str]]:
    """The names of what stands on every execution's subject."""
    found: dict[str, list[str]] = {}
    async for message in log.read():
        if ".execution." in message.subject:
            names = [type(one.event).__name__ for one in decode(message) if isinstance(one, Recorded)]
            found.setdefault(message.subject.rpartition(".")[2], []).extend(names)
    return found


async def reaches(log: EventLog, number: int, count: int) -> list[Event]:
    """Wait until so many facts stand on an execution's subject."""
    subject = subjects.execution(log.cell, ExecutionId(f"wfe-{number}"))
    found: list[Event] = []
    async with asyncio.timeout(PATIENCE), aclosing(log.read(follow=True)) as messages:
        async for message in messages:
            if message.subject == subject:
                found += [one.event for one in decode(message) if isinstance(one, Recorded)]
            if len(found) >= count:
                break
    return found
