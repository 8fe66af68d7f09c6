"""The stored log of a simulated cell, what can become of a store, and how the good one comes back.

Whatever was stored in the good one stands in `history` for ever: by it the promises are judged."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from remediation_orchestrator.bus.memory import MemoryCell
from remediation_orchestrator.bus.records import Records
from remediation_orchestrator.events import CellName, StoredMessage

from .clock import passed


@dataclass
class Damage:
    """What had become of a store, from when to when."""

    kind: str
    lost: frozenset[int]
    """Sequences that are missing, or that say something else than was stored."""
    replaced: bool
    """Whether another store stood in the place of the good one: what was stored there went with it."""
    begun: float = field(default_factory=passed)
    ended: float | None = None
    stored: list[tuple[float, StoredMessage]] = field(default_factory=list)
    """What was stored meanwhile, and when."""


@dataclass(frozen=True)
class Purge:
    """Records that an archive took away from the good store."""

    first: int
    through: int
    stored: int
    """How many records the log had then."""
    files: frozenset[str]
    """What stood in the folder of archives."""
    kept: bytes | None
    """The head of the projection that was kept."""


class SimulatedStore(MemoryCell):
    """What the simulated broker keeps of its cell."""

    def __init__(self, cell: CellName, now: Callable[[], datetime]) -> None:
        super().__init__(cell, now)
        self.history: list[StoredMessage] = []
        """All that was ever stored in the good store, in order: a sequence is one more than its place."""
        self.damages: list[Damage] = []
        self.purges: list[Purge] = []
        self.first = 1
        """Of the good store."""
        self._good = self.records
        self._grown = asyncio.Event()

    @property
    def damage(self) -> Damage | None:
        """What is the matter with it now."""
        return self.damages[-1] if self.damages and self.damages[-1].ended is None else None

    def store(self, subject: str, payload: bytes, expect: int | None, message_id: str | None) -> int:
        """Store one message at once."""
        before = self.records.last
        sequence = super().store(subject, payload, expect, message_id)
        if sequence > before:
            self._remember()
        return sequence

    def copy(self, message: StoredMessage, stream: str) -> int:
        """Store a copy of a message under its subject."""
        sequence = super().copy(message, stream)
        self._remember()
        return sequence

    def _remember(self) -> None:
        message = self.records.messages[-1]
        if self.damage is not None:
            self.damage.stored.append((passed(), message))
        if self.damage is None or not self.damage.replaced:
            self.history.append(message)
            self._grown.set()

    def is_flipped(self, message: StoredMessage) -> bool:
        """Whether the good store says another thing at its place, and no other store stands there."""
        if self.damage is not None and self.damage.replaced:
            return False
        kept = self.history[message.sequence - 1] if message.sequence <= len(self.history) else None
        return kept is not message and kept != message

    def gone(self) -> Iterator[StoredMessage]:
        """What was stored in others that stood in its place, and went with them."""
        return (message for one in self.damages if one.replaced for _, message in one.stored)

    def archived_at(self, sequence: int) -> int:
        """Up to where the good store was archived when a record was stored there."""
        return max((one.through for one in self.purges if one.stored < sequence), default=0)

    async def grown(self, sequence: int) -> None:
        """Return when the history goes beyond a sequence."""
        while len(self.history) <= sequence:
            self._grown.clear()
            await self._grown.wait()

    # -- what can become of it -------------------------------------------------------------------------

    def cut(self, kind: str, last: int) -> None:
        """Have another store in its place, which ends at a sequence: a tail was lost, or a copy brought back."""
        self._good, self.records = self.records, Records()
        self.damages.append(Damage(kind, frozenset(range(last + 1, self._good.last + 1)), replaced=True))
        begin = self.first if self.first <= last else 1  # A copy of before an archive begins where it began then.
        self.keep(self.history[begin - 1 : last], last=last)

    def lose(self, kind: str, sequences: Iterable[int]) -> None:
        """Have records missing in it."""
        lost = frozenset(sequences)
        self.damages.append(Damage(kind, lost, replaced=False))
        self.keep([one for one in self.messages if one.sequence not in lost])

    def flip(self, kind: str, sequence: int, bit: int) -> None:
        """Have one bit of a record's bytes flipped."""
        self.damages.append(Damage(kind, frozenset({sequence}), replaced=False))
        self.keep([_flipped(one, bit) if one.sequence == sequence else one for one in self.messages])

    def mend(self) -> None:
        """Have the good store again, with all that was stored in it but what was archived."""
        damage = self.damage
        if damage is None:
            return
        damage.ended = passed()
        if damage.replaced:
            self.records = self._good
            self.keep(self.messages)
            return
        back = [self.history[one - 1] for one in damage.lost if one >= self.first]
        self.keep([*(one for one in self.messages if one.sequence not in damage.lost), *back])

    def purge(self, below: int, folder: Path, kept: bytes | None) -> None:
        """Take away every record below a sequence: for good, where it is the good store."""
        self.keep([one for one in self.messages if one.sequence >= below])
        if self.damage is not None and self.damage.replaced:
            return
        below = min(below, len(self.history) + 1)
        if below > self.first:
            files = frozenset(one.name for one in folder.iterdir())
            self.purges.append(Purge(self.first, below - 1, len(self.history), files, kept))
            self.first = below


def _flipped(message: StoredMessage, bit: int) -> StoredMessage:
    place, bit = divmod(bit % (8 * len(message.payload)), 8)
    payload = bytearray(message.payload)
    payload[place] ^= 1 << bit
    return replace(message, payload=bytes(payload))
