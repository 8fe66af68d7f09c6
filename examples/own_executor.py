"""Your own executor of commands: claim, run, report. Run it with NATS_URL=... python own_executor.py"""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.js.errors import BadRequestError

broker, log = NatsBroker(os.environ["NATS_URL"]), JStream("RO_main", declare=False)
app, COMMANDS = FastStream(broker), "ro.main.command.workflow.*"


async def tell(what: str, data: dict[str, str], last: int) -> int:
    """Append a fact behind the record at `last`; with 0 it has to be the first of its execution."""
    event: dict[str, Any] = {"specversion": "1.0", "id": what, "source": "/own", "type": what, "data": data}
    headers = {"Nats-Expected-Last-Subject-Sequence": str(last)}
    subject, time = f"ro.main.execution.{data['execution']}", datetime.now(UTC).isoformat()
    return (await broker.publish({**event, "time": time}, subject, stream="RO_main", headers=headers)).seq


@broker.subscriber(COMMANDS, durable="executor", stream=log, pull_sub=PullSub(1), ack_policy=AckPolicy.MANUAL)
async def run(command: dict[str, Any], message: NatsMessage) -> None:
    """Run a command, if nobody has claimed it before."""
    execution, target = command["data"]["execution"], command["data"]["target"]["name"]
    try:
        claim = await tell("WorkflowStarted.v1", {"execution": execution, "executor": "own"}, 0)
        await tell("WorkflowCompleted.v1", {"execution": execution, "output": f"repaired {target}"}, claim)
    except BadRequestError as refused:
        print(f"{execution} is somebody else's, or revoked: {refused}")
    await message.ack()


if __name__ == "__main__":
    asyncio.run(app.run())
