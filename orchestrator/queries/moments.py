"""The moments of a log's facts, followed without folding it, for whoever reads it twice or looks at a part of it.

They are the fold's own rule: what the broker stamped, no later than the `not_after` of the frame that takes the
fact, and never before a moment that was folded."""

from collections import deque
from collections.abc import Iterable
from datetime import datetime

from msgspec.structs import replace

from remediation_orchestrator.events import (
    DecisionFrame,
    Event,
    PhaseChanged,
    Recorded,
    RoutingDecided,
    StoredMessage,
    TargetReleased,
    Undecodable,
    VerificationEnded,
    decode,
)
from remediation_orchestrator.events.durations import EPOCH
from remediation_orchestrator.events.subjects import Family, parse


class Moments:
    """The moments of the facts of one log, of which nothing is missing at its beginning."""

    def __init__(self, newest: datetime = EPOCH) -> None:
        """`newest` is the newest moment before its first record, where its beginning is archived."""
        self._waiting: deque[tuple[int, datetime]] = deque()
        """Facts that no frame has taken yet, and their stamps."""
        self._newest = newest
        self._differ: dict[int, datetime] = {}
        """By sequence, the moments that are not the stamps."""

    def take(self, message: StoredMessage, records: list[Recorded | Undecodable]) -> None:
        """Read the next message of the log; of a frame also what it says."""
        family = parse(message.subject).family
        if family.is_fact:
            self._waiting.append((message.sequence, message.recorded_at))
        elif family is Family.DECISION:
            self._take_frame([record.event for record in records if isinstance(record, Recorded)])

    def end(self) -> None:
        """The log is over: what no frame takes is bounded by none."""
        if self._waiting:
            self._fold(self._waiting[-1][0], None)

    def of(self, message: StoredMessage) -> StoredMessage:
        """A fact, with its moment in place of its stamp."""
        moment = self.at(message.sequence, message.recorded_at)
        return message if moment is message.recorded_at else replace(message, recorded_at=moment)

    def at(self, sequence: int, stamp: datetime) -> datetime:
        """The moment of the fact that has this stamp."""
        return self._differ.get(sequence, stamp)

    def is_known(self, sequence: int) -> bool:
        """Whether the moment of this fact is known, of which the message was read: a frame has taken it."""
        return not self._waiting or sequence < self._waiting[0][0]

    def _take_frame(self, decisions: list[Event]) -> None:
        if decisions and isinstance(decisions[0], DecisionFrame):
            self._fold(decisions[0].as_of, decisions[0].not_after)
            self._newest = max(self._newest, *(moment_of(one) or EPOCH for one in decisions))

    def _fold(self, through: int, not_after: datetime | None) -> None:
        while self._waiting and self._waiting[0][0] <= through:
            sequence, stamp = self._waiting.popleft()
            bounded = stamp if not_after is None else min(stamp, not_after)
            self._newest = max(self._newest, bounded)
            if self._newest != stamp:
                self._differ[sequence] = self._newest


class LogEnd:
    """Finds how far a log goes up to a sequence or a time: its first record with a later moment ends it.

    A fact's moment is known when a frame takes it, so what is read goes further than what is found."""

    def __init__(self, until: int | datetime, newest: datetime = EPOCH) -> None:
        """`newest` is the newest moment before the first record."""
        self._until = until
        self.moments = Moments(newest)
        self._open: deque[StoredMessage] = deque()
        """Facts whose moments are not known yet."""
        self._later: int | None = None
        """Sequence of the first record that is known to be later."""

    @classmethod
    def of(cls, messages: Iterable[StoredMessage], until: int | datetime) -> "LogEnd":
        """Where a whole log ends for whoever looks no further."""
        cut = cls(until)
        any(map(cut.take, messages))
        cut.end()
        return cut

    def take(self, message: StoredMessage) -> bool:
        """Read the next message; whether the end is known."""
        family = parse(message.subject).family
        records = decode(message) if family is Family.DECISION else []
        self.moments.take(message, records)
        if family.is_fact:
            self._open.append(message)
        made = [moment_of(one.event) or EPOCH for one in records if isinstance(one, Recorded)]
        self._compare(message.sequence, max(made, default=EPOCH))
        self._settle()
        return self._later is not None and not (self._open and self._open[0].sequence < self._later)

    def end(self) -> None:
        """Nothing more is read."""
        self.moments.end()
        self._settle()

    def holds(self, sequence: int) -> bool:
        """Whether a record stands before the first that is later."""
        return self._later is None or sequence < self._later

    def _settle(self) -> None:
        while self._open and self.moments.is_known(self._open[0].sequence):
            fact = self._open.popleft()
            self._compare(fact.sequence, self.moments.at(fact.sequence, fact.recorded_at))

    def _compare(self, sequence: int, moment: datetime) -> None:
        later = moment > self._until if isinstance(self._until, datetime) else sequence > self._until
        if later and self.holds(sequence):
            self._later = sequence


def moment_of(event: object) -> datetime | None:
    """The moment at which a decision was made, where it says one."""
    match event:
        case RoutingDecided():
            return event.situation.now
        case PhaseChanged() | VerificationEnded() | TargetReleased():
            return event.now
        case _:
            return None
