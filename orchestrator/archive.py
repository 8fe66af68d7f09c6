"""How much of a log may be archived, and the projection from which the rest goes on.

What goes is older than anything that a policy waits for, or that is still at work, and ends before the newest
decision. So nothing that is alive is explained by records that are not there."""

import hashlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from remediation_orchestrator.bus.port import NotWholeError, ReadableLog
from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.events.identity import position_key, signal_of
from remediation_orchestrator.events.stored import export_line

from .routing.fold import Fold
from .routing.snapshot import Image
from .snapshots import from_beginning


class Cut(Struct, frozen=True):
    """Where a log may be cut."""

    first: int
    """Sequence of the oldest record."""
    through: int
    """Sequence of the last that goes."""
    frame: int
    """Sequence of the frame behind which the projection is taken."""


class Base(Struct, frozen=True):
    """A projection that was written down, as it is kept."""

    head: bytes
    parts: list[bytes]

    def its_head(self, _digest: str) -> bytes:
        """Return its head, for whoever keeps it."""
        return self.head

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of the head, which names the digest of the parts: what the chain says of it."""
        return hashlib.sha256(self.head).hexdigest()


async def where_to_cut(log: ReadableLog) -> Cut | None:
    """Where a log may be cut; None where nothing of it may go. Reads it to its end."""
    fold = Fold()
    await from_beginning(fold, log)
    first = fold.read + 1
    places: list[tuple[int, int, datetime]] = []
    async for message in log.read(first):
        stated = fold.chain.stated
        fold.take(message)
        if fold.chain.stated != stated and is_between_rounds(fold):
            places.append((fold.chain.last, fold.chain.read, fold.view.newest))
    _check_read_whole(fold)
    young = fold.view.newest - memory(fold)  # By moments that a frame stands for: a stamp alone may be anything.
    fold.fold_facts()
    needed = oldest_needed(fold)
    may_go = [
        (frame, through)
        for frame, through, at in places
        if first <= through < needed and at < young and frame < fold.chain.last
    ]
    return Cut(first, may_go[-1][1], may_go[-1][0]) if may_go else None


def _check_read_whole(fold: Fold) -> None:
    """Raise NotWholeError where a record was missing on the way: also where another has archived meanwhile."""
    if fold.broken is not None:
        raise NotWholeError(fold.broken)


def is_between_rounds(fold: Fold) -> bool:
    """Whether all that was folded or read is judged, and nothing is folded behind the newest frame.

    So the chain covers what stays of the log to the last byte: it begins where the frame's writer had read to."""
    waiting = bool(fold.facts) and fold.facts[0].sequence <= fold.chain.read
    judged = not fold.view.tasks and not fold.view.unjudged
    return judged and not waiting and fold.chain.as_of == fold.chain.covered


def memory(fold: Fold) -> timedelta:
    """The longest duration of the policies that judge."""
    view = fold.view
    return max(policy.memory for policy in (view.policy, view.shadow) if policy is not None)


def oldest_needed(fold: Fold) -> int:
    """The sequence of the oldest record of what has not ended."""
    view = fold.view
    alive = [one.id for one in view.remediations.values() if not one.phase.ended]
    alive += [run.remediation for run in view.runs.values()]
    waiting = [position_key(place)[0] for place in view.unjudged]
    return min([position_key(signal_of(one))[0] for one in alive] + waiting, default=fold.read + 1)


class Segment:
    """Goes through a log up to a cut: the lines of what goes, and the projection where they lead."""

    def __init__(self, log: ReadableLog, cut: Cut) -> None:
        self._log = log
        self._cut = cut
        self._digest = hashlib.sha256()
        self.base: Base | None = None
        """Known when every line was taken."""

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the segment as it is exported, a line a message."""
        fold = Fold()
        await from_beginning(fold, self._log)
        if fold.read + 1 != self._cut.first:  # Another has archived meanwhile, be it up to this very cut.
            raise NotWholeError(f"it has no record {self._cut.first} any more: another has archived meanwhile")
        async for message in self._log.read(self._cut.first):
            fold.take(message)
            if message.sequence <= self._cut.through:
                line = export_line(message) + b"\n"
                self._digest.update(line)
                yield line
            if message.sequence == self._cut.frame:
                _check_read_whole(fold)
                self.base = base_of(fold, message)
                return

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of its lines."""
        return self._digest.hexdigest()


def base_of(fold: Fold, frame: StoredMessage) -> Base:
    """Write down the projection behind the frame that was folded last; the same log gives the same bytes."""
    fold.view.retention.forget()
    image = Image(fold, frame.payload, frame.recorded_at, code="")
    parts = list(image.parts(ordered=True))
    digest = hashlib.sha256(b"".join(parts)).hexdigest()
    head = replace(image.head, seen=image.head.sequence, digest=digest)
    return Base(msgspec.json.encode(head), parts)
