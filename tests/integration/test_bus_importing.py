"""Bringing in a log of more records than are stored together."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from nats.aio.client import Client

from remediation_orchestrator.bus import api
from remediation_orchestrator.bus.imported import BATCH_BYTES, bring_in
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import TOGETHER_MAX, LogError, stream_name
from remediation_orchestrator.events import CellName, StoredMessage

FIRST = 41


def records(cell: CellName, count: int, size: int = 10) -> Iterator[StoredMessage]:
    """So many records from FIRST on, some of them with headers of their own."""
    for number in range(count):
        stamp = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(microseconds=number)
        headers = {"Nats-Msg-Id": "always the same"} if number % 3 == 0 else None
        yield StoredMessage(FIRST + number, stamp, f"ro.{cell}.signal.test", b"x" * size, headers)


@pytest.mark.parametrize(
    ("count", "size"),
    [(2 * TOGETHER_MAX + 1, 10), (TOGETHER_MAX, 10), (60, BATCH_BYTES // 20)],
    ids=["many", "just one batch", "large"],
)
async def test_every_record_is_read_as_it_was(connection: Client, cell: CellName, count: int, size: int) -> None:
    """Its sequence, stamp, bytes and headers."""
    assert await bring_in(connection, cell, FIRST, records(cell, count, size)) == count
    log = await JetStreamLog.open(connection, cell)
    assert [message async for message in log.read(FIRST)] == list(records(cell, count, size))


async def test_a_log_that_breaks_off_in_a_later_batch_leaves_nothing(connection: Client, cell: CellName) -> None:
    """What was stored before is taken back."""

    def broken() -> Iterator[StoredMessage]:
        yield from records(cell, TOGETHER_MAX)
        raise LogError("the file ends here")

    with pytest.raises(LogError, match="ends here"):
        await bring_in(connection, cell, FIRST, broken())
    assert await api.stream_info(connection, stream_name(cell)) is None
