"""The wait after failures in a row, by its formula, with literal expectations."""

import hashlib
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from msgspec.structs import replace

from remediation_orchestrator.events import Fingerprint
from remediation_orchestrator.orchestrator.routing.backoff import backoff, count_remembered, next_allowed_execution
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
US = timedelta(microseconds=1)
F = Fingerprint("F")
EVEN = replace(DEFAULT.routing, jitter=0.0)


@pytest.mark.parametrize(("failures", "minutes"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (6, 10), (10_000, 10)])
def test_the_wait_doubles_up_to_its_cap(failures: int, minutes: int) -> None:
    """Base times 2 to the n minus 1."""
    assert backoff(EVEN, F, failures) == timedelta(minutes=minutes)


def test_the_jitter_is_the_fingerprints_own_and_may_pass_the_cap() -> None:
    """The cap included, lengthened by up to a tenth, rounded down to the microsecond."""
    word = hashlib.sha256(b"F:5").digest()[:8]
    u = Fraction(int.from_bytes(word, "big"), 2**64)
    exact = Fraction(600_000_000) * (1 + Fraction(1, 10) * u)
    assert backoff(DEFAULT.routing, F, 5) == timedelta(microseconds=exact.numerator // exact.denominator)
    assert backoff(DEFAULT.routing, F, 5) > timedelta(minutes=10)


def test_a_policy_without_jitter_spreads_nothing() -> None:
    """An absent key is no jitter."""
    assert backoff(replace(DEFAULT.routing, jitter=None), F, 1) == timedelta(minutes=1)


def test_a_base_above_the_cap_is_the_cap() -> None:
    """From the first failure on."""
    assert backoff(replace(EVEN, backoff_base=timedelta(hours=1)), F, 1) == timedelta(minutes=10)


@pytest.mark.parametrize(("failures", "minutes"), [(0, None), (1, 1), (2, 2), (3, None), (4, None)])
def test_the_next_allowed_execution_counts_from_the_last_failure(failures: int, minutes: int | None) -> None:
    """For 0 < n < threshold; above, the cooldown speaks."""
    expected = None if minutes is None else AT + timedelta(minutes=minutes)
    assert next_allowed_execution(EVEN, F, failures, AT) == expected


def test_without_a_threshold_backoff_speaks_for_every_count() -> None:
    """There is no cooldown to speak instead."""
    endless = replace(EVEN, consecutive_failure_threshold=None)
    assert next_allowed_execution(endless, F, 99, AT) == AT + timedelta(minutes=10)


def test_without_a_failure_or_its_keys_nothing_is_forbidden() -> None:
    """No stamp, no base, no cap."""
    assert next_allowed_execution(EVEN, F, 1, None) is None
    assert next_allowed_execution(replace(EVEN, backoff_base=None), F, 1, AT) is None
    assert next_allowed_execution(replace(EVEN, backoff_cap=None), F, 1, AT) is None


def test_failures_are_forgotten_together_and_only_after_their_memory() -> None:
    """At exactly the memory they still count."""
    memory = timedelta(hours=24)
    assert count_remembered(4, AT, AT + memory, EVEN) == 4
    assert count_remembered(4, AT, AT + memory + US, EVEN) == 0
    assert count_remembered(4, AT, AT + 100 * memory, replace(EVEN, failure_memory=None)) == 4
    assert count_remembered(4, None, AT, EVEN) == 0


def test_there_is_one_delay_for_one_failure() -> None:
    """What the record names as `until` is what the function says, everywhere."""
    wait = backoff(DEFAULT.routing, F, 1)
    assert next_allowed_execution(DEFAULT.routing, F, 1, AT) == AT + wait
    assert timedelta(minutes=1) <= wait <= timedelta(minutes=1.1)
