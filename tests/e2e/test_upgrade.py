"""An older version on a log that a newer one has written: it does not become active, and says which it needs."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cell import folded
from newer import NEWER, frame, unknown

from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import (
    CellName,
    OrchestratorStarted,
    Recorded,
    SignalRejected,
    decode,
    subjects,
)

RO = Path(sys.executable).with_name("ro")
PATIENCE = 20


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


async def first_frame(log: JetStreamLog, *more: bytes) -> bytes:
    """The first frame of a newer version in this log, which says of all before it what is so."""
    fold = await folded(log)
    return frame(fold.read, *more, previous=fold.chain.previous(fold.read), log=log.identity)


@asynccontextmanager
async def started(
    server: EmbeddedServer, cell: CellName, *options: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`ro orchestrator` in a process of its own, which ends cleanly when told to."""
    process = await asyncio.create_subprocess_exec(
        RO,
        "orchestrator",
        "--cell",
        cell,
        *options,
        env={**os.environ, "NATS_URL": server.url},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        _, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def line_of(process: asyncio.subprocess.Process, event: str) -> dict[str, object]:
    """The first line of its log about this."""
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        while line := await process.stderr.readline():
            said: dict[str, object] = json.loads(line)
            if said["event"] == event:
                return said
    raise AssertionError(f"it ended without saying {event!r}")


async def ready(port: int) -> tuple[int | None, str]:
    """What `ro ready` says: its exit code, and why not."""
    process = await asyncio.create_subprocess_exec(
        RO, "ready", "--health", str(port), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complaint = await process.communicate()
    return process.returncode, (said + complaint).decode().strip()


@pytest.mark.parametrize("kind", ["fact", "decision"])
async def test_an_older_version_does_not_become_active_and_names_the_version_that_it_needs(
    server: EmbeddedServer, cell: CellName, log: JetStreamLog, kind: str
) -> None:
    """It goes on running without deciding, says so in its log and to whoever asks whether it is ready."""
    unknown_type = "TargetReserved.v1" if kind == "decision" else "SignalSnoozed.v1"
    if kind == "fact":
        await log.append(subjects.signal(cell, "test"), unknown(unknown_type))
    more = [unknown(unknown_type)] if kind == "decision" else []
    await log.append(subjects.decision(cell), await first_frame(log, *more), expect=0)
    stored = await log.last_sequence()
    port = free_port()
    async with started(server, cell, "--health", str(port)) as process:
        said = await line_of(process, "not becoming active")
        assert (said["level"], said["needs_version"]) == ("error", NEWER)
        assert str(said["unknown"]).startswith(f"{unknown_type} at ")
        code, why = await ready(port)
        assert code == 1
        assert f"{unknown_type} at " in why
        assert f"needs version {NEWER} or newer" in why
    assert await log.last_sequence() == stored


async def test_a_fact_of_an_unknown_type_does_not_stop_the_service(
    server: EmbeddedServer, cell: CellName, log: JetStreamLog
) -> None:
    """Nobody has taken it yet: it is answered, and the service is ready."""
    await log.append(subjects.decision(cell), await first_frame(log), expect=0)
    await log.append(subjects.signal(cell, "test"), unknown("SignalSnoozed.v1"))
    port = free_port()
    async with started(server, cell, "--health", str(port)) as process:
        await line_of(process, "active")
        async with asyncio.timeout(PATIENCE):
            while (await ready(port))[0] != 0:
                pass  # Each question is a process of its own.
    events = [one.event async for m in log.read() for one in decode(m) if isinstance(one, Recorded)]
    assert [event.position for event in events if isinstance(event, SignalRejected)] == ["2"]
    assert [event.version for event in events if isinstance(event, OrchestratorStarted)][1] != NEWER
