"""A short chaos: every process of a cell is killed, its log is spoilt and archived, and every promise is kept."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

RO = Path(sys.executable).with_name("ro")
PATIENCE = 180.0


async def chaos(*options: str) -> tuple[int | None, list[dict[str, Any]], bytes]:
    """Run it, and return its exit code, what it said a line, and what it complained of."""
    process = await asyncio.create_subprocess_exec(
        *(str(RO), "chaos", "--json", *options), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE):
        said, complaints = await process.communicate()
    return process.returncode, [json.loads(line) for line in said.splitlines()], complaints


async def test_a_cell_whose_every_process_is_killed_keeps_its_promises() -> None:
    """One round, in which it sleeps and anybody throws anything; by hand it is two hundred."""
    faults = [word for family in ("kills", "clock", "bursts", "runs", "broker") for word in ("--faults", family)]
    code, (only, total), complaints = await chaos("--rounds", "1", "--seed", "8", "--seconds", "2", *faults)
    assert (code, only["wrong"], complaints) == (0, [], b"")
    assert (total["rounds"], total["broken"]) == (1, [])
    tally = dict(total["tally"])
    accepted, decided, run = (tally.pop(name) for name in ("accepted", "decided", "run"))
    assert accepted == decided > 0
    assert run > 0
    assert set(tally.values()) == {0}
    assert total["struck"]["broker killed"] == 1
    assert sum(total["struck"].values()) >= 6  # What is down already cannot be struck.


async def test_a_log_that_is_not_whole_for_a_while_is_not_led_and_an_archive_changes_nothing() -> None:
    """A record is deleted from a copy that stands in the place of the log, while another archives it."""
    faults = ("--faults", "stores", "--faults", "archives")
    code, (only, total), complaints = await chaos("--rounds", "1", "--seed", "130", "--seconds", "1", *faults)
    assert (code, only["wrong"], complaints) == (0, [], b"")
    assert total["broken"] == []
    assert total["tally"]["accepted"] == total["tally"]["decided"] > 0
    assert {fault: times for fault, times in total["struck"].items() if times} == {
        "archive": 1,
        "record deleted from the log": 1,
    }
