"""The services, wired: each on a connection of its own, until it is told to stop or cannot go on."""

import asyncio
import importlib.metadata
import logging
import os
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from remediation_orchestrator.bus.clock import BrokerClock
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.lease import JetStreamLease
from remediation_orchestrator.bus.port import TTL, EventLog, LogError
from remediation_orchestrator.documents.files import FileError
from remediation_orchestrator.events import CellName
from remediation_orchestrator.orchestrator import policy_file
from remediation_orchestrator.orchestrator.lead import PACE, LeaderSettings
from remediation_orchestrator.orchestrator.queries.fold_digest import digest_fold
from remediation_orchestrator.orchestrator.routing.policy import Policy
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator
from remediation_orchestrator.orchestrator.whole import why_not_whole

from .log_options import AS_IT_IS, LogShape
from .output import BadInputError
from .records import log_to_stderr

if TYPE_CHECKING:
    from remediation_orchestrator.gateway.door import Door
    from remediation_orchestrator.web.health import Health

# A round and what it owes are sent within a second where a broker answers.
ORCHESTRATOR_SECONDS = 10.0
# The executor lets runs end for half a minute, and then reports what it has cut off.
EXECUTOR_SECONDS = 60.0
# Where everything is in a hurry, for `ro chaos`: so that whoever begins there goes on from a snapshot.
HASTY_SNAPSHOT = 300


def load_policy(file: Path) -> Policy:
    """The policy of a file. Raises BadInputError with one line for each thing that is wrong."""
    return read_policy(file).policy


def read_policy(file: Path) -> policy_file.PolicyFile:
    """A policy file. Raises BadInputError with one line for each thing that is wrong."""
    try:
        return policy_file.read(file)
    except FileError as error:
        raise BadInputError(str(error)) from error


def stop_on_signals() -> asyncio.Event:
    """An event that is set by Ctrl-C and by SIGTERM."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    return stopping


async def begin(url: str) -> asyncio.Event:
    """Make sure that somebody answers before a service begins to log. Return the event that ends it."""
    stopping = stop_on_signals()
    async with connected(url, name="ro"):
        log_to_stderr()
    return stopping


async def run_orchestrator(
    url: str,
    cell: CellName,
    policy: Policy | None,
    stopping: asyncio.Event,
    active: asyncio.Event | None = None,
    *,
    shape: LogShape = AS_IT_IS,
    health: "Health | None" = None,
    ttl: timedelta | None = None,
    fold_digest: Path | None = None,
) -> None:
    """Be an orchestrator of a cell until `stopping`; `active` is set when it first decides.

    With `fold_digest` it writes the digests of its state into that file on SIGUSR1."""
    async with connected(url, name="orchestrator") as client:
        log = await JetStreamLog.ensure(client, cell, replicas=shape.replicas, max_bytes=shape.max_bytes)
        lease = await JetStreamLease.open(client, cell, ttl=ttl or TTL, replicas=shape.replicas)
        clock = BrokerClock(datetime.now(UTC))
        pace = PACE if ttl is None else LeaderSettings(renew=ttl.total_seconds() / 4, snapshot=HASTY_SNAPSHOT)
        orchestrator = Orchestrator(log, lease, clock, _identity(), policy, pace)
        if fold_digest is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _write_digest, orchestrator, fold_digest)
        if health is not None:
            health.ask("orchestrator", orchestrator.why_not_ready, lambda: orchestrator.clock.remark)
        telling = [asyncio.create_task(_stop_when(stopping, orchestrator))]
        if active is not None:
            telling.append(asyncio.create_task(_pass_on(orchestrator.active, active)))
        try:
            await orchestrator.run()
        finally:
            for task in telling:
                task.cancel()
            await asyncio.gather(*telling, return_exceptions=True)


class Work(Struct, frozen=True):
    """What an executor takes on. Without `ack_wait` it is the executor's own."""

    workflows: Path
    slots: int
    analyses: bool = True
    ack_wait: float | None = None


async def run_executor(
    url: str,
    cell: CellName,
    work: Work,
    stopping: asyncio.Event,
    *,
    health: "Health | None" = None,
) -> None:
    """Be an executor of a cell until `stopping`. Raises LogError when it cannot go on."""
    # Only here: it brings FastStream, which no other verb should wait for.
    from remediation_orchestrator.executor import service

    settings = service.ExecutorSettings(
        work.workflows, slots=work.slots, analyses=work.analyses, ack_wait=work.ack_wait or service.ACK_WAIT
    )
    ask = None if health is None else partial(health.ask, "executor")
    await service.run_executor(url, cell, settings, stopping, ask, why_not_whole)


def take_address(host: str, port: int) -> socket.socket:
    """Listen there. Raises BadInputError where somebody else does."""
    from remediation_orchestrator.web.server import AddressError, listen

    try:
        return listen(host, port)
    except AddressError as error:
        raise BadInputError(str(error)) from error


async def run_gateway(
    url: str,
    cell: CellName,
    make: "Callable[[EventLog], Door]",
    listening: socket.socket,
    stopping: asyncio.Event,
    opened: Callable[[], None] = lambda: None,
) -> None:
    """Be a door of a cell until `stopping`; `opened` is called when it takes bodies."""
    # Only here: it brings an HTTP server, which no other verb should wait for.
    from remediation_orchestrator.gateway.server import serve

    async with connected(url, name="gateway") as client:
        door = make(await JetStreamLog.ensure(client, cell))
        await door.open()
        await serve(door, listening, stopping, opened)


async def until_stopped(stopping: asyncio.Event, *services: Awaitable[None], within: float) -> None:
    """Run services until `stopping`, or until one ends; then all are told to stop, and have so many seconds to."""
    by_themselves: list[Awaitable[None]] = []

    async def watched(service: Awaitable[None]) -> None:
        try:
            await service
        finally:
            if not stopping.is_set():
                by_themselves.append(service)

    tasks = [asyncio.create_task(watched(service)) for service in services]
    told = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([*tasks, told], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.set()
        await told
        _, late = await asyncio.wait(tasks, timeout=within)
        for task in late:  # It waits for a broker that does not come back.
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, LogError) and not by_themselves:  # The broker ends, too, and is heard of on the way.
            logging.getLogger(__name__).warning("ended late", extra={"why": str(end)})
        elif isinstance(end, Exception):
            raise end


def _write_digest(orchestrator: Orchestrator, file: Path) -> None:
    """Say what the state is, at once or not at all."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.write_bytes(msgspec.json.encode(digest_fold(orchestrator.fold)))
    fresh.replace(file)


def _identity() -> Identity:
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    return Identity(name, importlib.metadata.version("remediation-orchestrator"))


async def _stop_when(stopping: asyncio.Event, orchestrator: Orchestrator) -> None:
    await stopping.wait()
    orchestrator.stop()


async def _pass_on(here: asyncio.Event, there: asyncio.Event) -> None:
    await here.wait()
    there.set()
