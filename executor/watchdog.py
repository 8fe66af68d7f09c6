"""Say when no work can come any more: FastStream reads on, silent and at full speed, when its consumer is gone."""

import asyncio
from collections.abc import Awaitable, Callable

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

# A broker that restarts or elects a leader answers again within seconds; one that is connected and silent for
# this long will not.
SILENCE_MAX = 300.0
LOOK_EVERY = 5.0
# A healthy broker answers within milliseconds; whoever wants to know our health does not wait for long.
ASK_SECONDS = 1.5


Probe = Callable[[], Awaitable[str | None]]
"""Says in one line why no work can come; None where it can."""


class ConsumerGoneError(Exception):
    """The consumer that the work comes from is not there any more. The message is one line."""


async def watch_consumers(
    connection: Client, stream: str, durables: tuple[str, ...], *, every: float = LOOK_EVERY
) -> None:
    """Return never; raise ConsumerGoneError when one of them is gone. A broker that is away is waited for."""
    jetstream = JetStreamContext(connection, timeout=every)
    silent = 0.0
    while True:
        await asyncio.sleep(every)
        try:
            for durable in durables:
                await jetstream.consumer_info(stream, durable)
        except NotFoundError as error:
            raise ConsumerGoneError(f"{stream}: {error.description}; start again to create it") from error
        except (nats.errors.Error, APIError, OSError) as error:
            silent = silent + every if connection.is_connected else 0.0
            if silent > SILENCE_MAX:
                raise ConsumerGoneError(f"{stream}: connected, but silent for {silent:.0f} s: {error}") from error
        else:
            silent = 0.0


async def why_no_work(connection: Client, stream: str, durables: tuple[str, ...]) -> str | None:
    """Why no work can come at the moment, in one line; None where it can."""
    if not connection.is_connected:
        return "the broker cannot be reached"
    jetstream = JetStreamContext(connection, timeout=ASK_SECONDS)
    try:
        for durable in durables:
            await jetstream.consumer_info(stream, durable)
    except (nats.errors.Error, APIError, OSError) as error:
        return f"{stream}: its consumers cannot be asked: {error}"
    return None
