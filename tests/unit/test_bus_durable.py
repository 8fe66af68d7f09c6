"""Files that are there whole or not at all."""

from pathlib import Path

import pytest

from remediation_orchestrator.bus.durable import fresh_file


def test_what_goes_wrong_with_a_file_is_told_of_its_own_name(tmp_path: Path) -> None:
    """Nobody has asked for the part that it is written as."""
    wanted = tmp_path / "gone" / "log.jsonl"
    with pytest.raises(FileNotFoundError) as wrong, fresh_file(wanted) as part:
        part.write_bytes(b"")
    assert wrong.value.filename == str(wanted)
