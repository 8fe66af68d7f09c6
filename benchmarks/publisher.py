"""A child process: publish drawn signals as fast as the server stores them, many at once.

Acknowledgements are counted on one inbox, which costs a third of what nats-py's `publish_async` does: so the
publisher takes as little as it can of what the server and the orchestrator share with it."""

import asyncio
import sys
from collections.abc import Sequence

from nats.aio.client import Client
from nats.aio.msg import Msg

from benchmarks.stage import said_to_go_on
from benchmarks.workload import MIXES, frames, signals
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.events import subjects
from remediation_orchestrator.events.identity import cell_name

# Enough that the server is never idle, and few enough that it answers within a fifth of a second.
UNDER_WAY_MAX = 1_000


async def publish(connection: Client, subject: str, payloads: list[bytes]) -> None:
    """Publish all on one subject, and return when all are acknowledged."""
    await publish_records(connection, [(subject, payload, None) for payload in payloads])


async def publish_records(connection: Client, records: Sequence[tuple[str, bytes, dict[str, str] | None]]) -> None:
    """Publish all, each on its subject and with its headers, and return when all are acknowledged."""
    acknowledged = 0
    progress = asyncio.Event()

    async def on_answer(answer: Msg) -> None:
        nonlocal acknowledged
        if b'"error"' in answer.data:
            raise RuntimeError(answer.data.decode())
        acknowledged += 1
        progress.set()

    inbox = connection.new_inbox()
    subscription = await connection.subscribe(inbox, cb=on_answer, pending_msgs_limit=0, pending_bytes_limit=0)
    for sent, (subject, payload, headers) in enumerate(records):
        while sent - acknowledged >= UNDER_WAY_MAX:
            progress.clear()
            await progress.wait()
        await connection.publish(subject, payload, reply=inbox, headers=headers)
    while acknowledged < len(records):
        progress.clear()
        await progress.wait()
    await subscription.unsubscribe()


async def main(url: str, cell: str, mix: str, count: str, size: str) -> None:
    """Draw, wait for the word, publish."""
    number, together = int(count), int(size)
    drawn = signals(number, MIXES[mix]) if together == 1 else frames(number, MIXES[mix], together)
    async with connected(url, name="publisher") as connection:
        await said_to_go_on()
        await publish(connection, subjects.signal(cell_name(cell), "bench"), drawn)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
