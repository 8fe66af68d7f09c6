"""Three real servers that are one cluster: the stream's leader is killed with -9 under load, twice."""

import asyncio
import json
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0


async def test_a_killed_leader_loses_nothing_that_was_acknowledged_and_nothing_is_decided_twice() -> None:
    """The script that anyone can run by hand, with its own account of what was acknowledged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.cluster",
        "--kills",
        "2",
        "--json",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            said, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)  # So it ends its servers too.
            await process.wait()
    assert process.returncode == 0, complaint.decode()
    found = json.loads(said)
    assert found["kills"] == 2
    assert found["acknowledged"] > 200
    broken = ("lost", "stored_twice", "undecided", "decided_twice", "findings")
    assert {name: found[name] for name in broken} == dict.fromkeys(broken, 0)
    assert len(found["seconds_without_acknowledgement"]) == 2
