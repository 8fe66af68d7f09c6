"""Written logs, for our own tests: what users have too, by its short name, and one whose rounds are in pieces."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from remediation_orchestrator.events import Decision
from remediation_orchestrator.orchestrator.frames import Batch
from remediation_orchestrator.testing.written import SOURCE, WrittenLog

__all__ = ["SOURCE", "InManyFrames", "WrittenLog"]


class InManyFrames(WrittenLog):
    """A log whose rounds are stored in frames of one decision each: it may end in the middle of one."""

    def batches(self, decisions: Sequence[Decision], now: datetime) -> Iterator[Batch]:
        """One frame a decision."""
        for decision in decisions:
            yield from super().batches([decision], now)
