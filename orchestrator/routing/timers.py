"""Timers: what is to be looked at, and when. No record and no snapshot has them: they follow from the projection.

A moment is put down whenever one may have come about, and counts when its time has come only if something still
waits for exactly that moment: so nothing ever has to be found and taken out."""

import heapq
from collections.abc import Callable, Iterable
from datetime import datetime

Due = tuple[datetime, int, str]
"""When, the order among equals (the smaller the older), and the id of what is to be looked at."""


class Timers:
    """Moments at which something becomes due. `wanted` says for which moment something waits now, if for any."""

    def __init__(self, wanted: Callable[[str], datetime | None]) -> None:
        self._wanted = wanted
        self.heap: list[Due] = []

    def wake(self, at: datetime, order: int, about: str) -> None:
        """Remember to look at something at a moment."""
        heapq.heappush(self.heap, (at, order, about))

    def next_due(self, by: datetime | None = None) -> tuple[datetime, str] | None:
        """What becomes due next, and when: the earlier first, then the older. With `by` nothing that is later."""
        while self.heap and (by is None or self.heap[0][0] <= by):
            at, _, about = self.heap[0]
            if self._wanted(about) == at:
                return at, about
            heapq.heappop(self.heap)
        return None

    def take_due(self, now: datetime) -> None:
        """Take away what is due next, if anything is by now."""
        if self.next_due(now) is not None:
            heapq.heappop(self.heap)

    def let_go(self, newest: datetime, looks: int) -> None:
        """Look at so many that have passed, and let go those that nobody waits for."""
        while looks and self.heap and self.heap[0][0] <= newest:
            if self._wanted(self.heap[0][2]) == self.heap[0][0]:
                return
            heapq.heappop(self.heap)
            looks -= 1

    def begin(self, waiting: Iterable[tuple[int, str]]) -> None:
        """Begin anew with all that may wait, each by its order and id."""
        found = ((self._wanted(about), order, about) for order, about in waiting)
        self.heap = [(at, order, about) for at, order, about in found if at is not None]
        heapq.heapify(self.heap)
