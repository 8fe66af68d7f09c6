"""`ro up`: everything on one machine. The broker is a child of this process and ends with it."""

import asyncio
import os
import socket
from pathlib import Path

import click
from msgspec import Struct

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import HOST, EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import EventLog, LogUnreachableError
from remediation_orchestrator.events import CellName
from remediation_orchestrator.events.identity import DEFAULT_CELL
from remediation_orchestrator.gateway.access import Guard
from remediation_orchestrator.gateway.door import Door
from remediation_orchestrator.gateway.server import address_of, listen
from remediation_orchestrator.gateway.sources import Rules, built_in
from remediation_orchestrator.orchestrator.routing.policy import Policy

from .connection import DATA_DIR, CellType
from .executor import WORKFLOWS, slots_option
from .health import Health, answering, health_option
from .log_options import LogShape, limit_option
from .output import line
from .records import log_to_stderr
from .running import run
from .services import (
    EXECUTOR_SECONDS,
    Work,
    load_policy,
    run_executor,
    run_gateway,
    run_orchestrator,
    stop_on_signals,
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
@click.option("--policy", "policy_path", metavar="FILE", type=click.Path(path_type=Path), help="For a new log.")
@click.option("--port", type=click.IntRange(min=1, max=65_535), help="The broker's port.  [default: a free one]")
@click.option(
    "--gateway-port", type=click.IntRange(min=1, max=65_535), help="The HTTP door's port.  [default: a free one]"
)
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
    slots: int,
    log_max_bytes: int | None,
    address: tuple[str, int] | None,
    cell: CellName,
) -> None:
    """Run a broker, an orchestrator, an executor, an analyser and the HTTP door here, until Ctrl-C."""
    policy = load_policy(policy_path)
    catalog = workflows or data_dir / "workflows"
    catalog.mkdir(parents=True, exist_ok=True)
    log_to_stderr()
    with listen(HOST, gateway_port or 0) as listening:
        settings = Settings(catalog, policy, slots, cell, LogShape(max_bytes=log_max_bytes), address)
        run(_serve(EmbeddedServer(data_dir, port=port), settings, listening))


class Settings(Struct, frozen=True):
    """What the services are told."""

    workflows: Path
    policy: Policy
    slots: int
    cell: CellName
    shape: LogShape
    health: tuple[str, int] | None


async def _serve(embedded: EmbeddedServer, settings: Settings, listening: socket.socket) -> None:
    stopping, active = stop_on_signals(), asyncio.Event()
    health = Health("orchestrator", "executor")
    cell, shape = settings.cell, settings.shape
    async with answering(health, settings.health), embedded as server:
        async with connected(server.url, name="up") as client:  # The executor finds a log where there was none.
            await JetStreamLog.ensure(client, cell, max_bytes=shape.max_bytes)
        await until_stopped(
            stopping,
            _until_ended(server.pid, stopping),
            run_orchestrator(server.url, cell, settings.policy, stopping, active, shape=shape, health=health),
            run_executor(server.url, cell, Work(settings.workflows, settings.slots), stopping, health=health),
            run_gateway(server.url, cell, _door, listening, stopping),
            _say_when_ready(server.url, cell, address_of(listening), active, stopping),
            within=EXECUTOR_SECONDS,
        )


def _door(log: EventLog) -> Door:
    """A door with nothing but its defaults: for rules, mappings and tokens there is `ro gateway`."""
    return Door(log, built_in(), Rules(), Guard())


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


async def _say_when_ready(
    url: str, cell: CellName, door: str, active: asyncio.Event, stopping: asyncio.Event
) -> None:
    """Say so once the orchestrator decides: from then on every signal ends in a decision."""
    await _first(active, stopping)
    if active.is_set():
        line(f"ready: cell {cell} at {url}")
        line(f"webhooks: {door}/v1/alertmanager")
    await stopping.wait()


async def _first(*events: asyncio.Event) -> None:
    """Wait until one of these is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
