"""Say to a server what no client of ours would say."""

import asyncio
from contextlib import closing
from urllib.parse import urlsplit

import msgspec

from remediation_orchestrator.bus.embedded import EmbeddedServer


async def publish_raw(server: EmbeddedServer, operation: bytes) -> None:
    """Say something to the server that no client of ours would say, and wait until it has heard it."""
    at = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    with closing(writer):
        greeting = {"verbose": False, "headers": True, "user": at.username, "pass": at.password}
        writer.write(b"CONNECT " + msgspec.json.encode(greeting) + b"\r\n" + operation + b"PING\r\n")
        async with asyncio.timeout(10):
            while await reader.readline() != b"PONG\r\n":
                pass
