"""`ro up`: everything on one machine. The broker and the door are children of this process and end with it."""

import asyncio
import os
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
from msgspec import Struct

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import HOST, EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogUnreachableError
from remediation_orchestrator.events import CellName
from remediation_orchestrator.events.identity import DEFAULT_CELL
from remediation_orchestrator.orchestrator.routing.policy import Policy
from remediation_orchestrator.web.health import Health
from remediation_orchestrator.web.server import address_of

from .support.connection import DATA_DIR, CellType
from .support.door_options import check_files, identity_option, mapping_option, tokens_option
from .support.door_process import keep_door
from .support.executor_options import WORKFLOWS, slots_option
from .support.files import file_option
from .support.health import answering, health_option
from .support.log_options import LogShape, limit_option
from .support.output import line
from .support.records import log_to_stderr
from .support.running import run
from .support.services import (
    EXECUTOR_SECONDS,
    Work,
    load_policy,
    run_executor,
    run_orchestrator,
    stop_on_signals,
    take_address,
    until_stopped,
)


@click.command("up")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=DATA_DIR,
    show_default=True,
    help="Where the log is kept.",
)
@click.option(
    "--workflows", metavar="DIR", type=WORKFLOWS, help="The workflow catalog; without it nothing can run."
)
@file_option("--policy", "policy_path", "For a new log.")
@click.option("--port", type=click.IntRange(min=1, max=65_535), help="The broker's port.  [default: a free one]")
@click.option(
    "--gateway-port", type=click.IntRange(min=1, max=65_535), help="The HTTP door's port.  [default: a free one]"
)
@identity_option
@mapping_option
@tokens_option
@slots_option
@limit_option
@health_option
@click.option("--cell", type=CellType(), default=DEFAULT_CELL, show_default=True, help="The cell.")
def verb(
    data_dir: Path,
    workflows: Path | None,
    policy_path: Path | None,
    port: int | None,
    gateway_port: int | None,
    identity_file: Path | None,
    mapping_files: Sequence[Path],
    tokens_file: Path | None,
    slots: int,
    log_max_bytes: int | None,
    address: tuple[str, int] | None,
    cell: CellName,
) -> None:
    """Run a broker, an orchestrator, an executor, an analyser and the HTTP door here, until Ctrl-C."""
    policy = None if policy_path is None else load_policy(policy_path)
    door = check_files(identity_file, mapping_files, tokens_file)
    catalog = workflows or data_dir / "workflows"
    catalog.mkdir(parents=True, exist_ok=True)
    log_to_stderr()
    with take_address(HOST, gateway_port or 0) as listening:
        settings = UpSettings(catalog, policy, slots, cell, LogShape(max_bytes=log_max_bytes), address, door)
        run(_serve(EmbeddedServer(data_dir, port=port), settings, listening))


class UpSettings(Struct, frozen=True):
    """What the services are told."""

    workflows: Path
    policy: Policy | None
    slots: int
    cell: CellName
    shape: LogShape
    health: tuple[str, int] | None
    door: list[str]
    """The door's options."""


async def _serve(embedded: EmbeddedServer, settings: UpSettings, listening: socket.socket) -> None:
    stopping, active, opened = stop_on_signals(), asyncio.Event(), asyncio.Event()
    health = Health("orchestrator", "executor", "gateway")
    health.ask("gateway", partial(_why_not_open, opened))
    cell, shape = settings.cell, settings.shape
    async with answering(health, settings.health), embedded as server:
        async with connected(server.url, name="up") as client:  # The executor finds a log where there was none.
            await JetStreamLog.ensure(client, cell, max_bytes=shape.max_bytes)
        await until_stopped(
            stopping,
            _until_ended(server.pid, stopping),
            run_orchestrator(server.url, cell, settings.policy, stopping, active, shape=shape, health=health),
            run_executor(server.url, cell, Work(settings.workflows, settings.slots), stopping, health=health),
            keep_door(server.url, cell, settings.door, listening, stopping, opened),
            _say_when_ready(server.url, cell, address_of(listening), (active, opened), stopping),
            within=EXECUTOR_SECONDS,
        )


async def _until_ended(server: int, stopping: asyncio.Event) -> None:
    """Raise LogUnreachableError when the broker ends by itself, where the system can tell."""
    if not hasattr(os, "pidfd_open"):
        return await _first(stopping)
    ended = asyncio.Event()
    process = os.pidfd_open(server)
    loop = asyncio.get_running_loop()
    loop.add_reader(process, ended.set)
    try:
        await _first(ended, stopping)
    finally:
        loop.remove_reader(process)
        os.close(process)
    if ended.is_set():
        raise LogUnreachableError("the embedded server has ended by itself; its log says why: nats/server.log")
    return None


async def _why_not_open(opened: asyncio.Event) -> str | None:
    return None if opened.is_set() else "it does not answer"


async def _say_when_ready(
    url: str, cell: CellName, door: str, needed: Sequence[asyncio.Event], stopping: asyncio.Event
) -> None:
    """Say so once the orchestrator decides and the door answers: from then on every signal ends in a decision."""
    for one in needed:
        await _first(one, stopping)
    if not stopping.is_set():
        line(f"ready: cell {cell} at {url}")
        line(f"webhooks: {door}/v1/alertmanager")
    await stopping.wait()


async def _first(*events: asyncio.Event) -> None:
    """Wait until one of these is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
