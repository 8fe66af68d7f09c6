"""Occurrences without a verdict, and the resolutions that wait for their turn behind one."""

from collections import Counter, OrderedDict, deque

from remediation_orchestrator.events import Fingerprint, Position, RemediationId, RetryRequested, SignalResolved

from .state import Unjudged


class Occurrences:
    """What waits to be judged, in the order of the log, and in a line of its own for each problem.

    It is worked off from the front, so it is an OrderedDict: to find its first, a dict would walk over all that
    is gone."""

    def __init__(self) -> None:
        self.unjudged: OrderedDict[Position, Unjudged] = OrderedDict()
        self.waiting: dict[Fingerprint, deque[Position]] = {}
        """The unjudged of each fingerprint, in the order of the log."""
        self.asked: Counter[RemediationId] = Counter()
        """How many of them are retries of a remediation."""

    def wait(self, occurrence: Unjudged) -> None:
        """Let an occurrence wait for its turn to be judged."""
        self.unjudged[occurrence.position] = occurrence
        self.waiting.setdefault(occurrence.fingerprint, deque()).append(occurrence.position)
        if isinstance(occurrence.event, RetryRequested):
            self.asked[occurrence.event.remediation] += 1

    def answer(self, occurrence: Unjudged) -> Unjudged | None:
        """An occurrence has its verdict. Return the resolution that waited right behind it, if one did."""
        del self.unjudged[occurrence.position]
        if isinstance(occurrence.event, RetryRequested):
            of = occurrence.event.remediation
            self.asked[of] -= 1
            if not self.asked[of]:
                del self.asked[of]
        line = self.waiting[occurrence.fingerprint]
        line.remove(occurrence.position)
        if not line:
            del self.waiting[occurrence.fingerprint]
            return None
        following = self.unjudged[line[0]]
        return following if isinstance(following.event, SignalResolved) else None
