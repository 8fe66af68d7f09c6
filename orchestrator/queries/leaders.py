"""Who led a log, and whether each frame is of whoever led then, and says what that could know.

A frame is of who started last. Its bound is its writer's own reckoning: it never goes back while one leads, and
lies near the broker's stamps unless the clocks differ, which a log cannot tell from a lie."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from remediation_orchestrator.events import (
    DecisionFrame,
    OrchestratorStarted,
    Position,
    StoredMessage,
)
from remediation_orchestrator.events.codec import event_source, head_of
from remediation_orchestrator.events.identity import position, position_key
from remediation_orchestrator.events.stored import CLOCKS_DIFFER_MAX
from remediation_orchestrator.events.subjects import parse
from remediation_orchestrator.orchestrator.routing.chain import Chain
from remediation_orchestrator.orchestrator.routing.policy import PolicyError, policy_of
from remediation_orchestrator.orchestrator.routing.projection import Projection

from .findings import Drift, Finding

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
        """What they say of what they write that they are its source."""
        self._source = ""
        """Of who leads."""
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
            self._lead(head, message)

    def may_have_written(self, by: str) -> bool:
        """Whether this is the source of one that has led up to here; of what is not here nobody knows who has."""
        return by in self._led or (self._has_more and by.startswith(self._source.rpartition("/")[0] + "/"))

    def source_of(self, head: DecisionFrame, message: StoredMessage) -> str:
        """The source of what stands in a frame."""
        return self._source if head.orchestrator == self._leader else _source_of(head, message)

    def take(
        self, message: StoredMessage, head: DecisionFrame, begins: bool, now: datetime | None
    ) -> Iterable[Finding]:
        """A frame is next, and begins with a start or not; `now` is when it was written, if that can be read."""
        if begins or self._may_be_another:
            self._lead(head, message)
        before, self._not_after = self._not_after, head.not_after
        if (
            now is not None
            and head.orchestrator == self._leader
            and (before is None or before <= head.not_after)
            and self._view.newest <= now <= head.not_after
            and now - message.recorded_at <= CLOCKS_DIFFER_MAX
            and head.not_after - message.recorded_at <= AHEAD_MAX
        ):
            return ()
        return self._wrong(message, head, before, now)

    def _wrong(
        self, message: StoredMessage, head: DecisionFrame, before: datetime | None, now: datetime | None
    ) -> Iterator[Finding]:
        place, stamp, limit, newest = (
            position(message.sequence, 0),
            message.recorded_at,
            head.not_after,
            self._view.newest,
        )
        if head.orchestrator != self._leader:
            self._not_after = before
            who = "nobody" if self._leader is None else f"{self._leader}, since {self._since},"
            yield Finding(place, Drift.LEADER, f"a frame of {head.orchestrator}, and {who} leads")
        elif before is not None and limit < before:
            yield Finding(place, Drift.RECORD, f"its not_after goes back from {before.isoformat()}")
        if now is not None and now < newest:
            yield Finding(place, Drift.RECORD, f"judged at {now.isoformat()}, before a fact that it knows of")
        elif now is not None and now > max(newest, limit):
            yield Finding(place, Drift.RECORD, f"judged at {now.isoformat()}, after {limit.isoformat()}")
        if limit - stamp > AHEAD_MAX:
            yield from self._tell(place, f"stored at {stamp.isoformat()}, and bounded by {limit.isoformat()}")
        elif now is not None and now - stamp > CLOCKS_DIFFER_MAX and now > newest:
            yield from self._tell(place, f"judged at {now.isoformat()}, and stored at {stamp.isoformat()}")

    def start(
        self, place: Position, started: OrchestratorStarted, head: DecisionFrame | None
    ) -> Iterator[Finding]:
        """A start is next: it has to be its writer's, right behind the head, and name this log and its policy."""
        if position_key(place)[1] != 1:
            yield Finding(place, Drift.LEADER, "a start that is not the first in its frame")
        elif head is not None and started.orchestrator != head.orchestrator:
            yield Finding(place, Drift.LEADER, f"{started.orchestrator} starts in a frame of {head.orchestrator}")
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
    ) -> Iterable[Finding]:
        """Hold the time of a command against what it was decided at, and against its stamp."""
        if time - stamp <= CLOCKS_DIFFER_MAX and (decided is None or decided - time <= CLOCKS_DIFFER_MAX):
            return ()
        return self._tell(place, f"sent at {time.isoformat()}, decided at {decided}, stored at {stamp}")

    def _lead(self, head: DecisionFrame, message: StoredMessage) -> None:
        self._leader, self._since, self._may_be_another = head.orchestrator, position(message.sequence, 0), False
        self._source = _source_of(head, message)
        self._led.add(self._source)
        self._not_after, self._told = None, False

    def _tell(self, place: Position, what: str) -> Iterator[Finding]:
        """Say once of who leads that its moments are not the broker's: the clocks differed, or it is not so."""
        if not self._told:
            self._told = True
            yield Finding(place, Drift.CLOCKS, what)


def _source_of(head: DecisionFrame, message: StoredMessage) -> str:
    return event_source(parse(message.subject).cell, f"orchestrator/{head.orchestrator}")


def wrong_in_chain(chain: Chain, message: StoredMessage, head: DecisionFrame, *, fits: bool) -> Iterator[str]:
    """Say where a frame does not go on from what stands before it; `fits` is whether its digest does."""
    if head.as_of != chain.as_of or head.as_of > head.read:
        yield f"as_of {head.as_of} is not where the fold stands"
    if head.read < chain.read or head.read >= message.sequence:
        yield f"read {head.read} is not behind {chain.read} and before itself"
    if not fits:
        what = f"something from {chain.read + 1} to {head.read} was changed, removed or moved"
        yield f"the digest of what came before does not match: {what}"
