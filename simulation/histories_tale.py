"""Choices that are read from bytes, and what there is to choose from: targets, problems, policies and waits."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

from remediation_orchestrator.events import Target

T = TypeVar("T")
TARGETS = (Target("a", "eu-1"), Target("b", "eu-1"))
NAMES = ("N", "M", "N")
WORKFLOWS = ("w", "w", "v", None)
ALERTS = ("", "", "a", "a", "b")
# Seconds: at once, within a round's moment, and around every duration of the policies below.
WAITS = (0.0, 0.0, 0.0, 0.003, 0.01, 1.0, 20.0, 59.0, 61.0, 90.0, 125.0, 200.0, 305.0, 660.0)
# Just longer than the shortest memory for failures: what it has forgotten is not brought back.
SHORT_MEMORY_SECONDS = 125.0
DECADES = timedelta(days=3_652)
JUNK = b'{"stream":"RO_main","seq":7}'


PATIENT = {"within": "3m", "settle": "1m", "chain": 2, "chain_window": "5m"}
QUIET = {"within": "2m", "settle": "0s", "silence": "90s", "chain": 1, "chain_window": "2m"}


def _policies() -> list[dict[str, object]]:
    routing: dict[str, object] = {
        "consecutive_failure_threshold": 3,
        "consecutive_failure_cooldown": "5m",
        "retry_limit": 5,
        "failure_memory": "10m",
        "backoff_base": "1m",
        "backoff_cap": "2m",
        "jitter": 0.1,
        "signal_cooldown": "1m",
        "workflow_cooldown": "90s",
        "signal_max_age": "3m",
        "alert_memory": "5m",
        "runs_per_analysis": 2,
    }
    timeouts = {"starting": "1m", "executing": "3m", "analyzing": "2m", "approval": "2m"}
    forgetful = {
        **routing,
        "failure_memory": "2m",
        "retry_limit": 2,
        "signal_cooldown": "0s",
        "alert_memory": "1m",
        "runs_per_analysis": 1,
    }
    return [
        {"routing": routing, "timeouts": timeouts},
        {"routing": forgetful, "timeouts": timeouts},
        {
            "routing": {"failure_memory": "1h", "retry_limit": 2, "alert_memory": "2m"},
            "timeouts": {**timeouts, "executing": "10m"},
        },
        {
            "routing": {**routing, "signal_max_age": "1m", "runs_per_analysis": 1},
            "timeouts": timeouts,
            "scope": {"exclude": [{"target": {"name": "b"}}]},
        },
        {"routing": routing, "timeouts": timeouts, "verification": PATIENT},
        {"routing": forgetful, "timeouts": timeouts, "verification": QUIET},
        {"routing": {"retry_limit": 0}},
    ]


POLICIES = _policies()
"""The last one is invalid."""


class OverError(Exception):
    """The tale is told."""


class Tale:
    """Choices, read from bytes."""

    def __init__(self, told: bytes) -> None:
        self._told = iter(told)

    def pick(self, of: Sequence[T]) -> T:
        """The next choice. Raises OverError where there is none."""
        try:
            return of[next(self._told) % len(of)]
        except StopIteration:
            raise OverError from None
