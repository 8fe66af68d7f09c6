"""How long a fingerprint waits after its failures: longer each time, spread, and the same in every replay."""

import hashlib
from datetime import datetime, timedelta
from fractions import Fraction
from functools import lru_cache

from remediation_orchestrator.events import Fingerprint
from remediation_orchestrator.events.durations import MICROSECOND, later

from .policy import RoutingPolicy


def count_remembered(failures: int, last_failure_at: datetime | None, now: datetime, policy: RoutingPolicy) -> int:
    """Failures in a row that still count; at exactly `failure_memory` after the last they do."""
    memory = policy.failure_memory
    if last_failure_at is None or (memory is not None and now - last_failure_at > memory):
        return 0
    return failures


def backoff(policy: RoutingPolicy, fingerprint: Fingerprint, failures: int) -> timedelta:
    """The wait after so many failures in a row: never shorter than promised, jitter included never random."""
    if policy.backoff_base is None or policy.backoff_cap is None or failures < 1:
        return timedelta(0)
    promised = min((policy.backoff_base // MICROSECOND) << (failures - 1), policy.backoff_cap // MICROSECOND)
    return (promised + _jitter(promised, policy.jitter or 0.0, fingerprint, failures)) * MICROSECOND


def next_allowed_execution(
    policy: RoutingPolicy, fingerprint: Fingerprint, failures: int, last_failure_at: datetime | None
) -> datetime | None:
    """When backoff lets a fingerprint run again; None where it has nothing to say."""
    threshold = policy.consecutive_failure_threshold
    if last_failure_at is None or failures < 1 or (threshold is not None and failures >= threshold):
        return None
    if policy.backoff_base is None or policy.backoff_cap is None:
        return None
    return later(last_failure_at, backoff(policy, fingerprint, failures))


def _jitter(promised: int, share: float, fingerprint: Fingerprint, failures: int) -> int:
    """Microseconds to add: promised × share × u, rounded down, in whole numbers so that no float can differ."""
    word = hashlib.sha256(f"{fingerprint}:{failures}".encode()).digest()[:8]
    exact = _as_written(share)
    return promised * exact.numerator * int.from_bytes(word, "big") // (exact.denominator << 64)


@lru_cache(maxsize=16)
def _as_written(share: float) -> Fraction:
    """The decimal that a person wrote: 0.1 is a tenth."""
    return Fraction(repr(share))
