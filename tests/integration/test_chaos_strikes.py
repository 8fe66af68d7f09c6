"""Chaos goes on whatever becomes of its strikes: what it could not do it says, and what has ended it starts."""

import asyncio
import os
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import HOST
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import subjects
from remediation_orchestrator.events.identity import DEFAULT_CELL
from remediation_orchestrator.simulation.chaos import archives
from remediation_orchestrator.simulation.chaos.bursts import Bursts
from remediation_orchestrator.simulation.chaos.cell import ChaosCell
from remediation_orchestrator.simulation.chaos.faults import FaultFamily, Planned, Strike
from remediation_orchestrator.simulation.chaos.rounds import Chaos

SIGNAL = subjects.signal(DEFAULT_CELL, "test")
PATIENCE = 30


@pytest.fixture
async def broken(tmp_path: Path) -> AsyncIterator[ChaosCell]:
    """A cell of which the broker alone runs, with one record in its log."""
    cell = ChaosCell(tmp_path)
    try:
        async with connected(cell.url) as connection:
            await (await JetStreamLog.ensure(connection, DEFAULT_CELL)).append(SIGNAL, b"[]")
        yield cell
    finally:
        cell.end()


async def read(cell: ChaosCell) -> list[bytes]:
    """Everything in the log."""
    async with connected(cell.url) as connection:
        log = await JetStreamLog.open(connection, DEFAULT_CELL)
        return [message.payload async for message in log.read()]


async def test_a_strike_that_cannot_be_done_is_told_and_chaos_goes_on(broken: ChaosCell) -> None:
    """The broker cannot come back, because somebody has its port; as soon as it is free, it does."""
    struck: Counter[Strike] = Counter()
    async with asyncio.timeout(PATIENCE), connected(broken.url) as connection:
        log = await JetStreamLog.open(connection, DEFAULT_CELL)
        chaos = Chaos(broken, log, Bursts(connection, log, 1), 1, 1.0, [FaultFamily.KILLS])
        port = urlsplit(broken.true_url).port
        assert port is not None
        striking = asyncio.create_task(chaos.suffer(Planned(0, Strike.BROKER_KILLED, 0, 0.5), struck))
        with await taken(port):
            await striking
    assert struck.total() == 0
    assert ["address already in use" in one for one in chaos.undone] == [True]
    broken.revive_broker()
    assert await read(broken) == [b"[]"]


async def taken(port: int) -> socket.socket:
    """Take a port as soon as it is free."""
    while True:
        try:
            return socket.create_server((HOST, port))
        except OSError:
            await asyncio.sleep(0.01)


async def test_an_archive_that_ends_when_its_time_is_over_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has ended, and what it said has not come to its end: nobody is there to be killed."""
    verb = tmp_path / "ro"
    verb.write_text("#!/bin/sh\nsleep 1 &\n")
    verb.chmod(0o700)
    monkeypatch.setattr(archives, "RO", str(verb))
    found = archives.Archives(tmp_path, "nats://of-this-test")
    async with asyncio.timeout(PATIENCE):
        assert await found.strike(Planned(0, Strike.ARCHIVE_KILLED, 0, 0.5, 1))
    assert found.purged == 1


async def test_a_broker_that_ends_by_itself_is_started_again(broken: ChaosCell) -> None:
    """As whoever looks after a machine does; one that runs is left alone."""
    broken.revive_broker()
    (named,) = (broken.home / "data" / "nats" / "run").glob("*.ports")
    os.kill(int(named.stem.rpartition("_")[2]), signal.SIGKILL)
    async with asyncio.timeout(PATIENCE):
        while named.exists():
            broken.revive_broker()
            await asyncio.sleep(0.01)
    assert await read(broken) == [b"[]"]
