"""Ask for work only where somebody can answer.

FastStream asks again at once, and for ever, when a pull fails at once: while the broker is away that took a core
and a log line for each try. A pull under this patience fails as slowly as one that finds nothing."""

import asyncio

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import APIError

# A lost connection is only seen by looking. A broker that is back waits no longer than this for its executor.
LOOK_SECONDS = 0.1
# After a refusal: a leader is being elected, the consumer is gone, the connection was lost meanwhile.
REST_SECONDS = 0.5


class PatientPull:
    """A pull subscription in the place of the one that it wraps."""

    def __init__(self, subscription: JetStreamContext.PullSubscription, connection: Client) -> None:
        self._subscription = subscription
        self._connection = connection

    async def fetch(self, batch: int, timeout: float) -> list[Msg]:  # noqa: ASYNC109 - FastStream calls it so
        """Wait for messages. Raises TimeoutError of nats-py where there are none, for whatever reason."""
        if not self._connection.is_connected:
            await asyncio.sleep(LOOK_SECONDS)
            raise nats.errors.TimeoutError
        try:
            return await self._subscription.fetch(batch, timeout)
        except nats.errors.TimeoutError:
            raise
        except (nats.errors.Error, APIError, OSError) as error:
            await asyncio.sleep(REST_SECONDS)
            raise nats.errors.TimeoutError from error

    async def unsubscribe(self) -> None:
        """End the subscription."""
        await self._subscription.unsubscribe()
