"""Who led a log, and whether each frame is of whoever led then, and says what that could know.

A frame is of who started last. Its bound is its writer's own reckoning: it never goes back while one leads, and
lies near the broker's stamps unless the clocks differ, which a log cannot tell from a lie."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from remediation_orchestrator.events import (
    DecisionFrame,
    Decoded,
    OrchestratorStarted,
    Position,
    Recorded,
    StoredMessage,
)
from remediation_orchestrator.events.identity import position

from .clocks import CLOCKS_DIFFER_MAX
from .findings import Drift, Finding
from .frames import head_of
from .routing.policy import PolicyError, policy_of
from .routing.projection import Projection

# A bound is five seconds beyond its writer's reckoning, and clocks that differ by no more are not told to differ.
AHEAD_MAX = 2 * CLOCKS_DIFFER_MAX


class Leaders:
    """Those who have led, as far as a log was read."""

    def __init__(self, view: Projection) -> None:
        self._view = view
        self._leader: str | None = None
        self._since = ""
        self._may_be_another = False
        """Whether a start may be missing: what follows is taken for who leads."""
        self._led: set[str] = set()
        self._not_after: datetime | None = None
        """Of the newest frame of who leads."""
        self._told = False
        """Whether of who leads it was said that the clocks differ."""
        self._identity = ""
        self._has_more = False
        """Whether others may have led, of whom nothing is here."""

    def lose(self) -> None:
        """Something is missing here: who leads is not known."""
        self._may_be_another = self._has_more = True

    def go_on(self, message: StoredMessage) -> None:
        """The log goes on behind this record, which is not looked at."""
        head = head_of(message)
        self._has_more = True
        if head is not None:
            self._lead(head, position(message.sequence, 0))

    def may_have_written(self, orchestrator: str) -> bool:
        """Whether it has led up to here; of what is not here nobody knows who has."""
        return orchestrator in self._led or (self._has_more and orchestrator != "")

    def frame(
        self, message: StoredMessage, head: DecisionFrame, records: Sequence[Decoded], now: datetime | None
    ) -> Iterator[Finding]:
        """A frame is next, its facts are folded, and it says that it was written at a moment, if it does."""
        place = position(message.sequence, 0)
        yield from _wrong_places(records)
        if self._leads(head, records):
            if self._not_after is not None and head.not_after < self._not_after:
                yield Finding(place, Drift.RECORD, f"its not_after goes back from {self._not_after.isoformat()}")
            self._not_after = head.not_after
        else:
            who = "nobody" if self._leader is None else f"{self._leader}, since {self._since},"
            yield Finding(place, Drift.LEADER, f"a frame of {head.orchestrator}, and {who} leads")
        yield from self._moment(place, head, now)
        yield from self._clocks(place, message.recorded_at, head.not_after, now)

    def start(self, place: Position, started: OrchestratorStarted) -> Iterator[Finding]:
        """A start is next: it has to name this log, and the policy in force, or be the first, which adopts it."""
        if self._identity and started.log != self._identity:
            yield Finding(place, Drift.CHAIN, f"another log's life: {started.log}")
        self._identity = started.log
        policy = self._view.policy
        if self._view.adopted and started.policy is not None:
            yield Finding(place, Drift.RECORD, "it carries a policy, and one is in force")
        elif not self._view.adopted:
            if started.policy is None:
                yield Finding(place, Drift.RECORD, "the first start of a log has to carry its policy")
                return
            try:
                policy = policy_of(started.policy)
            except PolicyError as error:
                yield Finding(place, Drift.RECORD, f"its policy cannot be adopted: {error}")
                return
        if started.policy_digest != policy.digest:
            yield Finding(
                place, Drift.RECORD, f"the policy in force is {policy.digest[:12]}, not the one it names"
            )

    def sent(
        self, place: Position, stamp: datetime, time: datetime, decided: datetime | None
    ) -> Iterator[Finding]:
        """Hold the time of a command against what it was decided at, and against its stamp."""
        before = decided is not None and time < decided - CLOCKS_DIFFER_MAX
        if before or time > stamp + CLOCKS_DIFFER_MAX:
            yield from self._tell(place, f"sent at {time.isoformat()}, decided at {decided}, stored at {stamp}")

    def _leads(self, head: DecisionFrame, records: Sequence[Decoded]) -> bool:
        """Whether who wrote this frame leads, or begins to; what a newer version has written may be a start."""
        starts = any(
            isinstance(one.event, OrchestratorStarted) if isinstance(one, Recorded) else one.unknown_type
            for one in records
        )
        if starts or self._may_be_another:
            self._lead(head, position_of(records))
        return head.orchestrator == self._leader

    def _lead(self, head: DecisionFrame, since: Position) -> None:
        self._leader, self._since, self._may_be_another = head.orchestrator, since, False
        self._led.add(head.orchestrator)
        self._not_after, self._told = None, False

    def _moment(self, place: Position, head: DecisionFrame, now: datetime | None) -> Iterator[Finding]:
        """A verdict is made no earlier than what it knows of, and no later than its frame allows."""
        newest = self._view.newest
        if now is None:
            return
        if now < newest:
            yield Finding(place, Drift.RECORD, f"judged at {now.isoformat()}, before a fact that it knows of")
        elif now > max(newest, head.not_after):
            yield Finding(place, Drift.RECORD, f"judged at {now.isoformat()}, after {head.not_after.isoformat()}")

    def _clocks(
        self, place: Position, stamp: datetime, not_after: datetime, now: datetime | None
    ) -> Iterator[Finding]:
        if not_after > stamp + AHEAD_MAX:
            yield from self._tell(place, f"stored at {stamp.isoformat()}, and bounded by {not_after.isoformat()}")
        elif now is not None and now > max(self._view.newest, stamp + CLOCKS_DIFFER_MAX):
            yield from self._tell(place, f"judged at {now.isoformat()}, and stored at {stamp.isoformat()}")

    def _tell(self, place: Position, what: str) -> Iterator[Finding]:
        """Say once of who leads that its moments are not the broker's: the clocks differed, or it is not so."""
        if not self._told:
            self._told = True
            yield Finding(place, Drift.CLOCKS, what)


def position_of(records: Sequence[Decoded]) -> Position:
    """Where a frame stands."""
    return records[0].position


def _wrong_places(records: Sequence[Decoded]) -> Iterator[Finding]:
    """A frame has one head; a start is its writer's own, and comes right behind it."""
    head = records[0]
    assert isinstance(head, Recorded)
    assert isinstance(head.event, DecisionFrame)
    for number, record in enumerate(records[1:], 1):
        match record.event if isinstance(record, Recorded) else None:
            case DecisionFrame():
                yield Finding(record.position, Drift.LEADER, "a head within a frame")
            case OrchestratorStarted() if number > 1:
                yield Finding(record.position, Drift.LEADER, "a start that is not the first in its frame")
            case OrchestratorStarted(orchestrator=name) if name != head.event.orchestrator:
                yield Finding(
                    record.position, Drift.LEADER, f"{name} starts in a frame of {head.event.orchestrator}"
                )
            case _:
                pass
