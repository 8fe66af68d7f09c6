"""An exported log, read from a file."""

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from remediation_orchestrator.bus.file import FileLog, messages
from remediation_orchestrator.bus.packing import UnreadableLogError
from remediation_orchestrator.bus.port import LogError, ReadableLog
from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.events.stored import export_line

AT = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)


def stored(sequence: int, subject: str = "ro.main.signal.x", payload: bytes = b'{"a":1}') -> StoredMessage:
    """One record."""
    return StoredMessage(sequence, AT, subject, payload, {"Nats-Msg-Id": "a"} if sequence == 2 else None)


RECORDS = [stored(1), stored(2, "ro.main.decision", b"[1]"), stored(4, payload=b"\xff")]


def write(path: Path, records: list[StoredMessage]) -> Path:
    """Export them, compressed where the name says so."""
    content = b"".join(export_line(record) + b"\n" for record in records)
    packers: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstandard.compress}
    path.write_bytes(packers.get(path.suffix, bytes)(content))
    return path


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz", "log.jsonl.zst"])
async def test_what_was_exported_is_read(tmp_path: Path, name: str) -> None:
    """By the same questions as any other log."""
    path = write(tmp_path / name, RECORDS)
    log: ReadableLog = FileLog(path)
    assert list(messages(path)) == RECORDS
    assert [message async for message in log.read()] == RECORDS
    assert [message.sequence async for message in log.read(2)] == [2, 4]
    assert (log.cell, await log.first_sequence(), await log.last_sequence()) == ("main", 1, 4)
    assert await log.last("ro.main.signal.x") == RECORDS[2]
    assert await log.last("ro.main.signal.y") is None


def test_its_identity_is_its_own(tmp_path: Path) -> None:
    """The same for the same log, however long and however packed; another for another."""
    whole, part = write(tmp_path / "a", RECORDS), write(tmp_path / "b.gz", RECORDS[:1])
    assert FileLog(whole).identity == FileLog(part).identity
    assert FileLog(write(tmp_path / "c", RECORDS[1:])).identity != FileLog(whole).identity


async def test_a_file_cannot_be_followed(tmp_path: Path) -> None:
    """It does not grow."""
    log = FileLog(write(tmp_path / "log", RECORDS))
    with pytest.raises(LogError, match="cannot be followed"):
        await anext(log.read(follow=True))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "an empty file is no log"),
        (b"\n \n", "an empty file is no log"),
        (b"hello\n", "line 1: JSON is malformed"),
        (export_line(stored(1)) + b"\n\n{}\n", "line 3: Object missing required field"),
        (export_line(stored(1))[:40], "line 1: Input data was truncated"),
        (export_line(stored(2)) + b"\n" + export_line(stored(2)), "line 2: sequence 2 after 2"),
        (export_line(stored(2)) + b"\n" + export_line(stored(1)), "line 2: sequence 1 after 2"),
        (export_line(stored(0)), "line 1: Expected `int` >= 1"),
        (
            export_line(stored(1)) + b"\n" + export_line(stored(2, "ro.other.decision")),
            "line 2: a record of the cell 'other' in the log of 'main'",
        ),
        (export_line(stored(1, "somewhere.else")), "line 1: not a subject of the log"),
        (b"\x00\xff\xfe", "line 1: "),
    ],
)
def test_what_is_no_log_is_named_with_its_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    """One clear line."""
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(UnreadableLogError) as unreadable:
        list(messages(path))
    assert str(unreadable.value).startswith(str(path))
    assert complaint in str(unreadable.value)
    assert "\n" not in str(unreadable.value)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """Missing, not compressed though it says so, and cut off in the middle."""
    content = b"".join(export_line(stored(number)) + b"\n" for number in range(1, 9_999))
    packed, zstd = gzip.compress(content), zstandard.compress(content)
    for name, written, complaint in (
        ("missing", None, "No such file"),
        ("plain.gz", b"hello", "Not a gzipped file"),
        ("cut.gz", packed[: len(packed) // 2], "Compressed file ended"),
        ("plain.zst", b"hello, this is no zstd", "Unknown frame descriptor"),
        ("cut.zst", zstd[: len(zstd) // 2], "Compressed file ended"),
    ):
        path = tmp_path / name
        if written is not None:
            path.write_bytes(written)
        with pytest.raises(UnreadableLogError, match=f"{name}: .*{complaint}"):
            list(messages(path))


@pytest.mark.parametrize(
    ("first", "second", "complaint"),
    [
        (slice(0, 2), slice(1, 3), "begins at 2, and the file before it ends at 2"),
        (slice(0, 1), slice(2, 3), "begins at 4, and the file before it ends at 1"),
    ],
)
async def test_segments_that_do_not_follow_one_another_are_refused(
    tmp_path: Path, first: slice, second: slice, complaint: str
) -> None:
    """Neither one too many nor one too few."""
    files = write(tmp_path / "a", RECORDS[first]), write(tmp_path / "b", RECORDS[second])
    with pytest.raises(UnreadableLogError, match=complaint):
        async for _ in FileLog(*files).read():
            pass


async def test_segments_are_read_as_one_log(tmp_path: Path) -> None:
    """In the order in which they are given."""
    files = write(tmp_path / "a", RECORDS[:1]), write(tmp_path / "b", RECORDS[1:])
    together = [message.sequence async for message in FileLog(*files).read()]
    assert together == [message.sequence async for message in FileLog(write(tmp_path / "c", RECORDS)).read()]
