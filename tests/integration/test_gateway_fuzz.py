"""Whatever is sent, the door answers in its own words, stays, and stores nothing that cannot be read.

Requests are drawn from the door's own OpenAPI document: every path, every content type that it names."""

import asyncio
import gzip
import json
from contextlib import AsyncExitStack, closing
from typing import Any

from doors import PATIENCE, Sender, alert, head, opened, webhook
from hypothesis import given, settings
from hypothesis import strategies as st

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import CellName, Recorded, StoredMessage, Undecodable, decode
from remediation_orchestrator.gateway.openapi import document
from remediation_orchestrator.gateway.sources import built_in

DOCUMENT: Any = document(built_in(), guarded=False)
OPERATIONS = [
    (path, media_type)
    for path, methods in DOCUMENT["paths"].items()
    if "post" in methods
    for media_type in methods["post"]["requestBody"]["content"]
]
STATUSES = {path: set(DOCUMENT["paths"][path]["post"]["responses"]) for path, _ in OPERATIONS}

words = st.text(max_size=12) | st.sampled_from(
    ["firing", "resolved", "4", "1", "1.0", "SignalReceived.v1", "\0", "--"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
KEYS = (
    "status",
    "labels",
    "annotations",
    "startsAt",
    "reason",
    "involvedObject",
    "metadata",
    "name",
    "target",
    "data",
)
objects = st.dictionaries(st.sampled_from(KEYS) | words, json_values, max_size=6)
alerts = st.builds(lambda more: {**alert(), **more}, objects) | objects
EVENT = {"specversion": "1.0", "id": "1", "source": "/x", "type": "SignalReceived.v1"}
bodies = st.one_of(
    st.binary(max_size=60),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.lists(alerts, max_size=4).map(lambda found: webhook(*found)),
    st.lists(objects, max_size=3).map(lambda found: json.dumps({"items": found}).encode()),
    st.builds(lambda more: json.dumps({**EVENT, **more}).encode(), objects),
    st.lists(objects, max_size=3).map(lambda found: json.dumps([{**EVENT, **one} for one in found]).encode()),
)


class Doorway:
    """One door for all examples of a test."""

    def __init__(self, runner: asyncio.Runner, url: str, cell: CellName) -> None:
        self._runner = runner
        self._stack = AsyncExitStack()
        self.log, self.sender = runner.run(self._open(url, cell))

    async def _open(self, url: str, cell: CellName) -> tuple[JetStreamLog, Sender]:
        client = await self._stack.enter_async_context(connected(url))
        log = await JetStreamLog.ensure(client, cell)
        return log, await self._stack.enter_async_context(opened(log))

    def close(self) -> None:
        """Close it, and the connection behind it."""
        self._runner.run(self._stack.aclose())


def test_every_answer_is_one_of_the_document_and_what_is_stored_can_be_read(
    server: EmbeddedServer, cell: CellName
) -> None:
    """A 2xx names a place for each item, where a signal stands or what was refused."""
    with asyncio.Runner() as runner, closing(Doorway(runner, server.url, cell)) as door:

        @settings(max_examples=300)
        @given(operation=st.sampled_from(OPERATIONS), body=bodies, packed=st.booleans())
        def answers(operation: tuple[str, str], body: bytes, packed: bool) -> None:
            runner.run(_send(door, *operation, body, packed))

        answers()


async def _send(door: Doorway, path: str, media_type: str, body: bytes, packed: bool) -> None:
    before = await door.log.last_sequence()
    sent, headers = (gzip.compress(body), {"content-encoding": "gzip"}) if packed else (body, {})
    reply = await door.sender.post(path, sent, kind=media_type, headers=headers)
    assert str(reply.status) in STATUSES[path]
    assert reply.status < 500
    stored = [message async for message in door.log.read(before + 1)]
    if reply.status == 200:
        _check(reply.said, stored)
    else:
        assert stored == []


def _check(said: dict[str, Any], stored: list[StoredMessage]) -> None:
    """What the answer says and what the log holds are the same."""
    if said.get("duplicate") or not said["positions"]:
        assert stored == []
        return
    records = [record for message in stored for record in decode(message)]
    assert [record.position for record in records] == said["positions"]
    wrong = [record for record in records if isinstance(record, Undecodable)]
    assert all("refused: " in record.message for record in wrong)
    assert bool(wrong) == ("rejected" in said)
    assert any(isinstance(record, Recorded) for record in records)


def test_bytes_that_are_hardly_http_do_not_take_the_door_along(server: EmbeddedServer, cell: CellName) -> None:
    """It closes on them, or waits for more, and answers the next."""
    begun = head("POST", "/v1/alertmanager", {})[:-2]
    with asyncio.Runner() as runner, closing(Doorway(runner, server.url, cell)) as door:

        @settings(max_examples=100)
        @given(raw=st.binary(max_size=200) | st.binary().map(begun.__add__))
        def disturbs(raw: bytes) -> None:
            runner.run(_disturb(door.sender, raw))

        disturbs()
        assert runner.run(door.log.last_sequence()) == 0


async def _disturb(sender: Sender, raw: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sender.port)
    writer.write(raw)
    writer.write_eof()
    async with asyncio.timeout(PATIENCE):
        await reader.read(65_536)
    writer.close()
    assert (await sender.get("/livez")).status == 200
