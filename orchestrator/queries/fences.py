"""Whether each record that says what it expects before it on its subject stands behind that.

Two records cannot both be stored behind one, so whoever leads cannot be two, and of two ends of a run one is
stored. The server holds a publisher to it, so in a log that nobody has changed it is so wherever it is said."""

from remediation_orchestrator.events import ExecutionId, StoredMessage
from remediation_orchestrator.events.stored import expectation
from remediation_orchestrator.events.subjects import parse


class Fences:
    """The records that expect nothing, or something else than stands there, until they are asked for."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        """The newest record on the decision subject and, by their last words, on the subjects of runs."""
        self._junk: dict[str, int] = {}
        """And on the subjects of commands, where it is none."""
        self._open: set[int] = set()
        self._begins = 0
        self._archived = 0

    def resume(self, through: int) -> None:
        """Of what stands up to a sequence nothing is known."""
        self._begins = through

    def archive(self, through: int) -> None:
        """What stands up to a sequence may be taken off from here on: the server knows nothing of it any more."""
        self._archived = max(self._archived, through)

    def take(self, message: StoredMessage) -> None:
        """Read the next record on the decision subject, or about a run."""
        subject = parse(message.subject)
        expected, last = expectation(message), self._last.get(subject.rest)
        # Of a run whose beginning is archived nobody knows what stands there.
        if expected is None or (last is not None and not self._is_behind(last, expected)):
            self._open.add(message.sequence)
        self._last[subject.rest] = message.sequence

    def is_open(self, sequence: int) -> bool:
        """Whether this record, which has been folded, was not fenced; said once."""
        if sequence not in self._open:
            return False
        self._open.remove(sequence)
        return True

    def junk(self, message: StoredMessage) -> None:
        """This record is no command, where one may come."""
        self._junk[message.subject] = message.sequence

    def is_first(self, message: StoredMessage) -> bool:
        """Whether this command expects what stood before it, which was no command."""
        expected, last = expectation(message), self._junk.pop(message.subject, 0)
        if expected is None:
            return False
        return self._is_behind(last, expected) or (last == 0 and expected <= self._begins)

    def _is_behind(self, last: int, expected: int) -> bool:
        """Whether this is the newest record on the subject, or that one is taken off and nothing is expected."""
        return expected == last or (expected == 0 and last <= self._archived)

    def forget(self, execution: ExecutionId) -> None:
        """A run is over: what is said of it now fits nothing."""
        self._last.pop(execution, None)
