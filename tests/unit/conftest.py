"""Fixtures of the executor's unit tests."""

from pathlib import Path

import pytest
from bench import Bench
from faulty import NOW, FaultyLog

from remediation_orchestrator.events import StoredMessage


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """One executor, on a log with one message before all others."""
    log = FaultyLog()
    log.stored.append(StoredMessage(1, NOW, "ro.main.decision", b"[]"))
    return Bench(tmp_path, log)
