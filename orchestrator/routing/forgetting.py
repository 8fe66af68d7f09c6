"""How long what has happened can still change a verdict, and what has to be looked at when that is over.

Nothing here forgets: the retention does. What it has forgotten late is not seen either: a situation is
gathered through `remembered`, so that forgetting is a matter of memory alone and of no verdict."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from heapq import heappop, heappush

from msgspec import Struct
from msgspec.structs import replace

from remediation_orchestrator.events import Fingerprint, RemediationId, Target
from remediation_orchestrator.events.durations import EPOCH, ZERO, later

from .policy import Policy
from .state import FingerprintHistory, WorkflowHistory

MINUTE = timedelta(minutes=1)

Memo = Fingerprint | RemediationId | tuple[Target, str]


class RetentionPeriods(Struct, frozen=True, gc=False):
    """How long after it a failure, a completion, and a workflow's completion on a target can change a verdict."""

    failure: timedelta | None
    """None: for ever."""
    completion: timedelta
    workflow: timedelta

    @classmethod
    def of(cls, policy: Policy, shadow: Policy | None) -> "RetentionPeriods":
        """The longer windows of the policy in force and of the one in shadow: both judge every situation."""
        judging = [one.routing for one in (policy, shadow) if one is not None]
        memories = [one.failure_memory for one in judging]
        return cls(
            failure=None if None in memories else max(one for one in memories if one is not None),
            completion=max(one.signal_cooldown or ZERO for one in judging),
            workflow=max(one.workflow_cooldown or ZERO for one in judging),
        )

    def remembered(self, history: FingerprintHistory, now: datetime) -> FingerprintHistory:
        """A history without what can change no verdict from now on."""
        if history.last_failure_at is not None and _over(history.last_failure_at, self.failure, now):
            history = replace(history, failures=0, last_failure_at=None)
        if history.completed_at is not None and _over(history.completed_at, self.completion, now):
            history = replace(history, completed_at=None, completed_by=None)
        return history

    def remembers(self, done: WorkflowHistory, now: datetime) -> bool:
        """Whether a workflow's completion can still change a verdict."""
        return not _over(done.completed_at, self.workflow, now)


def _over(at: datetime, window: timedelta | None, now: datetime) -> bool:
    return window is not None and now - at > window


def minute_after(at: datetime) -> datetime:
    """The end of a moment's minute: one value for all that happens in it."""
    return _minute((at - EPOCH) // MINUTE + 1)


@lru_cache(maxsize=16)
def _minute(number: int) -> datetime:
    return later(EPOCH, number * MINUTE)


class ExpiryQueue:
    """What is to be looked at, by the minute after which its time is over: a reference for each, and no more."""

    def __init__(self) -> None:
        self._by_minute: dict[int, list[Memo]] = {}
        self._minutes: list[int] = []
        self.next_at: datetime | None = None
        """When the first minute is over."""

    def add(self, at: datetime, key: Memo) -> None:
        """Look at this once a moment has passed."""
        minute = (at - EPOCH) // MINUTE
        keys = self._by_minute.get(minute)
        if keys is None:
            self._by_minute[minute] = keys = []
            heappush(self._minutes, minute)
            self.next_at = later(EPOCH, (self._minutes[0] + 1) * MINUTE)
        keys.append(key)

    def due(self, now: datetime, most: int | None) -> Iterator[Memo]:
        """Take what is to be looked at by now, so many at most."""
        while self.next_at is not None and self.next_at <= now and most != 0:
            keys = self._by_minute[self._minutes[0]]
            while keys and most != 0:
                most = None if most is None else most - 1
                yield keys.pop()
            if not keys:
                del self._by_minute[heappop(self._minutes)]
                self.next_at = later(EPOCH, (self._minutes[0] + 1) * MINUTE) if self._minutes else None
