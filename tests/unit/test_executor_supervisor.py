"""The supervisor by itself: what it is told counts at once, and what it runs goes on for no longer than it may."""

import asyncio
import json
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any

import pytest
from processes import Word, gone

from remediation_orchestrator.executor.program import SUPERVISOR
from remediation_orchestrator.executor.supervisor import SupervisedJob, SupervisedRun, instant

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


def child_of(process: int) -> int:
    """The one child of a process: the supervisor under its guard."""
    return int(Path(f"/proc/{process}/task/{process}/children").read_text())


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
def test_nothing_begins_once_its_lease_has_lapsed_however_long_it_took_to_begin() -> None:
    """Whoever becomes the program looks last, right before; a machine may have slept since the supervisor did."""
    job = SupervisedJob(
        [], {}, "", start_by=300.0, deadline=600.0, confirmed=10.0, lease=15.0, grace=5.0, tail=100
    )
    run = SupervisedRun(job, 0)
    assert run.start_by() == 25.0
    run.confirmed = 290.0
    assert run.start_by() == 300.0


async def test_a_program_that_stood_still_beyond_its_grace_is_not_asked_to_end_but_killed(tmp_path: Path) -> None:
    """As on a machine that was asleep: others may be at its target when it wakes up."""
    text = f"trap 'echo asked > {tmp_path}/asked' TERM; echo $$ > pid; while :; do sleep 0.01; done"
    process = await given(tmp_path, text, confirmed=-LEASE + 1.0, grace=0.2)
    pid = tmp_path / "pid"
    async with asyncio.timeout(20):
        while not pid.exists() or not pid.read_text():  # noqa: ASYNC110 - a shell tells nobody
            await asyncio.sleep(0.01)
        everybody = [process.pid, child_of(process.pid), int(pid.read_text())]
        lapsed = instant() + 1.0 + 0.2
        for one in everybody:
            os.kill(one, signal.SIGSTOP)
        while instant() < lapsed:  # noqa: ASYNC110 - a clock tells nobody
            await asyncio.sleep(0.01)
    for one in reversed(everybody):
        os.kill(one, signal.SIGCONT)
    report = await reported(process)
    assert (report["why"], report["began"], report["left"]) == ("unconfirmed", True, [])
    assert not (tmp_path / "asked").exists()


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
