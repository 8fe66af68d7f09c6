"""A delivery of a JetStream consumer, as the worker sees it: every word to the broker waits for its answer."""

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from .lease import DeliveryError

_IN_PROGRESS = b"+WPI"
_ACKNOWLEDGED = b"+ACK"


class NatsDelivery:
    """One message that a pull consumer delivered. `answer_wait` bounds, in seconds, the wait for the broker."""

    def __init__(self, message: Msg, connection: Client, answer_wait: float) -> None:
        self._message = message
        self._connection = connection
        self._answer_wait = answer_wait

    @property
    def subject(self) -> str:
        """The command's subject."""
        return self._message.subject

    @property
    def payload(self) -> bytes:
        """The command's bytes."""
        return self._message.data

    @property
    def sequence(self) -> int:
        """The sequence of its message in the stream."""
        return self._message.metadata.sequence.stream

    @property
    def number(self) -> int:
        """The how-manieth delivery it is."""
        return self._message.metadata.num_delivered

    async def confirm(self) -> None:
        """Ask the broker for another `ack_wait`. Raises DeliveryError."""
        await self._say(_IN_PROGRESS)

    async def acknowledge(self) -> None:
        """Tell the broker that it is done. Raises DeliveryError."""
        await self._say(_ACKNOWLEDGED)

    async def _say(self, word: bytes) -> None:
        """As a request, because a published word may be lost with its connection and nobody would know."""
        try:
            await self._connection.request(self._message.reply, word, timeout=self._answer_wait)
        except (nats.errors.Error, OSError) as error:
            raise DeliveryError(f"no answer to {word.decode()}: {error or type(error).__name__}") from error
