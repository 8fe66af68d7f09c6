"""What a script begins ends with its run, whoever is killed or stopped; what may not be killed is named."""

import asyncio
import itertools
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from processes import Word, gone, is_alive

from remediation_orchestrator.events import FailureReason
from remediation_orchestrator.executor import program, supervisor
from remediation_orchestrator.executor.engine import Failed, RunOutcome, Stop, Succeeded
from remediation_orchestrator.executor.lease import ClaimLease, ConfirmSchedule
from remediation_orchestrator.executor.program import MARK, Job, Program, end_marked, run_program
from remediation_orchestrator.executor.supervisor import instant

NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups"
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="another user's process is made by root, with setpriv",
)
# How a script can leave a process behind, which says its id; each is hidden better than the one before.
LEAVING = {
    "a child": "sh -c '{say}; sleep 60' &",
    "another session": "setsid sh -c '{say}; sleep 60' &",
    "forked twice": "(setsid sh -c '(sh -c \"{say}; sleep 60\" &) &' &) &",
}
OTHERS = {"another user": f"setsid {NOBODY} sh -c '{{say}}; sleep 60' &"}


def job(folder: Path, text: str, *, limit: float = 20) -> Job:
    """A job that runs a few lines of shell."""
    program = folder / "program.sh"
    program.write_text("#!/bin/sh\n" + text)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return Job(
        Program((str(program),), {"PATH": os.environ["PATH"]}, folder), instant() + limit, instant() + limit
    )


class Impatient(ConfirmSchedule):
    """Scripts that are asked to end have little time, so that a test is short."""

    @property
    def kill_grace(self) -> float:
        """Long enough to end when asked."""
        return 0.2


def start(job: Job, stop: Stop | None = None) -> asyncio.Task[RunOutcome]:
    """Run it with a claim that was just confirmed."""
    return asyncio.create_task(run_program(job, ClaimLease(Impatient(30), instant, instant()), stop or Stop()))


def parent_of(process: int) -> int:
    """Whose child a process is."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


async def left_by(folder: Path, leaving: str) -> tuple[asyncio.Task[RunOutcome], int, int, int]:
    """Run a script that leaves a process behind and waits: the run, guard, supervisor, and what was left."""
    said, pid = Word(folder / "pid"), Word(folder / "left")
    text = leaving.format(say="echo $$ >&9")  # Opened already: another user may not look into our folders.
    running = start(job(folder, f"exec 9> {folder}/left\n{text}\necho $PPID > {folder}/pid; sleep 60"))
    supervisor = int(await said.said())
    return running, parent_of(supervisor), supervisor, int(await pid.said())


async def lost(running: asyncio.Task[RunOutcome]) -> Failed:
    """Wait for the outcome: nobody knows what the run did."""
    async with asyncio.timeout(20):
        outcome = await running
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.ran) == (FailureReason.EXECUTOR_LOST, True)
    return outcome


@pytest.mark.parametrize(
    "leaving",
    [*LEAVING.values(), pytest.param(OTHERS["another user"], marks=needs_root)],
    ids=[*LEAVING, *OTHERS],
)
async def test_what_a_killed_supervisor_has_left_is_ended_and_reported(tmp_path: Path, leaving: str) -> None:
    """By its guard, which is above it, however well it is hidden."""
    running, _, supervisor, left = await left_by(tmp_path, leaving)
    os.kill(supervisor, signal.SIGKILL)
    await lost(running)
    await gone(left)


@pytest.mark.parametrize("leaving", LEAVING.values(), ids=LEAVING.keys())
async def test_what_is_left_where_supervisor_and_guard_are_killed_is_ended_by_the_executor(
    tmp_path: Path, leaving: str
) -> None:
    """Found by the mark of its run."""
    running, guard, supervisor, left = await left_by(tmp_path, leaving)
    os.kill(guard, signal.SIGSTOP)  # So that it cannot be the one.
    os.kill(supervisor, signal.SIGKILL)
    os.kill(guard, signal.SIGKILL)
    await lost(running)
    await gone(left)


def test_what_is_marked_is_killed_however_late_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks may be stopped at any moment, or get no turn: the time counts from the first kill."""
    hours = itertools.count(0.0, 3_600.0)
    monkeypatch.setattr(supervisor, "instant", lambda: next(hours))
    mark = f"of-{os.getpid()}"  # Else other runs of this test would kill it, too.
    with subprocess.Popen(["sleep", "60"], env={MARK: mark}) as left:
        try:
            assert end_marked(mark) in ([], [left.pid])
            assert left.wait(20) == -signal.SIGKILL
        finally:
            left.kill()


async def test_a_run_whose_guard_is_killed_is_ended_and_reported(tmp_path: Path) -> None:
    """A supervisor without one goes on no more than a script without a supervisor."""
    running, guard, _, left = await left_by(tmp_path, LEAVING["another session"])
    os.kill(guard, signal.SIGKILL)
    await lost(running)
    await gone(left)


async def test_a_supervisor_that_is_stopped_is_told_to_go_on(tmp_path: Path) -> None:
    """Its guard sees it at once, so the time limit holds."""
    pid = Word(tmp_path / "pid")
    running = start(job(tmp_path, f"echo $PPID > {tmp_path}/pid; sleep 60", limit=1.5))
    os.kill(int(await pid.said()), signal.SIGSTOP)
    begun = time.monotonic()
    outcome = await asyncio.wait_for(running, 10)
    assert isinstance(outcome, Failed)
    assert (outcome.reason, time.monotonic() - begun < 5) == (FailureReason.DEADLINE_EXCEEDED, True)


async def stopped_family(folder: Path, stop: Stop) -> asyncio.Task[RunOutcome]:
    """A run whose supervisor and guard stand still when it is to end: neither sees it."""
    pid = Word(folder / "pid")
    running = start(job(folder, f"echo $PPID > {folder}/pid; sleep 60"), stop)
    os.killpg(parent_of(int(await pid.said())), signal.SIGSTOP)
    stop.wish("resolved")
    return running


async def test_a_supervisor_and_a_guard_that_are_stopped_are_told_to_go_on_by_the_executor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it should have ended and nobody has acted; then they do."""
    monkeypatch.setattr(program, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(program, "OVERDUE_SECONDS", 2.0)
    outcome = await asyncio.wait_for(await stopped_family(tmp_path, Stop()), 20)
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.message) == (FailureReason.TASK_FAILED, "cancelled: resolved")


async def test_a_supervisor_and_a_guard_that_go_on_standing_still_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later, and with them what they have left; nobody knows how far it had come."""
    monkeypatch.setattr(program, "OVERDUE_SECONDS", 0.0)
    await lost(await stopped_family(tmp_path, Stop()))


@pytest.fixture
def may_not_kill(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A supervisor that may not kill another user's processes, as for anybody but root. Those are ended here."""
    without = ("setpriv", "--inh-caps=-kill", "--bounding-set=-kill")
    monkeypatch.setattr(program, "SUPERVISOR", (*without, *program.SUPERVISOR))
    left: list[int] = []
    yield left
    for process in left:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def leaving_another_users(folder: Path, seconds: float) -> str:
    """A script's lines that leave another user's daemon behind, which tells its id once it is that user's."""
    return f"exec 9> {folder}/pid\nsetsid {NOBODY} sh -c 'echo $$ >&9; exec sleep {seconds}' &\n"


@needs_root
async def test_what_may_not_be_killed_is_named_at_the_deadline(tmp_path: Path, may_not_kill: list[int]) -> None:
    """The script itself succeeded; its target may still be worked on, and the report is not withheld."""
    pid = Word(tmp_path / "pid")
    running = start(job(tmp_path, f"{leaving_another_users(tmp_path, 60)} sleep 0.2", limit=1.5))
    may_not_kill.append(int(await pid.said()))
    outcome = await lost(running)
    assert is_alive(may_not_kill[0])
    assert outcome.message.startswith("killed at its time limit; could not be killed and may go on: ")
    assert f"{may_not_kill[0]} (sleep, of user 65534)" in outcome.message


@needs_root
async def test_a_cancelled_run_of_which_something_may_not_be_killed_is_reported(
    tmp_path: Path, may_not_kill: list[int]
) -> None:
    """After the grace, with its name."""
    pid, stop = Word(tmp_path / "pid"), Stop()
    running = start(job(tmp_path, f"{leaving_another_users(tmp_path, 60)} sleep 60"), stop)
    may_not_kill.append(int(await pid.said()))
    stop.wish("resolved")
    outcome = await lost(running)
    assert outcome.message.startswith(
        f"cancelled: resolved; could not be killed and may go on: {may_not_kill[0]} "
    )


@needs_root
async def test_a_program_that_may_not_be_killed_itself_is_reported(
    tmp_path: Path, may_not_kill: list[int]
) -> None:
    """It has become another user's."""
    pid, stop = Word(tmp_path / "pid"), Stop()
    become = f"exec 9> {tmp_path}/pid; exec {NOBODY} sh -c 'echo $$ >&9; exec sleep 60'"
    running = start(job(tmp_path, become), stop)
    may_not_kill.append(int(await pid.said()))
    stop.wish("resolved")
    outcome = await lost(running)
    assert str(may_not_kill[0]) in outcome.message


@needs_root
async def test_what_may_not_be_killed_but_ends_is_waited_for(tmp_path: Path, may_not_kill: list[int]) -> None:
    """Then the run has ended as its program did."""
    pid = Word(tmp_path / "pid")
    running = start(job(tmp_path, f"{leaving_another_users(tmp_path, 1)} sleep 0.2; echo done"))
    left = int(await pid.said())
    outcome = await asyncio.wait_for(running, 10)
    assert (outcome, is_alive(left)) == (Succeeded("done\n"), False)
