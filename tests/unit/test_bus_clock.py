"""The broker's clock as this process knows it."""

from datetime import UTC, datetime, timedelta

from remediation_orchestrator.bus.clock import BrokerClock

START = datetime(2026, 11, 21, 10, tzinfo=UTC)


class Monotonic:
    """A monotonic clock that stands until it is moved."""

    def __init__(self) -> None:
        self.nanoseconds = 5

    def __call__(self) -> int:
        """Where it stands."""
        return self.nanoseconds


def test_it_goes_on_from_the_last_stamp_in_whole_microseconds() -> None:
    """Truncated, so never ahead."""
    monotonic = Monotonic()
    clock = BrokerClock(START, monotonic_ns=monotonic)
    assert clock.now() == START
    monotonic.nanoseconds += 1_999
    assert clock.now() == START + timedelta(microseconds=1)


def test_a_stamp_sets_it_forward_and_back() -> None:
    """To exactly that stamp, and no further."""
    monotonic = Monotonic()
    clock = BrokerClock(START, monotonic_ns=monotonic)
    monotonic.nanoseconds += 10**9
    for stamp in (START + timedelta(hours=1), START - timedelta(milliseconds=3)):
        clock.observe(stamp)
        assert clock.now() == stamp
        monotonic.nanoseconds += 10**6
        assert clock.now() == stamp + timedelta(milliseconds=1)
