"""Small worlds: every order of events within a bound; the same choices give the same life; a bug is found."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from processes import gone, members_of

from remediation_orchestrator.executor.attempt import Attempt
from remediation_orchestrator.executor.lease import ClaimLease
from remediation_orchestrator.simulation.explore_search import (
    Search,
    SearchBound,
    read_choices,
    retell,
    silently,
    written,
)
from remediation_orchestrator.simulation.explore_worlds import BY_NAME, WORLDS
from remediation_orchestrator.simulation.main import main

# The suite's share; the same search goes on for hours with `ro-sim explore --seconds`.
SECONDS = 15.0


@pytest.fixture(autouse=True)
def _silent() -> None:
    silently()


def test_no_small_world_breaks_a_promise() -> None:
    """Each with every single departure from its schedule at least, and as many of two as there is time for."""
    done = CliRunner().invoke(main, ["explore", "--seconds", str(SECONDS), "--jobs", "1", "--json"])
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.output.splitlines()]
    assert [row["world"] for row in rows] == [world.name for world in WORLDS]
    assert all(row["violations"] == [] and row["states"] > 0 for row in rows)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_the_same_choices_give_the_same_life(world: object) -> None:
    """Else nothing that was found could be seen again."""
    known = BY_NAME[world.name]  # type: ignore[attr-defined]
    once, _ = retell(known, {})
    place, option = next(
        (place, step.options[-1]) for place, step in enumerate(once.life.steps) if len(step.options) > 1
    )
    lives = [retell(known, {place: option}) for _ in range(2)]
    assert lives[0][0].life.steps == lives[1][0].life.steps
    assert lives[0][0].cell.messages == lives[1][0].cell.messages
    assert lives[0][1] == lives[1][1] == []


def test_all_of_a_world_is_seen_where_the_bound_is_small() -> None:
    """And it says so."""
    found = Search(BY_NAME["executors"], SearchBound(switches=0, faults=1)).run(time.monotonic() + 60)
    assert found.exhausted
    assert found.wrong == []
    assert found.counterexample is None


def test_a_bug_is_found_with_the_fewest_departures_and_can_be_seen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a run is told once, and if that is not answered, never."""
    report = Attempt._report

    async def once(self: Attempt, *told: Any, **how: Any) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await report(self, *told, **how)

    monkeypatch.setattr(Attempt, "_report", once)
    found = Search(BY_NAME["executors"], SearchBound()).run(time.monotonic() + 30)
    assert found.counterexample is not None
    assert len(found.counterexample) == 1
    world, choices = read_choices(written("executors", found.counterexample))
    assert retell(BY_NAME[world], choices)[1] == found.wrong


def test_a_claim_that_comes_back_to_life_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An executor wakes behind its lease, confirms, and runs what is another's by now."""
    monkeypatch.setattr(ClaimLease, "lost", property(lambda self: False))
    found = Search(BY_NAME["executors"], SearchBound()).run(time.monotonic() + 30)
    assert found.wrong != []
    assert any(choice.startswith("!pause") for choice in (found.counterexample or {}).values())


def test_junk_behind_a_command_is_not_taken_for_it() -> None:
    """A run that began between the two has its command before it, as audit says too."""
    stage, wrong = retell(BY_NAME["junk"], {})
    subjects = [message.subject for message in stage.cell.messages]
    assert subjects.count("ro.main.command.workflow.wfe-2") == 2
    assert wrong == []


def test_an_interrupt_ends_a_search_with_all_its_processes_and_no_traceback() -> None:
    """However long it was to take; what its end leaves to be collected by others has ended as well."""
    command = [str(Path(sys.executable).with_name("ro-sim")), "explore", "--seconds", "600", "--jobs", "2"]
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, start_new_session=True, env=environment
    ) as search:
        assert search.stdout is not None
        assert "lives" in search.stdout.readline()  # It has begun.
        os.killpg(search.pid, signal.SIGINT)
        _, complaint = search.communicate(timeout=30)
    assert "Traceback" not in complaint
    for process in members_of(search.pid):
        asyncio.run(gone(process))
    assert members_of(search.pid) == []
