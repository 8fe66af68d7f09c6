"""The executor as a service: slots, confirmations, cancels, the watchdog and a graceful end. Wiring only."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.consumers import DurableConsumer, Probe, ensure_consumer
from remediation_orchestrator.bus.deliveries import Deliveries
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import Delivery, ReadableLog
from remediation_orchestrator.events import CancelWorkflow, CellName, Recorded, StoredMessage, decode, subjects

from .analyser import Analyser
from .engines import ENGINES
from .folder import CatalogFolder
from .lease import ConfirmSchedule, confirming
from .ports import Look, Ports, always, believe
from .supervisor import instant
from .worker import Worker

log = logging.getLogger(__name__)

EXECUTOR = "executor"
ANALYSER = "analyser"
KINDS = {EXECUTOR: "workflow", ANALYSER: "analyze"}
"""The durable consumers, and the kind of commands of each."""
ACK_WAIT = 30.0
# Beyond the grace of a stop, so long is tried to report what was killed; what is not reported then is found lost.
REPORT_SECONDS = 20.0


@dataclass(frozen=True)
class ExecutorSettings:
    """What an executor is told. `grace`: seconds that a run may still take when the executor stops."""

    workflows: Path
    slots: int = 4
    analyses: bool = True
    ack_wait: float = ACK_WAIT
    grace: float = 30.0


async def run_executor(
    url: str,
    cell: CellName,
    settings: ExecutorSettings,
    stop: asyncio.Event,
    tell: Callable[[Probe], None] | None = None,
    why_not_whole: Callable[[ReadableLog], Awaitable[str | None]] | None = None,
) -> None:
    """Take commands until `stop`. Raises LogError or ConsumerGoneError, with one line, when it cannot go on.

    `tell` is given, once it takes commands, what says whether any can come. `why_not_whole` is asked before a run
    is begun."""
    async with connected(url, name=EXECUTOR) as connection:
        await JetStreamLog.open(connection, cell)
        durables = {
            name: await ensure_consumer(connection, cell, name, subjects.commands(cell, kind), settings.ack_wait)
            for name, kind in KINDS.items()
        }
    pace = ConfirmSchedule(min(one.ack_wait for one in durables.values()))
    deliveries = Deliveries(
        url, cell, name=EXECUTOR, monotonic=instant, graceful_seconds=settings.grace + REPORT_SECONDS
    )
    event_log = await deliveries.connect()
    catalog = CatalogFolder(settings.workflows)
    await catalog.refresh()  # What is wrong with it is said now, and not when the first command comes.
    look = believe if why_not_whole is None else partial(why_not_whole, event_log)
    counted_since = partial(deliveries.counted_since, EXECUTOR)
    worker = Worker(executor_id(), ports(event_log, catalog, look, counted_since))
    _serve_workflows(deliveries, durables[EXECUTOR], cell, worker, settings.slots, pace)
    if settings.analyses:
        analyser = Analyser(executor_id(), event_log, catalog, utc, refresh=catalog.refresh)
        _serve_analyses(deliveries, durables[ANALYSER], cell, analyser, pace)

    def begun() -> None:
        if tell is not None:
            tell(deliveries.why_none)
        log.info("executor ready", extra={"executor": worker.executor, "cell": cell, "slots": settings.slots})

    await _take_commands(deliveries, worker, event_log, stop, settings.grace, begun)


async def _take_commands(
    deliveries: Deliveries,
    worker: Worker,
    event_log: JetStreamLog,
    stop: asyncio.Event,
    grace: float,
    begun: Callable[[], None],
) -> None:
    """Take them until `stop`, and end what runs. Raises what has ended the deliveries, or the cancels."""
    following = asyncio.create_task(follow_cancels(event_log, worker))
    watching = asyncio.create_task(deliveries.watch())
    stopping = asyncio.create_task(stop.wait())
    try:
        await deliveries.start()
        begun()
        await asyncio.wait({following, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _stop(deliveries, worker, grace)
        for task in (stopping, following, watching):
            task.cancel()
    for task in (following, watching):
        with suppress(asyncio.CancelledError):
            await task


def executor_id() -> str:
    """A name that no other start has, of this machine or any: a claim under it is surely this process's."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def utc() -> datetime:
    """This machine's clock: for the attribute `time` of events alone, and for no decision."""
    return datetime.now(UTC)


def ports(
    event_log: JetStreamLog,
    catalog: CatalogFolder,
    look: Look,
    counted_since: Callable[[], Awaitable[datetime]] = always,
) -> Ports:
    """Return what a worker takes from outside, as it is in the world."""
    return Ports(
        log=event_log,
        catalog=catalog,
        engines={name: engine.make() for name, engine in ENGINES.items()},
        monotonic=instant,
        now=utc,
        environment=dict(os.environ),
        refresh=catalog.refresh,
        why_not_whole=look,
        counted_since=counted_since,
    )


async def follow_cancels(event_log: JetStreamLog, worker: Worker) -> None:
    """Read the cancels from now on, by an ordered consumer of its own, and end the runs that are here."""
    async for message in event_log.follow(subjects.commands(event_log.cell, "cancel")):
        _cancel(message, worker)


def _cancel(message: StoredMessage, worker: Worker) -> None:
    for one in decode(message):
        if isinstance(one, Recorded) and isinstance(one.event, CancelWorkflow):
            worker.cancel(one.event.execution, one.event.reason or "by the orchestrator")


def _serve_workflows(
    deliveries: Deliveries,
    durable: DurableConsumer,
    cell: CellName,
    worker: Worker,
    slots: int,
    pace: ConfirmSchedule,
) -> None:
    async def handle(delivery: Delivery, asked_at: float) -> None:
        async with confirming(delivery, pace, instant, asked_at) as lease:
            await worker.handle(delivery, lease)

    subject = subjects.commands(cell, KINDS[EXECUTOR])
    deliveries.serve(durable, subject, handle, slots=slots, pull=pace.pull, answer_wait=pace.answer_wait)


def _serve_analyses(
    deliveries: Deliveries, durable: DurableConsumer, cell: CellName, analyser: Analyser, pace: ConfirmSchedule
) -> None:
    async def handle(delivery: Delivery, asked_at: float) -> None:
        async with confirming(delivery, pace, instant, asked_at):
            await analyser.handle(delivery)

    subject = subjects.commands(cell, KINDS[ANALYSER])
    deliveries.serve(durable, subject, handle, pull=pace.pull, answer_wait=pace.answer_wait)


async def _stop(deliveries: Deliveries, worker: Worker, grace: float) -> None:
    """Take nothing more; let runs end within the grace, then end them; report all; leave."""
    kill = asyncio.get_running_loop().call_later(grace, worker.cancel_all, "the executor stops")
    await deliveries.stop()
    kill.cancel()
