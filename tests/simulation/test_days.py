"""Simulated days: no promise is broken, every fault strikes, and a seed tells the same story every time."""

import gc
import os
import subprocess
import sys

import pytest

from remediation_orchestrator.simulation.faults import Fault
from remediation_orchestrator.simulation.main import STRIKES_MIN, Result, live, silent_faults, total
from remediation_orchestrator.simulation.world import SHORT

# As many as a quiet machine lives through in ten seconds; `ro-sim run` is for more.
DAYS = 50
STORY = """
import hashlib, sys
from remediation_orchestrator.simulation.world import SHORT, simulate
for seed in (7, 8):
    log = simulate(seed, SHORT).messages
    print(hashlib.sha256(repr([(one.recorded_at, one.subject, one.payload) for one in log]).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def days() -> list[Result]:
    """Short days of three hours, dense with faults; `ro-sim run` lives through whole ones."""
    return [live(seed, SHORT) for seed in range(DAYS)]


def test_no_promise_is_broken_in_fifty_days_and_every_fault_strikes(days: list[Result]) -> None:
    """What is broken is told by its seed, with which it is seen again."""
    assert {day.seed: day.violations for day in days if day.violations} == {}
    assert [fault for fault in Fault if not total(days)[fault]] == []


def test_a_seed_tells_the_same_story_in_every_process_and_another_seed_another() -> None:
    """Neither hashes nor addresses nor the wall clock have a say: a failing seed can be run again alone.

    A seed that changed nothing would make a thousand days one."""
    stories = [
        subprocess.run(
            [sys.executable, "-c", STORY],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.split()
        for hashing in ("1", "2")
    ]
    assert stories[0] == stories[1]
    assert stories[0][0] != stories[0][1]


def test_what_a_day_has_left_is_let_go(days: list[Result]) -> None:
    """Its leaders kept their tables from the collector: a thousand days in one process would take all memory."""
    assert len(days) == DAYS
    assert gc.get_freeze_count() == 0


def test_a_fault_that_never_struck_fails_a_run(days: list[Result]) -> None:
    """It has proved nothing."""
    day = days[3]
    assert day.struck[Fault.BROKER_DOWN] < STRIKES_MIN
    assert silent_faults([day]) == []
    assert Fault.BROKER_DOWN in silent_faults([day] + [Result(0, [], day.struck - day.struck, 0, 0, 0)] * 50)
