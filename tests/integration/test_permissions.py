"""The permissions of docs/contract.md, as they stand there: enough for each role, and no more."""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import binary
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.cli.support.services import run_orchestrator
from remediation_orchestrator.events import (
    Recorded,
    RemediationCancelled,
    RemediationId,
    WorkflowCompleted,
    decode,
)
from remediation_orchestrator.events.identity import DEFAULT_CELL
from remediation_orchestrator.executor.service import ExecutorSettings, run_executor
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT

ROOT = Path(__file__).parents[2]
PATIENCE = 15.0
SIGNAL = {"name": "DiskFull", "target": {"name": "node-7"}, "workflow": {"id": "clear-disk"}}
SUBJECTS = (
    "ro.main.signal.prometheus",
    "ro.main.analysis.rr-1",
    "ro.main.execution.wfe-1",
    "ro.main.operator.clear.ann",
    "ro.main.operator.clear.bob",
    "ro.main.decision",
    "ro.main.command.workflow.wfe-1",
)
LAST = b'{"last": true}'
OWN = {
    "source of signals": {"ro.main.signal.prometheus"},
    "analyser": {"ro.main.analysis.rr-1"},
    "executor": {"ro.main.execution.wfe-1"},
    "operator": {"ro.main.operator.clear.ann"},
    "orchestrator": {"ro.main.execution.wfe-1", "ro.main.decision", "ro.main.command.workflow.wfe-1"},
}


def roles() -> dict[str, list[str]]:
    """What each role may publish, read from the page."""
    table = (ROOT / "docs" / "contract.md").read_text().partition("Permissions of NATS")[2].partition("\n## ")[0]
    found = {}
    for role, publish, reads in re.findall(r"^\| (.+?) \| (`.+?) \| (.+?) \|$", table, re.MULTILINE):
        name = "ann" if role == "operator" else "prometheus"
        subjects = re.findall(r"`(.+?)`", publish.replace("<cell>", "main").replace("<its name>", name))
        found[role] = subjects + (["$JS.API.>", "$JS.ACK.>"] if reads != "–" else [])
    return found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker with a user for each role, and `admin`; where they connect, without the user's name."""
    folder = tmp_path_factory.mktemp("broker")
    users: list[dict[str, object]] = [{"user": "admin", "password": "x"}]
    for role, publish in roles().items():
        permissions = {"publish": publish, "subscribe": ["_INBOX.>"]}
        users.append({"user": role.replace(" ", "-"), "password": "x", "permissions": permissions})
    config = {
        "host": "127.0.0.1",
        "port": -1,
        "jetstream": {"store_dir": str(folder / "store")},
        "authorization": {"users": users},
    }
    (folder / "server.conf").write_text(json.dumps(config))
    command = [binary(), "-c", str(folder / "server.conf")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        listening = ""
        while "Server is ready" not in (line := server.stderr.readline()):
            assert line, "the broker did not start"
            listening = line.strip().rpartition(" ")[2] if "Listening for client" in line else listening
        yield listening
    finally:
        server.terminate()
        server.communicate()


def url(address: str, role: str) -> str:
    """The address for a role."""
    return f"nats://{role.replace(' ', '-')}:x@{address}"


@asynccontextmanager
async def admin(address: str) -> AsyncIterator[tuple[Client, JetStreamLog]]:
    """A connection that may do everything, and the log."""
    async with connected(url(address, "admin")) as client:
        yield client, await JetStreamLog.ensure(client, DEFAULT_CELL)


@pytest.mark.parametrize("role", OWN)
async def test_a_role_publishes_where_it_may_and_nowhere_else(address: str, role: str) -> None:
    """What it may not is dropped by the server, whatever it says."""
    async with admin(address) as (_, log), connected(url(address, role)) as client:
        before = await log.last_sequence()
        for subject in SUBJECTS:
            await client.publish(subject, b"{}")
        await client.publish(min(OWN[role]), LAST)  # Each client's own order is kept, no other.
        assert await stored_before_last(log, before + 1) == OWN[role]


async def test_the_permissions_are_enough_for_the_services(address: str) -> None:
    """A signal of a source is decided, run, completed; an operator acts; each with its own permissions."""
    stopping, active = asyncio.Event(), asyncio.Event()
    async with admin(address) as (_, log), asyncio.timeout(PATIENCE):
        settings = ExecutorSettings(ROOT / "examples" / "workflows", slots=1, analyses=False, grace=1.0)
        services = [
            asyncio.create_task(
                run_orchestrator(url(address, "orchestrator"), DEFAULT_CELL, DEFAULT, stopping, active)
            ),
            asyncio.create_task(run_executor(url(address, "executor"), DEFAULT_CELL, settings, stopping)),
        ]
        try:
            await active.wait()
            start = await log.last_sequence() + 1
            async with connected(url(address, "source of signals")) as source:
                await source.request("ro.main.signal.prometheus", msgspec.json.encode(SIGNAL))
            await completed(log, start)
            async with connected(url(address, "operator")) as operator:
                theirs = await JetStreamLog.open(operator, DEFAULT_CELL)
                data = msgspec.to_builtins(RemediationCancelled(RemediationId("rr-1"), "ann"))
                assert await theirs.append("ro.main.operator.cancel.ann", msgspec.json.encode(data))
                assert await theirs.last("ro.main.decision")
        finally:
            stopping.set()
            await asyncio.gather(*services)


async def stored_before_last(log: JetStreamLog, start: int) -> set[str]:
    """The subjects of what is stored from a sequence on, until the last of it comes by."""
    told = set()
    async with asyncio.timeout(PATIENCE):
        async for message in log.read(start, follow=True):
            if message.payload == LAST:
                break
            told.add(message.subject)
    return told


async def completed(log: JetStreamLog, start: int) -> None:
    """Wait for a run to complete."""
    async for message in log.read(start, follow=True):
        if any(isinstance(one, Recorded) and isinstance(one.event, WorkflowCompleted) for one in decode(message)):
            return
