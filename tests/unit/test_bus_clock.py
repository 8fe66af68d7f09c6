"""The broker's clock as this process knows it."""

from datetime import UTC, datetime, timedelta

from remediation_orchestrator.bus.clock import BrokerClock

START = datetime(2026, 11, 21, 10, tzinfo=UTC)


class Monotonic:
    """A monotonic clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 5.0

    def __call__(self) -> float:
        """Where it stands."""
        return self.seconds


def test_it_goes_on_from_the_last_stamp() -> None:
    """By the monotonic clock, whatever that counts from."""
    monotonic = Monotonic()
    clock = BrokerClock(START, monotonic=monotonic)
    assert clock.now() == START
    monotonic.seconds += 0.25
    assert clock.now() == START + timedelta(milliseconds=250)


def test_a_stamp_sets_it_forward_and_back() -> None:
    """To exactly that stamp at the moment of its acknowledgement, and no further."""
    monotonic = Monotonic()
    clock = BrokerClock(START, monotonic=monotonic)
    monotonic.seconds += 1
    for stamp in (START + timedelta(hours=1), START - timedelta(milliseconds=3)):
        clock.observe(stamp, monotonic.seconds)
        assert clock.now() == stamp
        monotonic.seconds += 0.5
        assert clock.now() == stamp + timedelta(milliseconds=500)


def test_a_stamp_that_is_heard_of_late_counts_from_its_acknowledgement() -> None:
    """What passed between the acknowledgement and the call is not lost."""
    monotonic = Monotonic()
    clock = BrokerClock(START, monotonic=monotonic)
    acknowledged = monotonic.seconds
    monotonic.seconds += 2
    clock.observe(START, acknowledged)
    assert clock.now() == START + timedelta(seconds=2)


def test_its_own_reckoning_is_never_set_by_a_stamp() -> None:
    """It goes on from what the machine's clock showed at the start."""
    monotonic = Monotonic()
    clock = BrokerClock(START, monotonic=monotonic)
    clock.observe(START + timedelta(days=3_650), monotonic.seconds)
    monotonic.seconds += 90
    assert clock.reckoning() == START + timedelta(seconds=90)


def test_it_goes_on_in_a_sleep_of_its_machine() -> None:
    """Else what is sent after it says a time that is long over, and may be begun so much too late."""
    monotonic, since_boot = Monotonic(), Monotonic()
    clock = BrokerClock(START, monotonic=monotonic, since_boot=since_boot)
    since_boot.seconds += 600
    assert clock.now() == START + timedelta(seconds=600)
    acknowledged = monotonic.seconds
    for one in (monotonic, since_boot):
        one.seconds += 2
    clock.observe(START, acknowledged)
    assert clock.now() == START + timedelta(seconds=2)
