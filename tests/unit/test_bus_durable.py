"""Files that are there whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from remediation_orchestrator.bus.durable import fresh_file


def test_what_goes_wrong_with_a_file_is_told_of_its_own_name(tmp_path: Path) -> None:
    """Nobody has asked for the part that it is written as."""
    wanted = tmp_path / "gone" / "log.jsonl"
    with pytest.raises(FileNotFoundError) as wrong, fresh_file(wanted) as part:
        part.write_bytes(b"")
    assert wrong.value.filename == str(wanted)


def test_a_disk_without_room_is_told_of_the_file(tmp_path: Path) -> None:
    """What a write says of itself names nothing."""
    with pytest.raises(OSError, match="No space") as wrong, fresh_file(tmp_path / "log.jsonl"):
        os.write(os.open("/dev/full", os.O_WRONLY), b"x")
    assert wrong.value.filename == str(tmp_path / "log.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_is_never_replaced_by_one(tmp_path: Path) -> None:
    """A pipe, a device, a folder: whoever writes as root would take /dev/stdout away from everybody."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link", "."):
        with pytest.raises(OSError, match="no file") as wrong, fresh_file(tmp_path / name):
            pytest.fail("there is nothing to be written")
        assert wrong.value.errno == errno.EINVAL
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()
