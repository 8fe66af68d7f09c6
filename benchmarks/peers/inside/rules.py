"""The routing that every peer which can be programmed is given: as little of ours as makes the same verdicts.

Standard library only, because a peer's environment has nothing of ours. What a verdict reads is handed in, so a
peer keeps it where it keeps its state: in an aggregate, in a table, in a dictionary."""

from dataclasses import dataclass, field
from typing import Any

THRESHOLD = 3
COOLDOWN_SECONDS = 3_600.0

Signal = dict[str, Any]


def judge(*, active: bool, failures: int, last_failure: float, held: bool, now: float) -> str:
    """One verdict: duplicates first, then the cooldown after failures in a row, then the target's one place."""
    if active:
        return "Duplicate"
    if failures >= THRESHOLD and now < last_failure + COOLDOWN_SECONDS:
        return "Cooldown"
    return "Busy" if held else "Proceed"


@dataclass
class Memory:
    """The state: which fingerprints are being remediated, how often they failed, which targets are held."""

    active: dict[str, str] = field(default_factory=dict)
    failures: dict[str, tuple[int, float]] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)

    def decide(self, signal: Signal, now: float) -> str:
        """Judge a signal and remember what came of it."""
        fingerprint, target = signal["fingerprint"], signal["target"]["name"]
        failures, last_failure = self.failures.get(fingerprint, (0, 0.0))
        verdict = judge(
            active=fingerprint in self.active,
            failures=failures,
            last_failure=last_failure,
            held=target in self.held,
            now=now,
        )
        if verdict == "Proceed":
            self.held[target] = fingerprint
        if verdict in ("Proceed", "Busy"):
            self.active[fingerprint] = verdict
        return verdict
