"""Several messages on one subject, one right after the other: all of them or none."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from remediation_orchestrator.bus.port import EventLog, StaleWriteError
from remediation_orchestrator.events import StoredMessage

MakeLog = Callable[..., Awaitable[EventLog]]


def on(log: EventLog, rest: str = "signal.test") -> str:
    """A subject of the log."""
    return f"ro.{log.cell}.{rest}"


async def all_of(log: EventLog, start: int = 1) -> list[StoredMessage]:
    """Everything there is now."""
    return [message async for message in log.read(start)]


async def test_what_is_appended_in_a_row_stands_in_a_row_on_one_subject(log: EventLog) -> None:
    """Behind what was expected there; the first's sequence is returned."""
    await log.append(on(log), b"before")
    await log.append(on(log, "signal.other"), b"between")
    assert await log.append_in_a_row(on(log), [b"1", b"2", b"3"], expect=1) == 3
    assert await log.append_in_a_row(on(log), [b"4"], expect=5) == 6
    assert [(m.sequence, m.payload) for m in await all_of(log, 3)] == [(3, b"1"), (4, b"2"), (5, b"3"), (6, b"4")]


async def test_of_what_is_appended_in_a_row_nothing_is_stored_behind_another(log: EventLog) -> None:
    """Whoever was first there is known by its sequence, or by another's."""
    await log.append(on(log), b"before")
    with pytest.raises(StaleWriteError):
        await log.append_in_a_row(on(log), [b"1", b"2"], expect=0)
    assert await log.last_sequence() == 1


async def test_of_rows_at_once_one_is_stored_whole(make_log: MakeLog) -> None:
    """And nothing stands between its messages, also not what others store meanwhile on other subjects."""
    logs = [await make_log() for _ in range(4)]
    rows = [[f"{number}-{index}".encode() for index in range(40)] for number in range(4)]
    await asyncio.gather(
        *(log.append_in_a_row(on(log), row, expect=0) for log, row in zip(logs, rows, strict=True)),
        *(logs[0].append(on(log, "signal.other"), b"x") for log in logs for _ in range(10)),
        return_exceptions=True,
    )
    stored = await all_of(logs[0])
    mine = [m for m in stored if m.subject == on(logs[0])]
    assert [m.payload for m in mine] in rows
    assert [m.sequence for m in mine] == list(range(mine[0].sequence, mine[0].sequence + 40))
