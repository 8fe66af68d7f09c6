"""Bring an exported log into a fresh cell, to be looked into: marked in its stream's metadata, and sealed.

It never touches a cell that has a log, and leaves nothing behind where it fails."""

from collections.abc import Iterable, Iterator
from typing import Any

from nats.aio.client import Client

from remediation_orchestrator.events import CellName, StoredMessage

from . import api, topology
from .imported import in_cell, wrapped
from .port import TOGETHER_MAX, LogError, OccupiedError, stream_name
from .storing import store_together

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
            records = [(in_cell(message.subject, cell), message.payload, wrapped(message)) for message in batch]
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
