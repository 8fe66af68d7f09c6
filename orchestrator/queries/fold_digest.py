"""What a fold knows, in a form that two processes can hold against each other.

A live orchestrator digests its state, and somebody else that of a fresh fold of the same records: equal
digests mean that nothing was forgotten and nothing made up. Nothing here is ever read back into a state."""

import hashlib

from msgspec import Struct

from remediation_orchestrator.orchestrator.routing.fold import Fold


class FoldDigest(Struct, frozen=True):
    """The state at a place of the log: a digest for each table of the projection."""

    read: int
    """Sequence of the newest message taken."""
    waiting: int
    """Messages of facts that were read and not folded yet."""
    head: int
    """Sequence of the newest frame."""
    tables: dict[str, str]

    def differs_in(self, other: "FoldDigest") -> list[str]:
        """The names of the tables, and of the places, that are not equal."""
        places = [name for name in ("read", "waiting", "head") if getattr(self, name) != getattr(other, name)]
        names = self.tables.keys() | other.tables.keys()
        return places + sorted(name for name in names if self.tables.get(name) != other.tables.get(name))


def digest_fold(fold: Fold) -> FoldDigest:
    """Say what a fold knows now."""
    tables = {name: _digest(table) for name, table in fold.view.tables().items()}
    return FoldDigest(fold.read, len(fold.facts), fold.chain.last, tables)


def _digest(table: object) -> str:
    """SHA-256 of a table written out. The order of its keys is nobody's promise; that inside a value is."""
    said = (
        sorted(f"{key!r}: {value!r}" for key, value in table.items()) if isinstance(table, dict) else [repr(table)]
    )
    return hashlib.sha256("\n".join(said).encode()).hexdigest()
