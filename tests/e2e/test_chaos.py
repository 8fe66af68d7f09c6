"""A short chaos: every process of a cell is killed, some sleep too long, and every promise is kept."""

import asyncio
import json
import sys
from pathlib import Path

RO = Path(sys.executable).with_name("ro")
PATIENCE = 180.0


async def test_a_cell_whose_every_process_is_killed_keeps_its_promises() -> None:
    """Two rounds; by hand it is a hundred."""
    process = await asyncio.create_subprocess_exec(
        *(RO, "chaos", "--rounds", "2", "--seed", "1", "--seconds", "2", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        said, complaints = await process.communicate()
    *rounds, total = [json.loads(line) for line in said.splitlines()]
    assert [one["wrong"] for one in rounds] == [[], []]
    assert (process.returncode, complaints) == (0, b"")
    assert total["rounds"] == 2
    tally = dict(total["tally"])
    accepted, decided, run = (tally.pop(name) for name in ("accepted", "decided", "run"))
    assert accepted == decided > 0
    assert run > 0
    assert set(tally.values()) == {0}
    assert total["struck"]["broker killed"] >= 1
    assert sum(total["struck"].values()) >= 6  # What is down already cannot be struck.
