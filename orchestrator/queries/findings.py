"""What an audit says: where a log does not hold, and how much of it was seen."""

from enum import StrEnum

from msgspec import Struct

from remediation_orchestrator.events import Position


class Drift(StrEnum):
    """What can be wrong with a log."""

    GAP = "gap"
    CHAIN = "chain"
    LEADER = "not who leads"
    FENCE = "another expected"
    ENVELOPE = "envelope"
    PROJECTION = "projection"
    JUDGEMENT = "judgement"
    RECORD = "record"
    CAUSE = "no cause"
    UNANSWERED = "no decision"
    ORDER = "not its turn"
    COMMAND = "no such command owed"
    EXECUTION = "no command"
    OVERLAP = "two runs on one target"
    LATE = "late"
    DELAYED = "delayed"
    CLOCKS = "clocks differ"
    STRAY = "stray"
    UNFENCED = "not fenced"
    JUNK = "junk"
    UNREADABLE = "unreadable"
    SNAPSHOT = "snapshot"
    ARCHIVE = "archive"


# Somebody else's mistake, or spite: shown, and no fault of the log. What anybody may publish makes no log unequal.
# Nor is what a broker that answers late, or one whose clock is wrong, makes of what was right.
HARMLESS = frozenset({Drift.STRAY, Drift.UNFENCED, Drift.JUNK, Drift.DELAYED, Drift.CLOCKS})


class Finding(Struct, frozen=True):
    """One place where a log does not hold."""

    position: Position
    drift: Drift
    message: str


class Report(Struct):
    """What an audit has seen."""

    messages: int = 0
    facts: int = 0
    """Those that a frame covers."""
    waiting: int = 0
    """Those behind."""
    decisions: int = 0
    commands: int = 0
    first: int = 0
    last: int = 0
