"""Packed files are read within the memory of a record, whatever they unpack to."""

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from remediation_orchestrator.bus import packing
from remediation_orchestrator.bus.file import FileSnapshots, messages
from remediation_orchestrator.bus.packing import UnreadableLogError, read_lines, unpacked_lines
from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.events.stored import export_line

LINE = export_line(StoredMessage(1, datetime(2026, 11, 21, tzinfo=UTC), "ro.main.signal.x", b"{}")) + b"\n"
PACKERS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> int:
    """A bound that a test can reach."""
    monkeypatch.setattr(packing, "LINE_BYTES_MAX", 1_000)
    return 1_000


@pytest.mark.parametrize("ending", PACKERS)
def test_a_line_that_no_record_could_be_is_refused_in_a_line(tmp_path: Path, short: int, ending: str) -> None:
    """One of the bound's length is read."""
    path = tmp_path / f"log{ending}"
    longest = b"x" * (short - 1) + b"\n"
    path.write_bytes(PACKERS[ending](longest * 2))
    assert list(read_lines(path)) == [longest] * 2
    path.write_bytes(PACKERS[ending](LINE + b" " * 1_000_000))
    with pytest.raises(UnreadableLogError) as caught:
        list(messages(path))
    assert str(caught.value) == f"{path}: line 2 has more than 1,000 bytes: no record is so long"


async def test_so_is_one_of_a_snapshot(tmp_path: Path, short: int) -> None:
    """Beside a log, and on the broker; the head is read without what follows it."""
    beside = FileSnapshots(tmp_path / "log")
    beside.path.write_bytes(zstandard.compress(b"head\n" + b"x" * 10_000))
    found = await beside.newest()
    assert found is not None
    assert found[0] == b"head"
    with pytest.raises(UnreadableLogError, match="line 2 has more than 1,000 bytes"):
        list(found[1])
    with pytest.raises(UnreadableLogError, match="line 2 has more than 1,000 bytes"):
        list(unpacked_lines([zstandard.compress(b"head\n" + b"x" * 10_000)]))


def test_lines_are_the_same_however_they_are_cut() -> None:
    """Those of a snapshot come in messages."""
    packed = zstandard.compress(b"".join(b"%d\n" % number for number in range(100_000)))
    for size in (1, 1_000, len(packed)):
        chunks = [packed[start : start + size] for start in range(0, len(packed), size)]
        assert list(unpacked_lines(chunks)) == [b"%d" % number for number in range(100_000)]
