"""The supervisor by itself: what it is told counts at once, and what it runs goes on for no longer than it may."""

import asyncio
import json
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any

import pytest
from processes import Word, gone

from remediation_orchestrator.executor.program import SUPERVISOR
from remediation_orchestrator.executor.supervisor import instant

LEASE = 15.0
# Longer than anybody waits for the end of it: each test ends it sooner, by what it is about.
ON_AND_ON = "sleep 60"
# Another user's, which a supervisor without this right may not kill; but it ends by itself, and soon.
OTHERS = "setsid setpriv --reuid=65534 --regid=65534 --clear-groups sh -c 'echo $$ >&9; exec sleep 0.3' &"
WITHOUT_KILL = ("setpriv", "--inh-caps=-kill", "--bounding-set=-kill")
# A machine that was stopped for so long between the wish to end and the kill sees all its time over.
STOPPED = -3_600.0


async def given(
    folder: Path,
    text: str,
    behind: bytes = b"",
    *,
    confirmed: float = 0.0,
    grace: float = 1.0,
    rights: tuple[str, ...] = (),
) -> Process:
    """A supervisor that is given a few lines of shell to run, and these bytes behind its job."""
    now = instant()
    job = {
        "arguments": ["/bin/sh", "-c", text],
        "environment": {"PATH": "/usr/bin:/bin"},
        "folder": str(folder),
        "start_by": now + 20,
        "deadline": now + 20,
        "confirmed": now + confirmed,
        "lease": LEASE,
        "grace": grace,
        "tail": 100,
    }
    process = await asyncio.create_subprocess_exec(
        *rights, *SUPERVISOR, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(job).encode() + b"\n" + behind)
    return process


async def reported(process: Process) -> dict[str, Any]:
    """What a supervisor reports."""
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(20):
        report: dict[str, Any] = json.loads(await process.stdout.readline())
        await process.wait()
    process.stdin.close()
    return report


@pytest.mark.parametrize("behind", [b"k\n", b"c 0.0\nk\n", b"k\nc 0.0\nc "])
async def test_a_cancel_that_comes_with_the_job_is_noticed_at_once(tmp_path: Path, behind: bytes) -> None:
    """The program does not begin: it would have been over before anybody looked."""
    report = await reported(await given(tmp_path, "echo begun > begun", behind))
    assert report == {"why": "cancelled", "began": False}
    assert not (tmp_path / "begun").exists()


async def test_a_confirmation_that_comes_with_the_job_counts(tmp_path: Path) -> None:
    """The claim had nearly lapsed when the job was written."""
    confirmed = b"c %r\n" % (instant() + 5)
    report = await reported(await given(tmp_path, "true", confirmed, confirmed=-LEASE + 1.0))
    assert (report["why"], report["began"], report["status"]) == (None, True, 0)


async def test_a_program_whose_executor_is_gone_is_ended(tmp_path: Path) -> None:
    """At once, and not when its claim lapses: another executor knows only that."""
    begun = Word(tmp_path / "begun")
    process = await given(tmp_path, f"echo begun > begun; {ON_AND_ON}")
    await begun.said()
    assert process.stdin is not None
    process.stdin.close()
    assert (await reported(process))["why"] == "orphaned"


async def test_a_program_whose_claim_has_lapsed_is_ended(tmp_path: Path) -> None:
    """Its executor is there and says nothing: the broker may have given the command to another."""
    report = await reported(await given(tmp_path, ON_AND_ON, confirmed=-LEASE + 1.0))
    assert (report["why"], report["began"]) == ("unconfirmed", True)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="another user's process is made by root, with setpriv",
)
async def test_what_is_killed_late_has_its_time_to_go_all_the_same(tmp_path: Path) -> None:
    """That counts from the kill, however long ago it was to be; what is gone by then is not named."""
    left = Word(tmp_path / "left")
    text = f"exec 9> left; {OTHERS} {ON_AND_ON}"
    process = await given(tmp_path, text, grace=STOPPED, rights=WITHOUT_KILL)
    await left.said()
    assert process.stdin is not None
    process.stdin.write(b"k\n")
    report = await reported(process)
    assert (report["why"], report["left"]) == ("cancelled", [])


@pytest.mark.parametrize("name", ["sync", "sync (eu) 1", ") 1 ("], ids=["plain", "parentheses", "turned"])
async def test_what_a_program_leaves_behind_ends_with_it_whatever_its_name(tmp_path: Path, name: str) -> None:
    """In a session of its own, and without the mark of its run."""
    left = Word(tmp_path / "left")
    shutil.copy("/bin/sh", tmp_path / name)
    leaving = f"exec 8<> go 9> left; setsid env -i './{name}' -c 'echo $$ >&9; sleep 60; true' & read -r _ <&8"
    go = tmp_path / "go"
    os.mkfifo(go)
    process = await given(tmp_path, leaving)
    pid = int(await left.said())
    go.write_text("on\n")
    assert (await reported(process))["why"] is None
    await gone(pid)
