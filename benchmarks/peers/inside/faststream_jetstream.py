"""Plain FastStream on JetStream: consume a signal, decide by a dictionary, publish the decision, acknowledge.

It takes our orchestrator's place in a cell: the same stream on the same server, the same publisher before it, the
same subjects. A signal is acknowledged when its decision, and the command where it proceeds, have been stored by
the server, which syncs each. What it remembers is gone when it ends: nothing reads it back from the stream."""

import asyncio
import sys
import time
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.nats import JStream, NatsBroker, PullSub
from rules import Memory, Signal

# A request's messages are handled at once, each by itself. They begin in order, and a verdict is made first.
FETCHED = 100
# FastStream's own half a second is over now and then on a busy disk. Then the handler fails, the signal comes
# again, and the memory takes it for a duplicate: its command is never published.
PUBLISH_SECONDS = 30.0


def app(url: str, cell: str) -> FastStream:
    """One subscriber; FastStream acknowledges what the handler returns from."""
    broker = NatsBroker(url, logger=None)
    stream = JStream(f"RO_{cell}", declare=False)
    memory = Memory()

    async def publish(body: Any, subject: str) -> None:
        await broker.publish(body, subject, stream=stream.name, timeout=PUBLISH_SECONDS)

    @broker.subscriber(
        f"ro.{cell}.signal.*",
        stream=stream,
        durable="peer",
        pull_sub=PullSub(batch_size=FETCHED),
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    async def on_signal(body: Any) -> None:
        signals: list[Signal] = body if isinstance(body, list) else [body]
        decided = [(one, memory.decide(one, time.time())) for one in signals]
        await publish([decision(*one) for one in decided], f"ro.{cell}.decision")
        for one, verdict in decided:
            if verdict == "Proceed":
                await publish(command(one), f"ro.{cell}.command.workflow.{one['fingerprint']}")

    application = FastStream(broker, logger=None)

    @application.after_startup
    async def say() -> None:
        print("ready", flush=True)

    return application


def decision(about: Signal, verdict: str) -> dict[str, Any]:
    """Say what was decided, about what."""
    return {"fingerprint": about["fingerprint"], "target": about["target"], "verdict": verdict, "at": time.time()}


def command(about: Signal) -> dict[str, Any]:
    """Say what is to be run; `data` is where our own commands have it."""
    return {
        "data": {"fingerprint": about["fingerprint"], "target": about["target"], "workflow": about["workflow"]}
    }


async def main(url: str, cell: str) -> None:
    """Route until the standard input closes."""
    application = app(url, cell)
    running = asyncio.create_task(application.run())
    await asyncio.to_thread(sys.stdin.readline)
    application.exit()
    await running


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
