"""Whether what is said of a run stands behind what its writer knew of it: its headers say what it expected.

A start expects the first place on its run's subject, and an end its start: so of two ends one is stored."""

from remediation_orchestrator.events import ExecutionId, Position, StoredMessage
from remediation_orchestrator.events.identity import position_key
from remediation_orchestrator.events.subjects import Family, parse

EXPECTATION = "Nats-Expected-Last-Subject-Sequence"


class Fences:
    """The records about runs that expect nothing, or something else than stands there, until they are folded."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        """Of each run's subject the newest record."""
        self._open: set[int] = set()

    def take(self, message: StoredMessage) -> None:
        """Read the next record of the log."""
        subject = parse(message.subject)
        if subject.family is not Family.EXECUTION:
            return
        expected = (message.headers or {}).get(EXPECTATION, "")
        last = self._last.get(subject.rest)
        # Of a run whose beginning is archived nobody knows what stands there.
        if not expected.isdigit() or (last is not None and int(expected) != last):
            self._open.add(message.sequence)
        self._last[subject.rest] = message.sequence

    def is_open(self, place: Position) -> bool:
        """Whether the record at a place, which has been folded, was not fenced; said once."""
        sequence = position_key(place)[0]
        was_open = sequence in self._open
        self._open.discard(sequence)
        return was_open

    def forget(self, execution: ExecutionId) -> None:
        """A run is over: what is said of it now fits nothing."""
        self._last.pop(execution, None)
