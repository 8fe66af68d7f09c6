"""What can go wrong, and how often it has: a fault that never struck has proved nothing.

Every choice comes from the seed. Which classes may strike at all differs from seed to seed, so that one fault is
also seen without the noise of all others."""

import random
from collections import Counter
from enum import StrEnum


class Fault(StrEnum):
    """One class of faults."""

    # The broker and the line to it.
    ANSWER_LOST = "answer lost, stored"
    APPEND_LOST = "append lost, not stored"
    APPEND_LATE = "append stored after its time-out"
    APPEND_SLOW = "append slow"
    READ_LATE = "message read late"
    BROKER_DOWN = "broker away"
    LOG_NEARLY_FULL = "log nearly full"
    LOG_FULL = "log full"
    BROKER_CLOCK_BACK = "broker's clock set back"
    BROKER_CLOCK_AHEAD = "broker's clock set ahead"
    STAMP_OF_ANOTHER_YEAR = "stamp of another year"
    RECORD_COPIED = "record copied from a stream"
    LEASE_GONE = "lease bucket gone for a while"
    LEASE_JUNK = "junk on the lease"
    PAYLOAD_SMALL = "broker takes small messages only"
    TAIL_LOST = "store lost its tail"
    STORE_OLDER = "store older than it was"
    HOLE = "hole in the store"
    BITS_FLIPPED = "bit flipped in the store"
    RECORD_JUNK = "junk where decisions, commands and runs stand"
    # Orchestrators.
    ORCHESTRATOR_CRASHED = "orchestrator crashed"
    ORCHESTRATOR_PAUSED = "orchestrator paused past its lease"
    ORCHESTRATOR_STOPPED = "orchestrator stopped cleanly"
    CLOCK_OFF = "machine's clock of the day off"
    MACHINE_SLEPT = "machine asleep"
    CLOCK_SKEWED = "clock too fast or slow"
    MACHINE_SLOW = "slow machine"
    # Archives.
    ARCHIVED = "log archived"
    ARCHIVED_TWICE = "two archives at once"
    ARCHIVE_DIED = "archive died at one of its steps"
    ARCHIVE_SLOW = "archive stands still at one of its steps"
    ARCHIVE_AGAIN = "archive into the file of one that died"
    # Executors.
    EXECUTOR_CRASHED = "executor crashed"
    EXECUTOR_PAUSED = "executor paused past ack_wait"
    RUN_FAILED = "run failed"
    RUN_SLOW = "run slow"
    RUN_REFUSED = "run refused before it began"
    DELIVERY_REPEATED = "command delivered twice"
    DELIVERY_LATE = "command delivered late, out of order"
    CONFIRM_SLOW = "confirmation slow"
    CONFIRM_LOST = "confirmations lost behind a slow one"
    # Sources.
    SIGNAL_REPEATED = "signal repeated"
    SIGNAL_FLAPPED = "signal flapped"
    SIGNAL_BATCHED = "signals in a batch"
    SIGNAL_BURST = "burst of large arrays"
    GARBAGE = "array of garbage"
    SIGNAL_LATE = "signal late, out of order"
    RECORD_BAD = "bad record"
    EVENT_STRAY = "stray execution event"
    # Analysers and operators.
    APPROVAL_ASKED = "approval asked for"
    OPERATOR_APPROVED = "operator approved"
    OPERATOR_REJECTED = "operator rejected"
    OPERATOR_CLEARED = "operator cleared"
    OPERATOR_RETRIED = "operator retried"
    OPERATOR_CANCELLED = "operator cancelled"
    OPERATOR_CLEARED_UNSAFE = "operator cleared what goes on"
    OPERATOR_CLEARED_WAITING = "operator cleared what waits in line"
    OPERATOR_TWICE = "operator acted twice"
    OPERATOR_CONTRARY = "operator cancelled and cleared"
    POLICY_ADOPTED = "policy adopted"
    POLICY_BAD = "bad policy"
    OPERATOR_FEIGNED = "operator spoke as another"


# What a class is likely to be switched on with: most days have most faults, and some days have few.
SWITCHED_ON = 0.7


class Faults:
    """The faults of one seed: which classes are on, when one strikes, and how often each has."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(f"{seed}:classes")
        share = chance.choice((0.3, SWITCHED_ON, 1.0))
        self.on = {fault for fault in Fault if chance.random() < share}
        self.struck: Counter[Fault] = Counter()
        self.over = False
        """Set when the day is over and everything has to heal."""
        self._chances = {fault: random.Random(f"{seed}:{fault}") for fault in Fault}

    def strikes(self, fault: Fault, likelihood: float) -> bool:
        """Whether a fault strikes here; one that does is counted."""
        if self.over or fault not in self.on or self._chances[fault].random() >= likelihood:
            return False
        self.struck[fault] += 1
        return True

    def chance(self, fault: Fault) -> random.Random:
        """The dice of a class, for how hard it strikes."""
        return self._chances[fault]
