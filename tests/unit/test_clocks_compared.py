"""How one's own clock and the broker's stamps compare."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from remediation_orchestrator.bus import clock as clocks
from remediation_orchestrator.bus.clock import TELL_SECONDS, BrokerClock, ComparedClock
from remediation_orchestrator.bus.port import Holding, LeaseState

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Time:
    """An event loop's time that goes on as the test says; nothing else of a loop is asked for."""

    def __init__(self) -> None:
        self.passed = 100.0

    def time(self) -> float:
        """Seconds."""
        return self.passed


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The time of whoever compares."""
    made = Time()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made


@pytest.fixture
def clock(time: Time) -> ComparedClock:
    """One whose machine's clock is right."""
    return ComparedClock(BrokerClock(START, monotonic=time.time))


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Both readings of every line."""
    lines = [vars(one) for one in caplog.records if one.name == clocks.log.name]
    return [(line["broker"], line["own"]) for line in lines]


def test_clocks_that_differ_are_told_once_a_minute_with_both_readings(
    clock: ComparedClock, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    """However many frames there are; and no more once they agree."""
    for _ in range(3):
        clock.observe(clock.reckoning() + HOUR, time.passed)
    assert told(caplog) == [("2026-11-21T11:00:00+00:00", "2026-11-21T10:00:00+00:00")]
    assert clock.remark == "the broker's clock is 3,600 s ahead of this machine's: one of them is wrong"
    time.passed += TELL_SECONDS
    clock.observe(clock.reckoning() + HOUR, time.passed)
    assert len(told(caplog)) == 2
    clock.observe(clock.reckoning() - timedelta(seconds=5), time.passed)
    assert clock.remark is None


def test_a_late_answer_is_no_difference_of_clocks(
    clock: ComparedClock, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that was away for a minute has stamped when it stored; two in a row lie back in truth."""
    clock.observe(clock.reckoning() - timedelta(minutes=1), time.passed)
    assert (clock.remark, told(caplog)) == (None, [])
    clock.observe(clock.reckoning(), time.passed)
    clock.observe(clock.reckoning() - HOUR, time.passed)
    clock.observe(clock.reckoning() - HOUR, time.passed)
    assert clock.remark == "the broker's clock is 3,600 s behind this machine's: one of them is wrong"


def test_what_was_read_late_counts_from_when_it_was_acknowledged(clock: ComparedClock, time: Time) -> None:
    """A leader that is busy takes its own frame back a while after it was stored."""
    stamp = clock.reckoning()
    for _ in range(2):
        time.passed += 60
        clock.observe(stamp, 100.0)
    assert clock.remark is None


def test_who_stands_by_compares_with_the_renewals_that_it_sees(clock: ComparedClock, time: Time) -> None:
    """Of which only those count that came while it looked."""
    ahead = START + HOUR
    clock.looked(Holding(LeaseState.HELD, "a", ahead, revision=1), time.passed)
    clock.looked(Holding(LeaseState.HELD, "a", ahead, revision=1), time.passed)
    clock.looked(Holding(LeaseState.LAPSED, None, ahead, revision=2), time.passed)
    assert clock.remark is None
    clock.looked(Holding(LeaseState.HELD, "a", ahead, revision=3), time.passed)
    assert clock.remark is not None
