"""Real programs under the supervisor: each ends as it should, and leaves nothing behind."""

import asyncio
import os
import signal
import stat
import time
from pathlib import Path

import pytest
from processes import Word, gone

from remediation_orchestrator.events import FailureReason
from remediation_orchestrator.executor.engine import Failed, RunOutcome, Stop, Succeeded
from remediation_orchestrator.executor.lease import ClaimLease, ConfirmSchedule
from remediation_orchestrator.executor.program import OUTPUT_BYTES_MAX, Job, Program, run_program
from remediation_orchestrator.executor.supervisor import instant

# Long enough for a busy machine, short enough for a test.
PACE = ConfirmSchedule(ack_wait=30)


def shell(folder: Path, text: str, *, limit: float = 20, start_by: float = 20) -> Job:
    """A job that runs a few lines of shell."""
    program = folder / "program.sh"
    program.write_text("#!/bin/sh\n" + text)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    environment = {"PATH": "/usr/bin:/bin", "FOLDER": str(folder)}
    return Job(Program((str(program),), environment, folder), instant() + start_by, instant() + limit)


async def run(job: Job, pace: ConfirmSchedule = PACE) -> RunOutcome:
    """Run it with a claim that was just confirmed."""
    async with asyncio.timeout(20):
        return await run_program(job, ClaimLease(pace, instant, instant()), Stop())


async def test_exit_code_zero_is_success_with_its_output(tmp_path: Path) -> None:
    """Both streams are kept, in the order in which they came; standard input is closed."""
    assert await run(shell(tmp_path, "echo out; echo err >&2; cat; exit 0")) == Succeeded("out\nerr\n")


async def test_another_exit_code_is_a_failure_that_ran(tmp_path: Path) -> None:
    """With the code, and what it said."""
    assert await run(shell(tmp_path, "echo no; exit 3")) == Failed(
        FailureReason.TASK_FAILED, "exit code 3: no\n", ran=True, exit_code=3
    )


async def test_killed_by_somebody_else_is_not_called_out_of_memory(tmp_path: Path) -> None:
    """137 alone does not say who did it."""
    outcome = await run(shell(tmp_path, "kill -9 $$"))
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.exit_code) == (FailureReason.TASK_FAILED, 137)


async def test_the_environment_is_only_what_was_bound(tmp_path: Path) -> None:
    """Nothing of the executor's own reaches a script, but the mark of its run."""
    outcome = await run(
        shell(tmp_path, "env | cut -d= -f1 | grep -v -e ^PWD -e ^_ -e SHLVL | sort | tr '\\n' ' '")
    )
    assert outcome == Succeeded("FOLDER PATH RO_RUN ")


async def test_of_much_output_the_end_is_kept(tmp_path: Path) -> None:
    """However much there is, within a bound."""
    outcome = await run(shell(tmp_path, "head -c 200000000 /dev/zero | tr '\\0' x; echo end"))
    assert isinstance(outcome, Succeeded)
    assert len(outcome.output) == OUTPUT_BYTES_MAX
    assert outcome.output.endswith("xend\n")


async def test_control_characters_cannot_make_a_fact_too_large(tmp_path: Path) -> None:
    """Six bytes each in JSON, they would not fit in a fact, and the end would be lost."""
    outcome = await run(shell(tmp_path, "head -c 100000 /dev/zero"))
    assert isinstance(outcome, Succeeded)
    assert len(outcome.output.encode()) <= 3 * OUTPUT_BYTES_MAX


async def test_a_time_limit_kills_the_whole_group_even_if_it_ignores_being_asked(tmp_path: Path) -> None:
    """SIGTERM, a grace, SIGKILL."""
    pid = Word(tmp_path / "pid")
    job = shell(tmp_path, "trap '' TERM; sleep 60 & echo $! > $FOLDER/pid; wait; sleep 60", limit=0.5)
    outcome = await run(job, ConfirmSchedule(ack_wait=3))
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.ran) == (FailureReason.DEADLINE_EXCEEDED, True)
    await gone(int(await pid.said()))


async def test_a_script_that_is_asked_may_clean_up(tmp_path: Path) -> None:
    """SIGTERM comes first."""
    clean = Word(tmp_path / "clean")
    await run(shell(tmp_path, "trap 'echo clean > $FOLDER/clean; exit 1' TERM; sleep 60 & wait", limit=0.5))
    assert await clean.said() == "clean"


async def test_a_wish_to_stop_ends_it(tmp_path: Path) -> None:
    """Cancelled, with the reason, and it counts as having run."""
    pid = Word(tmp_path / "pid")
    stop = Stop()
    running = asyncio.create_task(
        run_program(shell(tmp_path, "echo $$ > $FOLDER/pid; sleep 60"), ClaimLease(PACE, instant, instant()), stop)
    )
    process = int(await pid.said())
    stop.wish("resolved")
    outcome = await asyncio.wait_for(running, 10)
    assert isinstance(outcome, Failed)
    assert (outcome.message, outcome.ran) == ("cancelled: resolved", True)
    await gone(process)


async def test_who_left_the_group_is_killed_too(tmp_path: Path) -> None:
    """A daemon made with setsid, its parent gone, is still found."""
    pid = Word(tmp_path / "pid")
    text = "setsid sh -c 'sleep 60 & echo $! > $FOLDER/pid' & sleep 60"
    started = time.monotonic()
    await run(shell(tmp_path, text, limit=1))
    assert time.monotonic() - started < 10
    await gone(int(await pid.said()))


async def test_what_a_script_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    """Also after a success, also detached: nothing works on the target after the end was told."""
    pid = Word(tmp_path / "pid")
    job = shell(tmp_path, "setsid sleep 60 & echo $! > $FOLDER/pid; sleep 0.2; exit 0")
    assert isinstance(await run(job), Succeeded)
    await gone(int(await pid.said()))


async def test_an_unconfirmed_claim_kills_it(tmp_path: Path) -> None:
    """Somebody else may be told to report it, so nothing may be left by then."""
    outcome = await run(shell(tmp_path, "sleep 60"), ConfirmSchedule(ack_wait=1.5))
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.ran) == (FailureReason.EXECUTOR_LOST, True)


async def test_a_confirmed_claim_goes_on(tmp_path: Path) -> None:
    """Longer than the lease, because it is confirmed meanwhile."""
    lease = ClaimLease(ConfirmSchedule(ack_wait=2), instant, instant())
    running = asyncio.create_task(run_program(shell(tmp_path, "sleep 2; echo done"), lease, Stop()))
    while not running.done():
        lease.confirm(instant())
        await asyncio.wait({running}, timeout=0.2)
    assert await running == Succeeded("done\n")


async def test_a_lapsed_lease_never_comes_back(tmp_path: Path) -> None:
    """A late confirmation is no proof: the command may be somebody else's."""
    now = 100.0
    lease = ClaimLease(ConfirmSchedule(ack_wait=30), lambda: now, now)
    now += 15.1
    lease.confirm(now)
    assert lease.lost


async def test_a_late_confirmation_does_not_bring_a_script_back(tmp_path: Path) -> None:
    """Nor does one that comes while it is being ended: its command is another's by now."""
    lease = ClaimLease(ConfirmSchedule(ack_wait=1.5), instant, instant())
    running = asyncio.create_task(run_program(shell(tmp_path, "trap '' TERM; sleep 60; sleep 60"), lease, Stop()))
    while not running.done():
        if lease.lost:
            lease.confirmed_at = instant()
            lease.changed.set()
        await asyncio.wait({running}, timeout=0.02)
    outcome = await running
    assert isinstance(outcome, Failed)
    assert outcome.reason == FailureReason.EXECUTOR_LOST


async def test_nothing_begins_too_late(tmp_path: Path) -> None:
    """The last look at the clock is just before the program."""
    outcome = await run(shell(tmp_path, "echo ran > $FOLDER/ran", start_by=-1))
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.ran) == (FailureReason.DEADLINE_EXCEEDED, False)
    assert not (tmp_path / "ran").exists()


async def test_nothing_begins_under_a_claim_that_lapsed(tmp_path: Path) -> None:
    """An executor frozen between its claim and the start may not begin when it wakes."""
    lease = ClaimLease(PACE, lambda: instant() - 100, instant() - 100)
    outcome = await run_program(shell(tmp_path, "echo ran > $FOLDER/ran"), lease, Stop())
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.ran) == (FailureReason.EXECUTOR_LOST, False)
    assert not (tmp_path / "ran").exists()


async def test_a_program_that_cannot_be_started_has_not_run(tmp_path: Path) -> None:
    """No such interpreter: nothing happened to the target."""
    job = shell(tmp_path, "")
    (tmp_path / "program.sh").write_text("#!/no/such/interpreter\n")
    outcome = await run(job)
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.ran) == (FailureReason.CONFIGURATION_ERROR, False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_supervisor_that_dies_takes_its_script_along(tmp_path: Path, number: int) -> None:
    """SIGTERM it ignores; after SIGKILL the script is dead and the run counts as having run."""
    pid = Word(tmp_path / "pid")
    running = asyncio.create_task(run(shell(tmp_path, "echo $PPID $$ > $FOLDER/pid; sleep 1; echo done")))
    supervisor, process = (int(one) for one in (await pid.said()).split())
    os.kill(supervisor, number)
    outcome = await running
    if number == signal.SIGTERM:
        assert outcome == Succeeded("done\n")
    else:
        assert outcome == Failed(FailureReason.EXECUTOR_LOST, "its supervisor was killed", ran=True)
    await gone(process)
