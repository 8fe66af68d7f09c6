"""Histories: whatever a cell is told, near every boundary, no promise about its log is broken."""

import asyncio
import base64
import random
from datetime import timedelta

import pytest

from remediation_orchestrator.bus.memory import MemoryCell
from remediation_orchestrator.events import CellName
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT
from remediation_orchestrator.simulation import clock
from remediation_orchestrator.simulation.catalogs import refresh
from remediation_orchestrator.simulation.endless import EndlessError, ended
from remediation_orchestrator.simulation.explore_search import silently
from remediation_orchestrator.simulation.histories import tell
from remediation_orchestrator.simulation.histories_process import HistoryProcess
from remediation_orchestrator.simulation.leads import lead_on

# The suite's share; `ro-sim fuzz --reader histories` goes on for as long as wanted.
HISTORIES = 80
CATALOGS = 40
BYTES = (60, 150, 300)
REPAIRED = b'{"name":"Slow","target":{"name":"checkout"},"workflow":{"id":"restart"}}'


def test_whatever_the_history_no_promise_about_its_log_is_broken() -> None:
    """Facts in any order, boundaries to the millisecond, restarts, snapshots, junk, lost answers, an archive."""
    silently()
    dice = random.Random(1)
    for _ in range(HISTORIES):
        told = dice.randbytes(dice.choice(BYTES))
        assert list(tell(told)) == [], base64.b64encode(told).decode()


def test_a_frame_of_its_own_that_is_stored_late_ends_no_orchestrator() -> None:
    """It stands by, reads it, and leads again: to its log it is not another of its name."""
    silently()
    assert list(tell(bytes.fromhex("ceb2b1ed7a45c5c71acb4e9e"))) == []


def test_a_leader_does_not_spin_while_the_brokers_clock_is_behind() -> None:
    """Something is due right behind the newest moment, which the clock does not reach for two hours."""
    silently()
    off = timedelta()

    async def wait_for_the_clock() -> None:
        nonlocal off
        cell = MemoryCell(CellName("main"), lambda: clock.broker_now() + off)
        process = HistoryProcess(cell, "o1", DEFAULT)
        cell.store("ro.main.signal.told", REPAIRED, None, None)
        while not process.service.fold.view.runs:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.1)
        due = process.service.fold.view.next_wakeup()
        assert due is not None
        await asyncio.sleep((due - clock.broker_now() - timedelta(microseconds=50)).total_seconds())
        cell.store("ro.main.signal.told", b"junk", None, None)
        await asyncio.sleep(0.00001)
        off -= timedelta(hours=2)
        cell.store("ro.main.signal.told", b"junk", None, None)
        await asyncio.sleep(7_200.0)
        await process.end()

    try:
        with ended(10.0):
            clock.run(wait_for_the_clock())
    except EndlessError as error:
        pytest.fail(str(error))


def test_whatever_becomes_of_two_orchestrators_the_one_leads_that_should() -> None:
    """A nap no longer than a lease and its grace costs nobody the lead; a death is seen whatever clocks say."""
    silently()
    dice = random.Random(1)
    for _ in range(HISTORIES):
        told = dice.randbytes(dice.choice((12, 30)))
        assert list(lead_on(told)) == [], base64.b64encode(told).decode()


def test_however_its_files_change_a_catalog_serves_what_its_folder_has() -> None:
    """Also where a file is replaced by another of its age and size; and rules fit just what they say."""
    silently()
    dice = random.Random(1)
    for _ in range(CATALOGS):
        told = dice.randbytes(60)
        assert list(refresh(told)) == [], base64.b64encode(told).decode()


def test_the_same_bytes_tell_the_same_history() -> None:
    """Else nothing that was found could be seen again."""
    silently()
    told = bytes(range(200))
    assert list(tell(told)) == list(tell(told))
