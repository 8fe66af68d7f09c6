"""The bodies that the log is known to hold: each by its digest, until its window is over, or until another body
about one of its problems was stored behind it: then what it said is overtaken, and the same bytes are news."""

from collections.abc import Iterable

from msgspec import Struct

from remediation_orchestrator.events import Position
from remediation_orchestrator.events.identity import position

from .frames import BodyRead, Digest

# About 100 MB: at 800 problems a second the whole window. Beyond that the oldest bodies are forgotten first.
PROBLEMS_MAX = 250_000


class BodyPlace(Struct, frozen=True, gc=False):
    """Where a body stands: of each of its messages the sequence, the index of its first event, and how many."""

    parts: tuple[tuple[int, int, int], ...]
    since: float

    @property
    def events(self) -> int:
        """How many they are in all."""
        return sum(events for _, _, events in self.parts)

    def positions(self) -> list[Position]:
        """The position of each of its events."""
        return [
            position(sequence, first + index) for sequence, first, events in self.parts for index in range(events)
        ]


class _Body(Struct):
    place: BodyPlace
    problems: frozenset[Digest]


class KnownBodies:
    """What one door knows of one source's bodies, in the order in which they were stored."""

    def __init__(self) -> None:
        self._bodies: dict[Digest, _Body] = {}
        self._newest: dict[Digest, Digest] = {}
        """Which body was the last about a problem."""

    def find(self, digest: Digest) -> BodyPlace | None:
        """Where a body stands that nothing has overtaken."""
        found = self._bodies.get(digest)
        return found.place if found else None

    def add(self, digest: Digest, place: BodyPlace, problems: frozenset[Digest]) -> None:
        """A body was stored."""
        self._drop(digest)
        self._overtake(digest, problems)
        if problems:
            self._bodies[digest] = _Body(place, problems)

    def read(self, found: BodyRead, sequence: int, since: float) -> None:
        """A body, or a part of one, was found in the log."""
        part = (sequence, found.first, found.events)
        known = self._bodies.get(found.digest)
        if found.digest and found.begins == 0:
            self.add(found.digest, BodyPlace((part,), since), found.problems)
        elif known is None:
            self._overtake(b"", found.problems)
        elif known.place.events == found.begins:
            self._overtake(found.digest, found.problems)
            known.place = BodyPlace((*known.place.parts, part), since)
            known.problems |= found.problems

    def forget(self, before: float) -> None:
        """Let go of the bodies that were stored before this, and of the oldest where they are too many."""
        while self._bodies:
            digest = next(iter(self._bodies))
            if self._bodies[digest].place.since >= before and len(self._newest) <= PROBLEMS_MAX:
                return
            self._drop(digest)

    def _overtake(self, digest: Digest, problems: Iterable[Digest]) -> None:
        """Forget the other bodies about these problems: this one is the newest about each."""
        for problem in problems:
            before = self._newest.get(problem)
            if before is not None and before != digest:
                self._drop(before)
            if digest:
                self._newest[problem] = digest

    def _drop(self, digest: Digest) -> None:
        dropped = self._bodies.pop(digest, None)
        for problem in dropped.problems if dropped else ():
            if self._newest.get(problem) == digest:
                del self._newest[problem]
