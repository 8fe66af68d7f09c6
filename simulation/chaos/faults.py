"""What is done to a cell, and when: a function of the seed and the round, and of nothing else."""

import random
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

# Of the cell under chaos, in seconds: short, so that a round sees a takeover and a redelivery.
ACK_WAIT = 2.0
LEASE = 1
# Whoever is silent for so long has been replaced.
REPLACED = 2.0
# A process that sleeps so much longer than its lease or claim lasts wakes up as a zombie.
PAST = 1.5

# The share of a round before its first strike: something must be under way.
QUIET = 0.25


class Strike(StrEnum):
    """One way to hurt a cell."""

    BROKER_KILLED = "broker killed"
    BROKER_FROZEN = "broker frozen"
    ORCHESTRATOR_KILLED = "orchestrator killed"
    ORCHESTRATOR_FROZEN = "orchestrator frozen past its lease"
    ORCHESTRATOR_STOPPED = "orchestrator stopped cleanly"
    EXECUTOR_KILLED = "executor killed"
    EXECUTOR_FROZEN = "executor frozen past ack_wait"
    EXECUTOR_PAUSED = "executor frozen for a moment"
    EVERYTHING_KILLED = "everything killed at once"
    CONNECTIONS_CUT = "every connection cut"
    MACHINE_ASLEEP = "everything asleep at once"
    CLOCK_BACK = "broker's clock stepped back"
    CLOCK_AHEAD = "broker's clock stepped ahead"
    CLOCK_ONCE = "one stamp of another year"
    SIGNAL_BURST = "burst of signals in arrays"
    NOTHING_BURST = "burst of arrays of nothing"
    GARBAGE_BURST = "burst of garbage"
    JUNK_BURST = "junk and copies on fenced subjects"
    ARCHIVE = "archive"
    TWO_ARCHIVES = "two archives at once"
    ARCHIVE_KILLED = "archive killed"
    LOG_OLDER = "log restored from before"
    LOG_HOLED = "record deleted from the log"
    LOG_FLIPPED = "bit flipped in the log's block"
    SUPERVISOR_KILLED = "a run's supervisor killed"
    SUPERVISOR_FROZEN = "a run's supervisor stopped"
    GUARD_KILLED = "a run's guard killed"
    GUARD_FROZEN = "a run's guard stopped"
    BOTH_KILLED = "a run's supervisor and guard killed"
    RUN_CANCELLED = "a run cancelled"
    DISK_FULL = "disk full"
    LEASES_DELETED = "bucket of leases deleted"


class FaultFamily(StrEnum):
    """What can be asked for alone."""

    KILLS = "kills"
    CLOCK = "clock"
    BURSTS = "bursts"
    ARCHIVES = "archives"
    STORES = "stores"
    RUNS = "runs"
    BROKER = "broker"


ALWAYS = (
    Strike.BROKER_KILLED,
    Strike.ORCHESTRATOR_KILLED,
    Strike.EXECUTOR_KILLED,
    Strike.ORCHESTRATOR_FROZEN,
    Strike.EXECUTOR_FROZEN,
)
"""In every round that kills at all; of the others some."""
SOMETIMES: dict[FaultFamily, tuple[Strike, ...]] = {
    FaultFamily.KILLS: (
        Strike.BROKER_FROZEN,
        Strike.ORCHESTRATOR_STOPPED,
        Strike.EXECUTOR_PAUSED,
        Strike.EVERYTHING_KILLED,
        Strike.CONNECTIONS_CUT,
        Strike.MACHINE_ASLEEP,
    ),
    FaultFamily.CLOCK: (Strike.CLOCK_BACK, Strike.CLOCK_AHEAD, Strike.CLOCK_ONCE),
    FaultFamily.BURSTS: (Strike.SIGNAL_BURST, Strike.NOTHING_BURST, Strike.GARBAGE_BURST, Strike.JUNK_BURST),
    FaultFamily.ARCHIVES: (Strike.ARCHIVE, Strike.TWO_ARCHIVES, Strike.ARCHIVE_KILLED),
    FaultFamily.STORES: (Strike.LOG_OLDER, Strike.LOG_HOLED, Strike.LOG_FLIPPED),
    FaultFamily.RUNS: (
        Strike.SUPERVISOR_KILLED,
        Strike.SUPERVISOR_FROZEN,
        Strike.GUARD_KILLED,
        Strike.GUARD_FROZEN,
        Strike.BOTH_KILLED,
        Strike.RUN_CANCELLED,
    ),
    FaultFamily.BROKER: (Strike.DISK_FULL, Strike.LEASES_DELETED),
}
# In so many rounds each of them comes.
SHARE = 1 / 3

MINUTE, HOUR = 60, 3_600
# The year that a clock without a battery, or a slip of the finger, shows for once.
ANOTHER_YEAR = 5 * 365 * 24 * HOUR


@dataclass(frozen=True)
class Planned:
    """A strike: `at` seconds into the round, against one of its kind, healed, or killed, after `seconds`.

    `size` says how hard it is, where that can differ: by how many seconds a clock steps, how many come at once."""

    at: float
    strike: Strike
    which: int
    seconds: float
    size: int = 0


def plan(
    seed: int, number: int, seconds: float, families: Collection[FaultFamily] = tuple(FaultFamily)
) -> list[Planned]:
    """The strikes of a round: each kind of process is killed, some sleep too long, and some more may happen.

    What a family does is the same whether others are asked for or not."""
    planned: list[Planned] = []
    for family in FaultFamily:
        chance = random.Random(f"chaos {seed} {number} {family}")
        chosen = [*(ALWAYS if family is FaultFamily.KILLS else ())]
        chosen += [one for one in SOMETIMES[family] if chance.random() < SHARE]
        if family is FaultFamily.STORES:  # It has one store, and each of these needs it for a while.
            chosen = [chance.choice(SOMETIMES[family])] if chance.random() < SHARE else []
        strikes = [_planned(strike, seconds, chance) for strike in chosen]
        planned += strikes if family in families else []
    return sorted(planned, key=lambda one: one.at)


def _planned(strike: Strike, seconds: float, chance: random.Random) -> Planned:
    at, which = chance.uniform(QUIET * seconds, seconds), chance.randrange(1_000)
    match strike:
        case Strike.ORCHESTRATOR_FROZEN:
            return Planned(at, strike, which, PAST * REPLACED)
        case Strike.EXECUTOR_FROZEN:
            return Planned(at, strike, which, PAST * ACK_WAIT)
        case Strike.MACHINE_ASLEEP:  # Beyond a lease, and at times beyond all that a claim gives.
            return Planned(at, strike, which, chance.uniform(1.0, 3.0) * ACK_WAIT)
        case Strike.CLOCK_BACK:
            return Planned(at, strike, which, chance.uniform(0.3, 2.0), -chance.randint(2 * MINUTE, 5 * HOUR))
        case Strike.CLOCK_AHEAD:
            return Planned(at, strike, which, chance.uniform(0.3, 2.0), chance.randint(2 * MINUTE, 5 * HOUR))
        case Strike.CLOCK_ONCE:
            return Planned(at, strike, which, 0.0, ANOTHER_YEAR)
        case Strike.ARCHIVE | Strike.TWO_ARCHIVES:
            return Planned(at, strike, which, 0.0, 1 + (strike is Strike.TWO_ARCHIVES))
        case Strike.ARCHIVE_KILLED:  # It starts within half a second, and works for as long.
            return Planned(at, strike, which, chance.uniform(0.4, 2.0), 1 + which % 2)
        case Strike.LOG_OLDER | Strike.LOG_HOLED | Strike.LOG_FLIPPED:  # Long enough for a takeover, and a start.
            return Planned(at, strike, which, 4.0)
        case Strike.GUARD_FROZEN:  # Less than it takes to call a run lost: it ends what a supervisor has left.
            return Planned(at, strike, which, 1.5)
        case Strike.SIGNAL_BURST:
            return Planned(at, strike, which, 0.0, chance.randint(1, 3))
        case _:
            return Planned(at, strike, which, chance.uniform(0.05, 0.6))
