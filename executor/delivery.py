"""A delivery of a JetStream consumer, as the worker sees it: every word to the broker waits for its answer."""

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from remediation_orchestrator.bus.feed import placed, recorded_at
from remediation_orchestrator.bus.topology import NANOSECONDS
from remediation_orchestrator.events import StoredMessage

from .lease import DeliveryError

_IN_PROGRESS = b"+WPI"
_ACKNOWLEDGED = b"+ACK"
_NOT_NOW = b'-NAK {"delay": %d}'


class NatsDelivery:
    """One message that a pull consumer delivered. `answer_wait` bounds, in seconds, the wait for the broker."""

    def __init__(self, message: Msg, connection: Client, answer_wait: float) -> None:
        self._message = message
        self._connection = connection
        self._answer_wait = answer_wait
        sequence, _, nanoseconds, _ = placed(message.reply)
        self._command = StoredMessage(
            sequence, recorded_at(nanoseconds), message.subject, message.data, message.headers or None
        )

    @property
    def command(self) -> StoredMessage:
        """The command as it is stored."""
        return self._command

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

    async def pass_on(self, seconds: float) -> None:
        """Have it delivered again after so long, to whoever asks then. Raises DeliveryError."""
        await self._say(_NOT_NOW % int(seconds * NANOSECONDS))

    async def _say(self, word: bytes) -> None:
        """As a request, because a published word may be lost with its connection and nobody would know."""
        try:
            await self._connection.request(self._message.reply, word, timeout=self._answer_wait)
        except (nats.errors.Error, OSError) as error:
            raise DeliveryError(f"no answer to {word.decode()}: {error or type(error).__name__}") from error
