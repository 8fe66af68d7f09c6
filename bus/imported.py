"""Bring an exported log into a fresh cell, to be looked into: marked in its stream's metadata, and sealed.

It never touches a cell that has a log, and leaves nothing behind where it fails. Each record carries its own
cell, stamp and headers in three headers of ours. Whoever reads a stream that is marked as imported puts them back;
nobody heeds them anywhere else."""

import base64
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace
from nats.aio.client import Client

from remediation_orchestrator.events import CellName, StoredMessage
from remediation_orchestrator.events.identity import cell_name

from . import api, topology
from .port import TOGETHER_MAX, LogError, OccupiedError, stream_name
from .storing import store_together

CELL = "Ro-Cell"
RECORDED_AT = "Ro-Recorded-At"
HEADERS = "Ro-Headers"

_headers = msgspec.json.Decoder(dict[str, bytes])
"""By their bytes, which need not be text; msgspec writes bytes as base64."""


def wrap_record(message: StoredMessage) -> dict[str, str]:
    """The headers under which a record is stored again."""
    # Its own headers may hold a message id, by which the broker would take it for a repetition.
    headers = {RECORDED_AT: message.recorded_at.isoformat()}
    with suppress(ValueError):
        headers[CELL] = cell_name(message.subject.partition(".")[2].partition(".")[0])
    if message.headers:
        headers[HEADERS] = base64.b64encode(msgspec.json.encode(_raw(message.headers))).decode()
    return headers


def restore_record(message: StoredMessage) -> StoredMessage:
    """A record of a marked stream as it was in the log that it comes from."""
    headers = message.headers or {}
    if RECORDED_AT not in headers:
        return message
    own = None
    if HEADERS in headers:
        raw = _headers.decode(base64.b64decode(headers[HEADERS]))
        own = {name: value.decode(errors="surrogateescape") for name, value in raw.items()}
    stamp = datetime.fromisoformat(headers[RECORDED_AT])
    subject = in_cell(message.subject, CellName(headers[CELL])) if CELL in headers else message.subject
    return replace(message, recorded_at=stamp, subject=subject, headers=own)


def in_cell(subject: str, cell: CellName) -> str:
    """The same subject in another cell's log; one that names no cell stays as it is."""
    root, _, rest = subject.partition(".")
    _, dot, rest = rest.partition(".")
    return f"{root}.{cell}.{rest}" if dot else subject


def _raw(headers: dict[str, str]) -> dict[str, bytes]:
    return {name: value.encode(errors="surrogateescape") for name, value in headers.items()}


# The broker keeps a batch beside the stream until it is whole.
BATCH_BYTES = 4 * 1024 * 1024


async def bring_in(connection: Client, cell: CellName, first: int, messages: Iterable[StoredMessage]) -> int:
    """Store a log as the cell's, from the sequence of its first record on; return how many records it has.

    Raises OccupiedError where the cell has a log. What fails half-way is taken back."""
    name = stream_name(cell)
    if await api.stream_info(connection, name) is not None:
        raise OccupiedError(f"the cell {cell!r} has a log already: import into a fresh one, named by --cell")
    created = await api.call(connection, f"STREAM.CREATE.{name}", _config(cell, first), api.StreamInfo)
    count = 0
    try:
        for batch in _batches(messages):
            records = [
                (in_cell(message.subject, cell), message.payload, wrap_record(message)) for message in batch
            ]
            sequence = await store_together(connection, records)
            if sequence != batch[-1].sequence:
                wrong = f"record {batch[-1].sequence} was stored as {sequence}: somebody else writes there"
                raise LogError(wrong)
            count += len(batch)
    except BaseException:
        await api.call(connection, f"STREAM.DELETE.{name}", {}, api.Done)
        raise
    await topology.update_stream(connection, created, {"sealed": True, "deny_delete": True, "deny_purge": True})
    return count


def _batches(messages: Iterable[StoredMessage]) -> Iterator[list[StoredMessage]]:
    """Part the records: each part is stored under one sync."""
    batch: list[StoredMessage] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == TOGETHER_MAX or size + len(message.payload) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += len(message.payload)
    if batch:
        yield batch


def _config(cell: CellName, first: int) -> dict[str, Any]:
    config = topology.stream_config(cell)
    return {**config, "first_seq": first, "metadata": {topology.IMPORTED: "true"}}
