"""What the world saw of a day and no log tells. Checkers read it; nobody who lives in the day does."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from remediation_orchestrator.events import Target


@dataclass
class Touch:
    """One run as it really was: from when to when it may have touched its target."""

    execution: str
    target: Target
    executor: str
    command: int
    """The sequence of the command's message."""
    delivered: float
    """When its executor took the delivery under which it runs."""
    begun: float
    ended: float | None = None


@dataclass(frozen=True)
class Tried:
    """A frame that a process wanted to store, at its first try."""

    process: str
    at: float
    reckoning: tuple[datetime, datetime]
    """What its machine's own clock showed when it began to compute what led to it, and then."""
    clock: tuple[datetime, datetime]
    """And what its clock ought to have shown, by the newest frame that it had read back."""


@dataclass(frozen=True)
class Trouble:
    """A fault that may cost a leader its lead: whose (everybody's where it is empty), from when to when."""

    process: str
    what: str
    begun: float
    ended: float


@dataclass
class Diary:
    """Everything that was seen. All times are seconds of the day as it really passes, whatever clocks show."""

    tried: dict[bytes, Tried] = field(default_factory=dict)
    """By the bytes of the frame."""
    read_back: dict[tuple[str, int], float] = field(default_factory=dict)
    """When each process was handed which record of the decision subject."""
    confirmed: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    """When each process asked for more time for which command, and was answered."""
    stored_at: dict[int, float] = field(default_factory=dict)
    """When each message was stored, whatever its stamp says."""
    sent: dict[str, list[tuple[datetime, float]]] = field(default_factory=lambda: defaultdict(list))
    """By its subject, whenever somebody wanted a command stored: what its clock showed at the least, and when."""
    steps: list[tuple[float, float]] = field(default_factory=list)
    """When the broker's clock was set, and by how many seconds."""
    touches: list[Touch] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    led_over: list[tuple[str, int, float]] = field(default_factory=list)
    """Who wanted a frame stored although it had read which record with a flipped bit, and when."""

    def trouble(self, process: str, what: str, seconds: float = 0.0) -> None:
        """Something goes wrong now, and for so long."""
        now = asyncio.get_running_loop().time()
        self.troubles.append(Trouble(process, what, now, now + seconds))
