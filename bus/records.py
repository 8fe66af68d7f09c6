"""What a log in memory holds: its messages in order, and how far it has ever come."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.events.stored import MESSAGE_ID

from .port import DUPLICATE_WINDOW, HOLES_TOLD_MAX, Extent

# What the file store of the server needs for a record beside its subject and payload.
RECORD_OVERHEAD_BYTES = 30


class Records:
    """The messages of one log. Some may be taken away, as a purge, a loss or a restored copy does."""

    def __init__(self) -> None:
        self.messages: list[StoredMessage] = []
        """What is there, in order."""
        self.last = 0
        """The sequence of the newest message that was ever stored."""
        self.bytes = 0
        self._on: dict[str, list[StoredMessage]] = defaultdict(list)
        """What is there on each subject, in order."""
        self._by_id: dict[str, tuple[int, datetime]] = {}

    def add(self, at: datetime, subject: str, payload: bytes, headers: dict[str, str] | None) -> StoredMessage:
        """Store the next message."""
        self.last += 1
        message = StoredMessage(self.last, at, subject, payload, headers)
        self.messages.append(message)
        self._on[subject].append(message)
        self.bytes += record_size(subject, payload)
        if headers and MESSAGE_ID in headers:
            self._by_id[headers[MESSAGE_ID]] = (self.last, at)
        return message

    def find_repeated(self, message_id: str | None, now: datetime) -> int | None:
        """Where the message of this id stands, as long as the server remembers it."""
        stored = self._by_id.get(message_id) if message_id is not None else None
        return stored[0] if stored is not None and stored[1] + DUPLICATE_WINDOW > now else None

    def newest(self, subject: str) -> StoredMessage | None:
        """The newest message on a subject."""
        there = self._on.get(subject)
        return there[-1] if there else None

    def next_on(self, subject: str, after: int) -> StoredMessage | None:
        """The first message on a subject behind a sequence."""
        there = self._on.get(subject)
        if there is None or there[-1].sequence <= after:  # Asked often, and nearly always nothing new is there.
            return None
        return there[bisect_left(there, after + 1, key=lambda one: one.sequence)]

    def at(self, sequence: int) -> StoredMessage | None:
        """The message of this sequence."""
        found = next(self.behind(sequence - 1), None)
        return found if found is not None and found.sequence == sequence else None

    def behind(self, sequence: int) -> Iterator[StoredMessage]:
        """The messages after a sequence that are there now."""
        messages, following = self.messages, sequence + 1
        # Where none is missing, the place follows from the sequence.
        start = following - messages[0].sequence if messages else 0
        if not 0 <= start < len(messages) or messages[start].sequence != following:
            start = bisect_left(messages, following, key=lambda one: one.sequence)
        return map(messages.__getitem__, range(start, len(messages)))

    def extent(self) -> Extent:
        """How far they reach, and what is missing between."""
        first = self.messages[0].sequence if self.messages else 1
        missing = self.last - first + 1 - len(self.messages)
        if not missing:
            return Extent(first, self.last)
        there = {one.sequence for one in self.messages}
        holes = islice((one for one in range(first, self.last + 1) if one not in there), HOLES_TOLD_MAX)
        return Extent(first, self.last, missing, tuple(holes))

    def keep(self, messages: Iterable[StoredMessage], last: int) -> None:
        """Have only these messages left, and go on behind `last`."""
        self.messages = sorted(messages, key=lambda one: one.sequence)
        self.last = last
        self.bytes = sum(record_size(one.subject, one.payload) for one in self.messages)
        self._on = defaultdict(list)
        for one in self.messages:
            self._on[one.subject].append(one)


def record_size(subject: str, payload: bytes) -> int:
    """How many bytes of the log's limit a message takes."""
    return len(subject) + len(payload) + RECORD_OVERHEAD_BYTES
