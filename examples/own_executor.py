"""Your own executor of commands: claim, run, report. Needs FastStream, and the broker's address in NATS_URL."""

import asyncio
import os
from datetime import UTC, datetime

from faststream import AckPolicy, FastStream
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.js.errors import BadRequestError

broker, log = NatsBroker(os.environ["NATS_URL"]), JStream("RO_main", declare=False)


async def tell(execution: str, what: str, expect: int, **data: str) -> int:
    """Append a fact behind the record that must be the last there; 0: it must be the first."""
    event = {"specversion": "1.0", "id": what, "source": "/own", "type": f"{what}.v1"}
    event |= {"time": datetime.now(UTC).isoformat(), "data": {"execution": execution, **data}}
    headers = {"Nats-Expected-Last-Subject-Sequence": str(expect)}
    return (await broker.publish(event, f"ro.main.execution.{execution}", stream="RO_main", headers=headers)).seq


COMMANDS = {"subject": "ro.main.command.workflow.*", "stream": log, "durable": "executor"}


@broker.subscriber(**COMMANDS, pull_sub=PullSub(1), ack_policy=AckPolicy.MANUAL)
async def run(command: dict, message: NatsMessage) -> None:
    """Whoever is the first on an execution's subject may run it; nobody else ever does."""
    execution, target = command["data"]["execution"], command["data"]["target"]["name"]
    try:
        claim = await tell(execution, "WorkflowStarted", 0, executor="own")
        await tell(execution, "WorkflowCompleted", claim, output=f"repaired {target}")
    except BadRequestError as refused:
        print(f"{execution} is somebody else's, or revoked: {refused}")
    await message.ack()


if __name__ == "__main__":
    asyncio.run(FastStream(broker).run())
