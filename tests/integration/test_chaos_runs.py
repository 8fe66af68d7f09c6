"""Chaos finds the processes of runs: those that may not be there any more, and those above a script."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from remediation_orchestrator.events import FailureReason
from remediation_orchestrator.executor.engine import Failed, RunOutcome, Stop
from remediation_orchestrator.executor.lease import ClaimLease, ConfirmSchedule
from remediation_orchestrator.executor.program import Job, Program, run_program
from remediation_orchestrator.executor.supervisor import instant
from remediation_orchestrator.simulation.chaos import runs
from remediation_orchestrator.simulation.chaos.catalog import write_catalog
from remediation_orchestrator.simulation.chaos.faults import Planned, Strike
from remediation_orchestrator.simulation.chaos.runs import Runs

URL = "nats://of-this-test"
PATIENCE = 30


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Runs of this process, which stands for an executor."""
    monkeypatch.setenv("NATS_URL", URL)
    write_catalog(tmp_path / "workflows", tmp_path / "diary")
    return Runs(tmp_path / "diary", URL, lambda: [os.getpid()])


def are_both_there(found: Runs) -> bool:
    """Whether the script runs, and what it has started has left it for good."""
    there = found.all()
    above = {one.pid for one in there if not one.execution}
    return [one.parent in above for one in there if one.execution] == [True, True]


async def begin(found: Runs, folder: Path, stop: Stop) -> asyncio.Task[RunOutcome]:
    """Have a script of chaos run that lasts too long, and has started something that would last longer."""
    words = (sys.executable, "-I", "-S", "work.py", str(folder / "diary"), "60000", "false", "false", "true")
    around = {"PATH": os.environ["PATH"], "RO_EXECUTION": "wfe-1", "RO_TARGET_NAME": "t"}
    job = Job(Program(words, around, folder / "workflows"), instant() + PATIENCE, instant() + PATIENCE)
    running = asyncio.create_task(
        run_program(job, ClaimLease(ConfirmSchedule(2 * PATIENCE), instant, instant()), stop)
    )
    async with asyncio.timeout(PATIENCE):
        while not are_both_there(found):  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.01)
    return running


async def test_a_run_that_goes_on_after_its_end_is_found(found: Runs, tmp_path: Path) -> None:
    """The script and what it has started, each once; not before it has ended."""
    stop = Stop()
    running = await begin(found, tmp_path, stop)
    assert found.look({"wfe-2"}) == []
    assert len(found.look({"wfe-1"})) == 2
    assert found.look({"wfe-1"}) == []
    stop.wish("the test is over")
    await running


async def test_nothing_of_a_run_is_left_when_it_has_ended(
    found: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it runs, all of it is found: supervisor and guard too."""
    stop = Stop()
    running = await begin(found, tmp_path, stop)
    monkeypatch.setattr(runs, "LEAVE_SECONDS", 0.0)
    assert sum("a supervisor" in one for one in await found.left()) == 2
    monkeypatch.undo()
    stop.wish("the test is over")
    await running
    assert await found.left() == []


@pytest.mark.parametrize("strike", [Strike.SUPERVISOR_KILLED, Strike.GUARD_KILLED, Strike.BOTH_KILLED])
async def test_a_strike_above_a_script_hits_what_it_says(found: Runs, tmp_path: Path, strike: Strike) -> None:
    """The run is lost, and nothing of it is left."""
    running = await begin(found, tmp_path, Stop())
    assert await found.strike(Planned(0.0, strike, 0, 0.0))
    outcome = await running
    assert isinstance(outcome, Failed)
    assert outcome.reason is FailureReason.EXECUTOR_LOST
    assert await found.left() == []


async def test_what_is_left_of_a_run_above_which_everybody_was_killed_is_ended_by_chaos(
    found: Runs, tmp_path: Path
) -> None:
    """Also where the executor had gone before the two were struck: nobody is promised to end it then."""
    running = await begin(found, tmp_path, Stop())
    alone = Runs(tmp_path / "diary", URL, list)
    assert await alone.strike(Planned(0, Strike.BOTH_KILLED, 0, 0))
    until = time.monotonic() + PATIENCE
    while alone.all() and time.monotonic() < until:  # Without a turn for the executor that is there after all.
        assert alone.look(set()) == []
    assert alone.all() == []
    await running


async def test_a_run_that_goes_on_without_its_executor_is_found(
    tmp_path: Path, found: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has some time to end; then it is told, once."""
    stop = Stop()
    running = await begin(found, tmp_path, stop)
    alone = Runs(tmp_path / "diary", URL, list)
    assert alone.look(set()) == []
    with alone.asleep():  # Nothing can end while its machine sleeps.
        assert alone.look({"wfe-1"}) == []
    assert alone.look(set()) == []
    monkeypatch.setattr(runs, "ORPHAN_SECONDS", 0.0)
    assert ["after its executor" in one for one in alone.look(set())] == [True, True]
    assert found.look(set()) == alone.look(set()) == []
    stop.wish("the test is over")
    await running
