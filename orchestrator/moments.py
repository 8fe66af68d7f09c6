"""The moments of a log's facts, followed without folding it, for whoever reads it twice or looks at a part of it.

They are the fold's own rule: what the broker stamped, no later than the `not_after` of the frame that takes the
fact, and never before a moment that was folded."""

from collections import deque
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
)
from remediation_orchestrator.events.subjects import Family, parse

from .routing.durations import EPOCH


class Moments:
    """The moments of the facts of one log, of which nothing is missing at its beginning."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, datetime]] = deque()
        """Facts that no frame has taken yet, and their stamps."""
        self._newest = EPOCH
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


def moment_of(event: object) -> datetime | None:
    """The moment at which a decision was made, where it says one."""
    match event:
        case RoutingDecided():
            return event.situation.now
        case PhaseChanged() | TargetReleased():
            return event.now
        case _:
            return None
