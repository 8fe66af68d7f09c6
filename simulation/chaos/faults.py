"""What is done to the processes of a cell, and when: a function of the seed and the round, and of nothing else."""

import random
from dataclasses import dataclass
from enum import StrEnum

# Of the cell under chaos, in seconds: short, so that a round sees a takeover and a redelivery.
ACK_WAIT = 2.0
LEASE = 1.5
# A process that sleeps so much longer than its lease or claim lasts wakes up as a zombie.
PAST = 1.5

# The share of a round before its first strike: something must be under way.
QUIET = 0.25


class Strike(StrEnum):
    """One way to hurt a process."""

    BROKER_KILLED = "broker killed"
    BROKER_FROZEN = "broker frozen"
    ORCHESTRATOR_KILLED = "orchestrator killed"
    ORCHESTRATOR_FROZEN = "orchestrator frozen past its lease"
    ORCHESTRATOR_STOPPED = "orchestrator stopped cleanly"
    EXECUTOR_KILLED = "executor killed"
    EXECUTOR_FROZEN = "executor frozen past ack_wait"
    EXECUTOR_PAUSED = "executor frozen for a moment"
    EVERYTHING_KILLED = "everything killed at once"


KILLS = (Strike.BROKER_KILLED, Strike.ORCHESTRATOR_KILLED, Strike.EXECUTOR_KILLED)
FREEZES = (Strike.ORCHESTRATOR_FROZEN, Strike.EXECUTOR_FROZEN)
SOMETIMES = (Strike.BROKER_FROZEN, Strike.ORCHESTRATOR_STOPPED, Strike.EXECUTOR_PAUSED, Strike.EVERYTHING_KILLED)


@dataclass(frozen=True)
class Planned:
    """A strike: `at` seconds into the round, against one of its kind, healed after `seconds`."""

    at: float
    strike: Strike
    which: int
    seconds: float


def plan(seed: int, number: int, seconds: float) -> list[Planned]:
    """The strikes of a round: each kind of process is killed, some sleep too long, and some more may happen."""
    chance = random.Random(f"chaos {seed} {number}")
    chosen = [*KILLS, *FREEZES, *(one for one in SOMETIMES if chance.random() < 1 / 3)]
    planned = [
        Planned(chance.uniform(QUIET * seconds, seconds), strike, chance.randrange(1_000), _length(strike, chance))
        for strike in chosen
    ]
    return sorted(planned, key=lambda one: one.at)


def _length(strike: Strike, chance: random.Random) -> float:
    match strike:
        case Strike.ORCHESTRATOR_FROZEN:
            return PAST * LEASE
        case Strike.EXECUTOR_FROZEN:
            return PAST * ACK_WAIT
        case _:
            return chance.uniform(0.05, 0.6)
