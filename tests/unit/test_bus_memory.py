"""The log in memory: its faults, its time, and processes that end."""

from datetime import UTC, datetime, timedelta

import pytest

from remediation_orchestrator.bus.memory import FaultPoint, MemoryCell
from remediation_orchestrator.bus.port import DUPLICATE_WINDOW, UnknownOutcomeError
from remediation_orchestrator.events import CellName

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
SUBJECT = "ro.main.decision"
TTL = timedelta(seconds=5)


class Time:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        """Where it stands."""
        return self.now


@pytest.fixture
def time() -> Time:
    """This cell's time."""
    return Time()


@pytest.fixture
def broker(time: Time) -> MemoryCell:
    """An empty cell."""
    return MemoryCell(CellName("main"), time)


def failing(moment: FaultPoint) -> "tuple[list[FaultPoint], object]":
    """Faults that strike at one moment, and the moments that were met."""
    met: list[FaultPoint] = []

    async def faults(at: FaultPoint, subject: str) -> None:
        met.append(at)
        if at is moment:
            raise UnknownOutcomeError(subject)

    return met, faults


@pytest.mark.parametrize(("moment", "left"), [(FaultPoint.STORE, 0), (FaultPoint.ANSWER, 1)])
async def test_an_append_fails_before_or_after_it_is_stored(
    broker: MemoryCell, moment: FaultPoint, left: int
) -> None:
    """The writer cannot tell which; another handle is untouched."""
    _, faults = failing(moment)
    with pytest.raises(UnknownOutcomeError):
        await broker.log(faults).append(SUBJECT, b"x")  # type: ignore[arg-type]
    assert await broker.log().last_sequence() == left


async def test_stamps_are_the_time_that_was_given(broker: MemoryCell, time: Time) -> None:
    """And nothing else's."""
    log = broker.log()
    for _ in range(2):
        await log.append(SUBJECT, b"x")
        time.now += timedelta(days=1)
    assert [message.recorded_at - START async for message in log.read()] == [timedelta(0), timedelta(days=1)]


async def test_a_message_id_is_forgotten_after_its_window(broker: MemoryCell, time: Time) -> None:
    """As on the server."""
    log = broker.log()
    assert await log.append(SUBJECT, b"x", message_id="a") == 1
    time.now += DUPLICATE_WINDOW - timedelta(microseconds=1)
    assert await log.append(SUBJECT, b"x", message_id="a") == 1
    time.now += timedelta(microseconds=1)
    assert await log.append(SUBJECT, b"x", message_id="a") == 2


async def test_a_lease_lapses_by_the_given_time(broker: MemoryCell, time: Time) -> None:
    """At its end it is free; a renewal moves the end."""
    one, other = broker.lease(TTL), broker.lease(TTL)
    assert await one.acquire("a")
    time.now += TTL - timedelta(microseconds=1)
    assert not await other.acquire("b")
    assert await one.renew("a")
    time.now += TTL
    assert await other.holder() is None
    assert not await one.renew("a")
    assert await other.acquire("b")
