"""The one order in which a log is folded, live and after a restart, standing by, in replay and in audit.

A fact waits until a frame is read whose `as_of` reaches it, and is folded just before that frame. Facts beyond
the last frame are folded by the active orchestrator alone, as the first step of a round."""

import re
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from msgspec.structs import replace

from remediation_orchestrator.events import (
    Decision,
    DecisionFrame,
    Decoded,
    OrchestratorStarted,
    Recorded,
    StoredMessage,
    Undecodable,
    decode,
)
from remediation_orchestrator.events.codec import head_in, head_of, is_copy, is_valid
from remediation_orchestrator.events.stored import EXPECTED, expectation
from remediation_orchestrator.events.subjects import Family, command_key, parse

from .chain import Chain
from .decisions import fold_decision
from .facts import fold_fact
from .projection import Projection
from .state import RejectTask, Remediation


class Observer:
    """Whoever asks questions of a log looks on while it is folded; nothing it does may change the fold."""

    def fact(self, record: Recorded | Undecodable, *, fits: bool) -> None:
        """A fact has been folded, at its moment; `fits` is False for a stray that changed nothing."""

    def turn(self, head: DecisionFrame, records: Sequence[Decoded]) -> None:
        """A frame is next, and before it the facts that it is the first to cover."""

    def frame(self, message: StoredMessage, head: DecisionFrame | None, *, fits: bool) -> None:
        """A record of the decision subject is next, its facts are folded; without a head it is no frame.

        `fits` is False where what it says of all that came before it is not so."""

    def decision(self, record: Recorded | Undecodable) -> None:
        """A decision is about to be folded."""

    def command(self, message: StoredMessage, key: tuple[str, str]) -> None:
        """A command is next."""

    def forgotten(self, remediation: Remediation) -> None:
        """The projection has let go of a remediation that has ended."""


NOTHING_OWN: Mapping[tuple[str, str], bytes] = MappingProxyType({})


class Fold:
    """A projection and its place in the log."""

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer = observer
        self.view = Projection(None if observer is None else observer.forgotten)
        self.chain = Chain()
        self.facts: deque[StoredMessage] = deque()
        """Read, and not folded yet."""
        self.read = 0
        """Sequence of the newest message taken."""
        self.last: StoredMessage | None = None
        """The newest message taken, where there is one."""
        self.told = 0
        """Sequence of the newest message of an operator that is folded: a frame covers it, whatever follows."""
        self.bounded = False
        """Whether a fact that no frame covers yet was taken for earlier than its stamp: a frame has to say so."""
        self.broken: str | None = None
        """Why the log is not whole: a record is missing, or a frame's digest is not that of what came before."""
        self.version = ""
        """Of the newest orchestrator that was active."""
        self.log = ""
        """The identity of the log that was led last, as far as that was read."""
        self.unknown: str | None = None
        """A decision of a type that this version does not know: it must not become active."""

    def take(self, message: StoredMessage, own: Mapping[tuple[str, str], bytes] = NOTHING_OWN) -> None:
        """Read the next message of the log. Facts wait here; a frame folds those that it covers, then itself.

        `own` are commands as one has written them oneself, by kind and id: they need no second look."""
        if message.sequence != self.read + 1:
            self._skip_to(message.sequence)
        self.read, self.last = message.sequence, message
        subject = parse(message.subject)
        if subject.family.is_fact:
            self.facts.append(message)
        elif subject.family is Family.DECISION:
            if message.sequence > self.chain.last:
                self._take_frame(message)
            elif head_of(message) is not None:  # Of a frame before a snapshot's, which the next may tell of.
                self.chain.before(message.sequence, message.payload)
        else:
            key = command_key(subject)
            if self._observer is not None:
                self._observer.command(message, key)
            # What is no command there is junk, which anybody may have made.
            if key in self.view.owed and _is_command(message, own.get(key)):
                self.view.outbox.strike_off(key)
        self.chain.record(message)

    @property
    def is_to_be_told(self) -> bool:
        """Whether a frame has to tell of what is folded although nothing is decided about it."""
        return self.bounded or self.chain.covered < self.told

    def needs_another(self, version: str) -> str | None:
        """What keeps an orchestrator of this version from becoming active here, if anything does; ask at the tail.

        A decision of an unknown type always does. A fact of one does only if a frame covers it without an answer
        in a log in which a newer version was active: that one knew it. Any other is for us to answer."""
        if self.unknown is not None or not newer(self.version, version):
            return self.unknown
        unanswered = (task for task in self.view.tasks.values() if isinstance(task, RejectTask))
        return next((f"{one.unknown_type} at {one.position}" for one in unanswered if one.unknown_type), None)

    def fold_facts(self, through: int | None = None, *, not_after: datetime | None = None) -> None:
        """Fold the facts that wait: all of them, or those through a sequence.

        None of them has a moment later than `not_after`; without it their stamps are taken as they are."""
        while self.facts and (through is None or self.facts[0].sequence <= through):
            self.fold_message(not_after)

    def fold_message(self, not_after: datetime | None) -> int:
        """Fold the first message of facts that waits; return how many bytes it has."""
        message = self.facts.popleft()
        self.chain.as_of = message.sequence
        if parse(message.subject).family is Family.OPERATOR:
            self.told = message.sequence
        moment = self.view.retention.moment_of(message.recorded_at, not_after)
        if moment != message.recorded_at:
            self.bounded = self.bounded or moment < message.recorded_at
            message = replace(message, recorded_at=moment)
        records = decode(message)
        if not records:
            self.view.reach(moment)
        for record in records:
            fits = fold_fact(self.view, record)
            if self._observer is not None:
                self._observer.fact(record, fits=fits)
        return len(message.payload)

    def stored(self, sequence: int, frame: Sequence[Decision], payload: bytes) -> None:
        """A frame of one's own is on disk; its decisions were folded when they were made."""
        head = frame[0]
        assert isinstance(head, DecisionFrame)
        self._stand_behind(sequence, head, payload)
        self.view.outbox.confirm(sequence, frame)

    def head_of_next(self, orchestrator: str, not_after: datetime) -> DecisionFrame:
        """Return what the next frame has to say of all that came before it."""
        previous = self.chain.previous(self.read)
        return DecisionFrame(self.chain.as_of, self.read, orchestrator, previous, not_after)

    def skip(self, message: StoredMessage) -> None:
        """Pass over a frame of one's own, on reading it."""
        if message.sequence != self.read + 1:
            self._skip_to(message.sequence)
        self.read, self.last = message.sequence, message
        self.chain.record(message)

    def _skip_to(self, sequence: int) -> None:
        assert sequence > self.read, f"{sequence} read after {self.read}"
        self._break(f"{self.read + 1} is missing, the next is {sequence}")

    def _break(self, why: str) -> None:
        self.broken = self.broken or why

    def _stand_behind(self, sequence: int, head: DecisionFrame, payload: bytes) -> None:
        self.chain.frame(sequence, head.previous, payload, read=head.read)
        self.bounded = False

    def _take_frame(self, message: StoredMessage) -> None:
        records = decode(message)
        head = head_in(records)
        if head is None:
            if self._observer is not None:
                self._observer.frame(message, None, fits=True)
            # Not a frame: it decides nothing, and audit shows it. The next one is appended behind it.
            self.chain.last = message.sequence
            self.log = _log_named_unfenced(message) or self.log
            return
        if self._observer is not None:
            self._observer.turn(head, records)
        self.fold_facts(head.as_of, not_after=head.not_after)
        fits = head.previous == self.chain.previous(head.read)
        if self._observer is not None:
            self._observer.frame(message, head, fits=fits)
        if not fits:
            self._break(f"what the frame {message.sequence} says of all before it is not so")
        for record in records:
            if self._observer is not None:
                self._observer.decision(record)
            if record is not records[0]:  # The head itself changes nothing.
                self._fold(record)
        self._stand_behind(message.sequence, head, message.payload)

    def _fold(self, record: Recorded | Undecodable) -> None:
        if isinstance(record, Undecodable):
            if record.unknown_type is not None:
                self.unknown = f"{record.unknown_type} at {record.position}"
            return
        if isinstance(record.event, OrchestratorStarted):
            self.version, self.log = record.event.version, record.event.log
        fold_decision(self.view, record.event, record.position)  # type: ignore[arg-type]


def _log_named_unfenced(message: StoredMessage) -> str:
    """The log that a start names which expects nothing; "" where this is none.

    A stream that is filled from another has its records without what they expected: nobody may lead it as if
    nothing had been decided there."""
    if expectation(message) is not None or is_copy(message):
        return ""
    records = decode(replace(message, headers={EXPECTED: "0"}))
    starts = (one.event for one in records if isinstance(one, Recorded))
    return next((one.log for one in starts if isinstance(one, OrchestratorStarted)), "")


def _is_command(message: StoredMessage, own: bytes | None) -> bool:
    """Whether a record is the command of its subject. One's own bytes are, unless the server has copied them."""
    if message.payload == own and not is_copy(message) and expectation(message) is not None:
        return True
    return is_valid(message)


_RELEASE = re.compile(r"\d+(?:\.\d+)*")


def newer(one: str, other: str) -> bool:
    """Whether the first is the newer. What does not begin with a number is older than everything that does.

    A pre-release, a development version and the release itself are one: what may be said on the log changes from
    release to release only."""
    return _release(one) > _release(other)


def _release(version: str) -> tuple[int, ...]:
    found = _RELEASE.match(version)
    numbers = [int(number) for number in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:  # 0.2 is 0.2.0.
        numbers.pop()
    return tuple(numbers)
