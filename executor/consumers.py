"""The durable consumers that work comes from: made where there is none, else used as they are."""

from msgspec import Struct
from nats.aio.client import Client

from remediation_orchestrator.bus import api
from remediation_orchestrator.bus.port import LogError
from remediation_orchestrator.bus.topology import NANOSECONDS, stream_name
from remediation_orchestrator.events import CellName

# The runs of all executors of a cell at one time, and more are not delivered: far above what machines can take.
RUNNING_MAX = 10_000


class UnusableConsumerError(LogError):
    """A consumer of that name is there, and work taken from it could be lost or run unseen."""


class _Config(Struct):
    ack_policy: str = ""
    ack_wait: int = 0
    max_deliver: int = -1
    filter_subject: str = ""


class _Info(Struct):
    config: _Config


async def ensure_consumer(
    connection: Client, cell: CellName, durable: str, subject: str, ack_wait: float
) -> float:
    """Make a cell's durable consumer if there is none. Return its own `ack_wait` in seconds: that one counts."""
    stream = stream_name(cell)
    try:
        info = await api.call(connection, f"CONSUMER.INFO.{stream}.{durable}", {}, _Info)
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
    return found.ack_wait / NANOSECONDS


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
        return await api.call(connection, f"CONSUMER.INFO.{stream}.{durable}", {}, _Info)
