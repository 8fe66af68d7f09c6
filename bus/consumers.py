"""The durable consumers that work comes from: made where there is none, else used as they are, and watched.

FastStream reads on, silent and at full speed, when its consumer is gone: so somebody has to say it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from msgspec import Struct
from nats.aio.client import Client

from remediation_orchestrator.events import CellName

from . import api
from .jetstream import moment_of
from .port import LogError, LogUnreachableError, stream_name
from .topology import NANOSECONDS

# The runs of all executors of a cell at one time, and more are not delivered: far above what machines can take.
RUNNING_MAX = 10_000
# A broker that restarts or elects a leader answers again within seconds; one that is connected and silent for
# this long will not.
SILENCE_MAX = 300.0
LOOK_EVERY = 5.0
# A healthy broker answers within milliseconds; whoever wants to know our health does not wait for long.
ASK_SECONDS = 1.5

Probe = Callable[[], Awaitable[str | None]]
"""Says in one line why no work can come; None where it can."""


class UnusableConsumerError(LogError):
    """A consumer of that name is there, and work taken from it could be lost or run unseen."""


class ConsumerGoneError(LogUnreachableError):
    """The consumer that the work comes from is not there any more."""


class _Config(Struct):
    ack_policy: str = ""
    ack_wait: int = 0
    max_deliver: int = -1
    filter_subject: str = ""


class _Info(Struct):
    config: _Config
    created: str = ""


class DurableConsumer(Struct, frozen=True):
    """A durable consumer, as it was when work was first taken from it."""

    name: str
    ack_wait: float
    """In seconds, its own: that one counts."""
    created: datetime
    """By the broker's clock. One that was made again counts its deliveries anew."""


async def ensure_consumer(
    connection: Client, cell: CellName, durable: str, subject: str, ack_wait: float
) -> DurableConsumer:
    """Make a cell's durable consumer if there is none."""
    stream = stream_name(cell)
    try:
        info = await _info(connection, stream, durable)
    except api.ApiError as error:
        if error.err_code not in api.NOT_FOUND:
            raise
        info = await _create(connection, stream, durable, subject, ack_wait)
    found = info.config
    if (found.ack_policy, found.max_deliver, found.filter_subject) != ("explicit", -1, subject):
        raise UnusableConsumerError(
            f"the consumer {durable!r} of {stream} is not ours: it wants explicit acknowledgements, no limit of"
            f" deliveries and the subject {subject}; delete it, and it is made again"
        )
    return _durable(durable, info)


async def created_at(connection: Client, cell: CellName, durable: str) -> datetime:
    """When a durable consumer was made, as it is now. Raises LogError."""
    return _durable(durable, await _info(connection, stream_name(cell), durable)).created


def _durable(name: str, info: _Info) -> DurableConsumer:
    return DurableConsumer(name, info.config.ack_wait / NANOSECONDS, moment_of(info.created))


async def watch_consumers(
    connection: Client, cell: CellName, durables: tuple[DurableConsumer, ...], *, every: float = LOOK_EVERY
) -> None:
    """Return never; raise ConsumerGoneError when one of them is gone, or is another. A broker that is away is
    waited for."""
    stream = stream_name(cell)
    silent = 0.0
    while True:
        await asyncio.sleep(every)
        try:
            for one in durables:
                if _durable(one.name, await _info(connection, stream, one.name, every)) != one:
                    raise ConsumerGoneError(f"{stream}: {one.name!r} was made again or changed; start again")
        except ConsumerGoneError:
            raise
        except api.ApiError as error:
            if error.err_code in api.NOT_FOUND:
                raise ConsumerGoneError(f"{stream}: {error.description}; start again to create it") from error
            silent = _count_silence(connection, stream, silent + every, error)
        except LogError as error:
            silent = _count_silence(connection, stream, silent + every, error)
        else:
            silent = 0.0


async def why_no_work(connection: Client, cell: CellName, durables: tuple[str, ...]) -> str | None:
    """Why no work can come at the moment, in one line; None where it can."""
    if not connection.is_connected:
        return "the broker cannot be reached"
    stream = stream_name(cell)
    try:
        for durable in durables:
            await _info(connection, stream, durable, ASK_SECONDS)
    except LogError as error:
        return f"{stream}: its consumers cannot be asked: {error}"
    return None


def _count_silence(connection: Client, stream: str, silent: float, error: LogError) -> float:
    """For how long a broker that is connected has said nothing of use. Raises ConsumerGoneError in the end."""
    if not connection.is_connected:
        return 0.0
    if silent > SILENCE_MAX:
        raise ConsumerGoneError(f"{stream}: connected, but silent for {silent:.0f} s: {error}") from error
    return silent


async def _info(connection: Client, stream: str, durable: str, seconds: float = api.ANSWER_SECONDS) -> _Info:
    return await api.call(connection, f"CONSUMER.INFO.{stream}.{durable}", {}, _Info, seconds=seconds)


async def _create(connection: Client, stream: str, durable: str, subject: str, ack_wait: float) -> _Info:
    """Make it, or take the one that another executor has made at the same time."""
    config = {
        "name": durable,
        "durable_name": durable,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": int(ack_wait * NANOSECONDS),
        "max_deliver": -1,  # The claim makes redelivery harmless, and a command that is given up would be lost.
        "max_ack_pending": RUNNING_MAX,
        "filter_subject": subject,
    }
    body = {"stream_name": stream, "config": config, "action": "create"}
    try:
        return await api.call(connection, f"CONSUMER.CREATE.{stream}.{durable}.{subject}", body, _Info)
    except api.ApiError:
        return await _info(connection, stream, durable)
