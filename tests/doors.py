"""A door on a free port, and a sender that speaks plain HTTP to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from remediation_orchestrator.bus.port import EventLog
from remediation_orchestrator.gateway.access import OPEN, Access, Authenticator
from remediation_orchestrator.gateway.door import Door
from remediation_orchestrator.gateway.formats import alertmanager
from remediation_orchestrator.gateway.formats.mapping import Mapping
from remediation_orchestrator.gateway.items import AnySignal, Found, Refused, WebhookError
from remediation_orchestrator.gateway.server import serve
from remediation_orchestrator.gateway.sources import Rules, built_in
from remediation_orchestrator.web.server import listen

PATIENCE = 20.0


def signals_of(body: bytes, now: datetime) -> list[AnySignal]:
    """Return one signal an alert, in their order. WebhookError names everything that is wrong."""
    items = list(alertmanager.items_of(body, now))
    wrong = [line for item in items if isinstance(item, Refused) for line in item.lines]
    if wrong:
        raise WebhookError(wrong)
    return [item.signal for item in items if isinstance(item, Found)]


class Reply(Struct):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        """The body, which is always a JSON object."""
        found: dict[str, Any] = msgspec.json.decode(self.body)
        return found


class Sender:
    """Sends requests, each on a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def send(self, raw: bytes) -> Reply:
        """Send bytes as they are, and read the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(raw)
                return await read_reply(reader)
        finally:
            writer.close()

    async def post(
        self, path: str, body: bytes, *, kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> Reply:
        """Post a body."""
        lines = {"content-type": kind, "content-length": str(len(body)), **(headers or {})}
        return await self.send(head("POST", path, lines) + body)

    async def get(self, path: str, method: str = "GET") -> Reply:
        """Get a page."""
        return await self.send(head(method, path, {}))


def head(method: str, path: str, headers: dict[str, str]) -> bytes:
    """Write the head of a request."""
    lines = [f"{method} {path} HTTP/1.1", "host: door", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    """Read one answer."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Reply(int(status.split()[1]), headers, body)


@asynccontextmanager
async def opened(
    log: EventLog,
    *,
    rules: Rules | None = None,
    mappings: Sequence[Mapping] = (),
    access: Access = OPEN,
    rate: float | None = None,
) -> AsyncIterator[Sender]:
    """A door that is open for as long as the block lasts."""
    door = Door(log, built_in(mappings), rules or Rules(), Authenticator(access), rate)
    await door.open()
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    stopping = asyncio.Event()
    task = asyncio.create_task(serve(door, listening, stopping))
    try:
        yield Sender(port)
    finally:
        stopping.set()
        async with asyncio.timeout(PATIENCE):
            await task


def alert(name: str = "DiskFilling", pod: str = "ledger", **more: Any) -> dict[str, Any]:
    """Write an alert as Alertmanager does."""
    return {
        "status": "firing",
        "labels": {"alertname": name, "severity": "warning", "namespace": "shop", "pod": pod},
        "annotations": {},
        "startsAt": "2026-11-21T10:00:00Z",
        **more,
    }


def webhook(*alerts: object) -> bytes:
    """Write Alertmanager's body around alerts."""
    return json.dumps({"version": "4", "alerts": alerts}).encode()
