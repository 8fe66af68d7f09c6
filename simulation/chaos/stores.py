"""Stores that are not what they were: older, or with a bit flipped on disk. The broker stands still meanwhile."""

import random
import shutil
import subprocess
from pathlib import Path

from remediation_orchestrator.bus.port import stream_name
from remediation_orchestrator.events.identity import DEFAULT_CELL

from .faults import Strike

_STREAMS = Path("jetstream", "$G", "streams")
_LOG = _STREAMS / stream_name(DEFAULT_CELL)
_INDEX = "index.db"
"""What the server believes of its blocks without looking; without it they are read, and their checksums too."""


class BrokerStore:
    """The store of a cell's broker, beside which others wait."""

    def __init__(self, data: Path, beside: Path) -> None:
        self._store = data / "nats" / "store"
        self._beside = beside
        self._beside.mkdir()

    def remember(self) -> None:
        """Keep a copy of the store as it is now, in the place of the one before. The broker stands still."""
        shutil.rmtree(self._older, ignore_errors=True)
        _copy(self._store, self._older)

    def block_bytes(self) -> int:
        """How large the block is into which the log grows."""
        try:
            return _newest_block(self._store / _LOG / "msgs").stat().st_size
        except (FileNotFoundError, ValueError):  # A purge takes the last of them away.
            return 0

    def keep(self) -> None:
        """Put the good store aside, for `restore`."""
        shutil.rmtree(self._good, ignore_errors=True)
        _copy(self._store, self._good)

    def spoil(self, how: Strike, chance: random.Random) -> None:
        """Put a bad store in the place of the good one, which is kept. A hole is made when the broker is back."""
        match how:
            case Strike.LOG_OLDER:
                shutil.rmtree(self._store / _LOG)
                _copy(self._older / _LOG, self._store / _LOG)
            case Strike.LOG_FLIPPED:
                _flip(self._store / _LOG / "msgs", chance)
            case _:
                return

    def restore(self, keep: Path | None) -> None:
        """Bring the good store back; the bad one goes, or is kept there."""
        if keep is not None:
            shutil.move(self._store, keep)
        shutil.rmtree(self._store, ignore_errors=True)
        self._good.rename(self._store)

    @property
    def _older(self) -> Path:
        return self._beside / "older"

    @property
    def _good(self) -> Path:
        return self._beside / "good"


def _copy(there: Path, here: Path) -> None:
    """Copy a folder with what it is, as fast as this machine can."""
    subprocess.run(["cp", "-a", str(there), str(here)], check=True)


def _newest_block(folder: Path) -> Path:
    return max(folder.glob("*.blk"), key=lambda path: int(path.stem))


def _flip(folder: Path, chance: random.Random) -> None:
    """Flip one bit in the newer half of the newest block, and have the server read it."""
    (folder / _INDEX).unlink(missing_ok=True)
    block = _newest_block(folder)
    with block.open("r+b") as file:
        size = block.stat().st_size
        place = chance.randrange(size // 2, size)
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << chance.randrange(8)]))
