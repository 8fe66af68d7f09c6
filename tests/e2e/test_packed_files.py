"""A kilobyte that unpacks to more than a machine has memory for, given to a verb."""

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from remediation_orchestrator.bus import packing
from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.events.stored import export_line

RO = Path(sys.executable).with_name("ro")
LINE = export_line(StoredMessage(1, datetime(2026, 11, 21, tzinfo=UTC), "ro.main.signal.x", b"{}")) + b"\n"
# Below what the file unpacks to, far above what the bound needs.
MEMORY = 700 * 1024 * 1024
PIECES, PIECE = 50, bytes(16 * 1024 * 1024)


def _write(pieces: Iterator[bytes], path: Path) -> None:
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else zstandard.open(path, "wb") as file:
        for piece in pieces:
            file.write(piece)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_file_that_unpacks_to_more_than_all_memory_is_one_clear_line(tmp_path: Path, ending: str) -> None:
    """Eight hundred megabytes of one line, by a verb that may not have them: exit code 2."""
    path = tmp_path / f"log{ending}"
    _write((LINE if not number else PIECE for number in range(PIECES)), path)
    limited = f"ulimit -v {MEMORY // 1024}; exec {RO} list --log {path}"
    done = subprocess.run(
        ["sh", "-c", limited], capture_output=True, text=True, env={**os.environ, "MALLOC_ARENA_MAX": "2"}
    )
    assert (done.returncode, done.stderr) == (
        2,
        f"ro: {path}: line 2 has more than {packing.LINE_BYTES_MAX:,} bytes: no record is so long\n",
    )
