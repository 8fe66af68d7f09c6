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
from typing import Annotated, Any, TypeVar

from faststream import AckPolicy, BaseMiddleware, Context, ContextRepo, StreamMessage
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.subscriber.usecases import PullStreamSubscriber
from nats.aio.client import Client
from nats.aio.msg import Msg

from remediation_orchestrator.bus import api
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.feed import Feed
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogUnreachableError, ReadableLog
from remediation_orchestrator.bus.topology import stream_name
from remediation_orchestrator.events import CancelWorkflow, CellName, Recorded, StoredMessage, decode, subjects

from .analyser import Analyser
from .consumers import ensure_consumer
from .delivery import NatsDelivery
from .folder import CatalogFolder
from .lease import Lease, Pace, confirming
from .patience import Asked, PatientBroker
from .script import run_script
from .supervisor import instant
from .watchdog import Probe, watch_consumers, why_no_work
from .worker import Look, Surroundings, Worker, believe

log = logging.getLogger(__name__)

T = TypeVar("T")
InContext = Annotated[T, Context(cast=False)]

EXECUTOR = "executor"
ANALYSER = "analyser"
KINDS = {EXECUTOR: "workflow", ANALYSER: "analyze"}
"""The durable consumers, and the kind of commands of each."""
ACK_WAIT = 30.0
# Beyond the grace of a stop, so long is tried to report what was killed; what is not reported then is found lost.
REPORT_SECONDS = 20.0


@dataclass(frozen=True)
class Settings:
    """What an executor is told. `grace`: seconds that a run may still take when the executor stops."""

    workflows: Path
    slots: int = 4
    analyses: bool = True
    ack_wait: float = ACK_WAIT
    grace: float = 30.0


async def run_executor(
    url: str,
    cell: CellName,
    settings: Settings,
    stop: asyncio.Event,
    tell: Callable[[Probe], None] | None = None,
    why_not_whole: Callable[[ReadableLog], Awaitable[str | None]] | None = None,
) -> None:
    """Take commands until `stop`. Raises LogError or ConsumerGoneError, with one line, when it cannot go on.

    `tell` is given, once it takes commands, what says whether any can come. `why_not_whole` is asked before a run
    is begun."""
    async with connected(url, name=EXECUTOR) as connection:
        await JetStreamLog.open(connection, cell)
        waits = [await _ensure(connection, cell, durable, kind, settings) for durable, kind in KINDS.items()]
    pace = Pace(min(waits))
    broker = make_broker(url, pace, settings.grace)
    await broker.connect()
    event_log = await JetStreamLog.open(broker.connection, cell)
    catalog = CatalogFolder(settings.workflows)
    await catalog.refresh()  # What is wrong with it is said now, and not when the first command comes.
    look = believe if why_not_whole is None else partial(why_not_whole, event_log)
    worker = Worker(executor_id(), surroundings(event_log, catalog, look))
    logging.getLogger("faststream").setLevel(logging.WARNING)
    _subscribe_workers(broker, cell, worker, settings.slots, pace)
    if settings.analyses:
        analyser = Analyser(executor_id(), event_log, catalog, utc, refresh=catalog.refresh)
        _subscribe_analyser(broker, cell, analyser, pace)
    following = asyncio.create_task(follow_cancels(broker.connection, cell, worker))
    watching = asyncio.create_task(watch_consumers(broker.connection, stream_name(cell), tuple(KINDS)))
    stopping = asyncio.create_task(stop.wait())
    try:
        await broker.start()
        if tell is not None:
            tell(partial(why_no_work, broker.connection, stream_name(cell), tuple(KINDS)))
        log.info("executor ready", extra={"executor": worker.executor, "cell": cell, "slots": settings.slots})
        await asyncio.wait({following, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _stop(broker, worker, settings.grace)
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


def surroundings(event_log: JetStreamLog, catalog: CatalogFolder, look: Look) -> Surroundings:
    """A worker's surroundings as they are in the world."""
    return Surroundings(
        log=event_log,
        catalog=catalog,
        engine=run_script,
        monotonic=instant,
        now=utc,
        environment=dict(os.environ),
        refresh=catalog.refresh,
        why_not_whole=look,
    )


class Confirming(BaseMiddleware[Any, Any]):
    """Confirms a delivery while its handler runs, and tells the handler how long it is surely its own."""

    def __init__(self, message: Msg, /, *, context: ContextRepo, broker: NatsBroker, pace: Pace) -> None:
        super().__init__(message, context=context)
        self._broker = broker
        self._pace = pace

    async def consume_scope(
        self, call_next: Callable[[StreamMessage[Msg]], Awaitable[Any]], msg: StreamMessage[Msg]
    ) -> Any:
        """Go on with the delivery and its lease in the context."""
        message = msg.raw_message
        assert isinstance(message, Asked)  # Every question is ours.
        delivery = NatsDelivery(message, self._broker.connection, self._pace.answer_wait)
        async with confirming(delivery, self._pace, instant, message.asked_at) as lease:
            with self.context.scope("delivery", delivery), self.context.scope("lease", lease):
                return await call_next(msg)


def make_broker(url: str, pace: Pace, grace: float) -> NatsBroker:
    """A broker that reconnects for ever, buffers nothing meanwhile and confirms what is being worked on."""
    broker = PatientBroker(
        url.split(","),
        name=EXECUTOR,
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        pending_size=0,
        graceful_timeout=grace + REPORT_SECONDS,
        logger=log,
        log_level=logging.DEBUG,
    )
    broker.add_middleware(partial(Confirming, broker=broker, pace=pace))
    return broker


async def follow_cancels(connection: Client, cell: CellName, worker: Worker) -> None:
    """Read the cancels from now on, by an ordered consumer of its own, and end the runs that are here."""
    stream = stream_name(cell)
    info = await api.stream_info(connection, stream)
    if info is None:
        raise LogUnreachableError(f"the broker has no log of the cell {cell!r}")
    subject = subjects.commands(cell, "cancel")
    feed = Feed(connection, stream, info.created, start=info.state.last_seq + 1, subject=subject)
    async for batch in feed.batches():
        for message in batch:
            _cancel(message, worker)


def _cancel(message: StoredMessage, worker: Worker) -> None:
    try:
        read = decode(message)
    except RecursionError:  # Nested without end: no cancel, and no reason to follow no others.
        return
    for one in read:
        if isinstance(one, Recorded) and isinstance(one.event, CancelWorkflow):
            worker.cancel(one.event.execution, one.event.reason or "by the orchestrator")


async def _ensure(connection: Client, cell: CellName, durable: str, kind: str, settings: Settings) -> float:
    subject = subjects.commands(cell, kind)
    return await ensure_consumer(connection, cell, durable, subject, settings.ack_wait)


def _subscribe_workers(broker: NatsBroker, cell: CellName, worker: Worker, slots: int, pace: Pace) -> None:
    async def on_create_workflow(delivery: InContext[NatsDelivery], lease: InContext[Lease]) -> None:
        await worker.handle(delivery, lease)

    for _ in range(slots):
        _slot(broker, cell, EXECUTOR, pace)(on_create_workflow)


def _subscribe_analyser(broker: NatsBroker, cell: CellName, analyser: Analyser, pace: Pace) -> None:
    async def on_analyze_signal(delivery: InContext[NatsDelivery]) -> None:
        await analyser.handle(delivery)

    _slot(broker, cell, ANALYSER, pace)(on_analyze_signal)


def _slot(broker: NatsBroker, cell: CellName, durable: str, pace: Pace) -> PullStreamSubscriber:
    """One slot: `PullSub(1)` waits for nobody else's run, and takes nothing before it can begin it."""
    return broker.subscriber(
        subjects.commands(cell, KINDS[durable]),
        stream=JStream(stream_name(cell), declare=False),
        durable=durable,
        pull_sub=PullSub(batch_size=1, timeout=pace.pull),
        ack_policy=AckPolicy.MANUAL,
        decoder=_as_it_is,
    )


async def _as_it_is(message: StreamMessage[Any]) -> bytes:
    """The worker reads the bytes, so that what cannot be read is answered too."""
    return message.body


async def _stop(broker: NatsBroker, worker: Worker, grace: float) -> None:
    """Take nothing more; let runs end within the grace, then end them; report all; leave."""
    kill = asyncio.get_running_loop().call_later(grace, worker.cancel_all, "the executor stops")
    stops = [subscriber.stop() for subscriber in broker.subscribers]
    ends = await asyncio.gather(*stops, return_exceptions=True)
    _forget_tasks(broker)
    ends += await asyncio.gather(broker.stop(), return_exceptions=True)
    kill.cancel()
    for error in filter(None, ends):
        log.warning("not stopped cleanly", extra={"error": f"{type(error).__name__}: {error}"})


def _forget_tasks(broker: NatsBroker) -> None:
    """Where nobody answers, a subscriber cannot unsubscribe and keeps its tasks: FastStream begins each of those
    again when it ends, also when the loop does, and the process would never be over."""
    for subscriber in broker.subscribers:
        if isinstance(subscriber, PullStreamSubscriber):
            for task in subscriber.tasks:
                task.cancel()
            subscriber.tasks.clear()
