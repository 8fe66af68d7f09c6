"""Publish a signal with plain nats-py, and say where it stands. Needs the broker's address in NATS_URL."""

import asyncio
import json
import os

import nats

SIGNAL = {
    "name": "NodeFilesystemAlmostOutOfSpace",
    "target": {"cluster": "eu-1", "kind": "Node", "name": "node-7"},
    "severity": "warning",
    "resolves": True,
}


async def publish() -> None:
    """JetStream's answer means that the signal is on disk; a misspelt subject is refused."""
    connection = await nats.connect(os.environ["NATS_URL"])
    stored = await connection.jetstream().publish("ro.main.signal.example", json.dumps(SIGNAL).encode())
    print(f"stored at {stored.seq}")
    await connection.close()


if __name__ == "__main__":
    asyncio.run(publish())
