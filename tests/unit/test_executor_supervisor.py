"""The supervisor by itself: what it is told with its job, or just behind it, counts at once."""

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import Any

import pytest

from remediation_orchestrator.executor.program import SUPERVISOR
from remediation_orchestrator.executor.supervisor import instant

LEASE = 15.0


async def told(folder: Path, behind: bytes, *, confirmed: float = 0.0) -> dict[str, Any]:
    """What a supervisor reports that reads its job and these bytes at once, while the pipe stays open."""
    now = instant()
    job = {
        "arguments": ["/bin/sh", "-c", "echo begun > begun"],
        "environment": {"PATH": "/usr/bin:/bin"},
        "folder": str(folder),
        "start_by": now + 20,
        "deadline": now + 20,
        "confirmed": now + confirmed,
        "lease": LEASE,
        "grace": 1.0,
        "tail": 100,
    }
    process = await asyncio.create_subprocess_exec(
        *SUPERVISOR, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(job).encode() + b"\n" + behind)
    async with asyncio.timeout(20):
        report: dict[str, Any] = json.loads(await process.stdout.readline())
        await process.wait()
    process.stdin.close()
    return report


@pytest.mark.parametrize("behind", [b"k\n", b"c 0.0\nk\n", b"k\nc 0.0\nc "])
async def test_a_cancel_that_comes_with_the_job_is_noticed_at_once(tmp_path: Path, behind: bytes) -> None:
    """The program does not begin: it would have been over before anybody looked."""
    assert await told(tmp_path, behind) == {"why": "cancelled", "began": False}
    assert not (tmp_path / "begun").exists()


async def test_a_confirmation_that_comes_with_the_job_counts(tmp_path: Path) -> None:
    """The claim had nearly lapsed when the job was written."""
    report = await told(tmp_path, b"c %r\n" % (instant() + 5), confirmed=-LEASE + 1.0)
    assert (report["why"], report["began"], report["status"]) == (None, True, 0)
