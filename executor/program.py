"""Run one program under a supervisor, and say how it ended."""

import asyncio
import json
import os
import secrets
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from remediation_orchestrator.events import FailureReason

from .engine import Failed, RunOutcome, Stop, Succeeded
from .lease import ClaimLease
from .supervisor import end_all, instant

SUPERVISOR = (sys.executable, "-I", "-S", str(Path(__file__).with_name("supervisor.py")))
# A supervisor ends its run by itself: at its limits, after the grace. One that has not by so long after that was
# stopped, and is told to go on; by twice as long it is ended, and what it has left.
OVERDUE_SECONDS = 5.0
LOOK_SECONDS = 1.0
# Kept of a program's output, however much there is: with JSON's escapes it still fits in a fact (256 KiB).
OUTPUT_BYTES_MAX = 64 * 1024
# Kept of it in a failure's message, which people read in one piece.
MESSAGE_CHARACTERS_MAX = 4_000
# The supervisor's report is one line: the output with every byte escaped, and a little more.
REPORT_BYTES_MAX = 8 * OUTPUT_BYTES_MAX


@dataclass(frozen=True)
class Program:
    """What is run: a program and its arguments, its whole environment, and the folder it starts in."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path


@dataclass(frozen=True)
class Job:
    """What is run, and between which instants of the machine's clock."""

    bound: Program
    start_by: float
    deadline: float


class _Report(Struct):
    """What the supervisor says when nothing of the program is left."""

    why: str | None
    began: bool
    status: int | None = None
    output: str = ""
    message: str = ""
    left: tuple[str, ...] = ()


async def run_program(job: Job, lease: ClaimLease, stop: Stop) -> RunOutcome:
    """Run a program to its end, or until it may not go on. Returns when nothing is left that may be killed."""
    mark = secrets.token_hex(8)
    try:
        supervisor = await _start_supervisor()
    except OSError as error:
        return Failed(FailureReason.RESOURCE_EXHAUSTED, f"no process can be started: {error.strerror}", ran=False)
    assert supervisor.stdin is not None
    assert supervisor.stdout is not None
    supervisor.stdin.write(_job_line(job, lease, mark))
    telling = [
        asyncio.create_task(_tell_confirmations(supervisor, lease)),
        asyncio.create_task(_tell_stop(supervisor, stop)),
        asyncio.create_task(_watch(supervisor, job, lease, stop)),
    ]
    try:
        line = await supervisor.stdout.readline()
        await supervisor.stdout.read()  # To its end: neither of the two is there any more.
        await supervisor.wait()
    finally:
        for task in telling:
            task.cancel()
        supervisor.stdin.close()
        with suppress(BrokenPipeError, ConnectionResetError):
            await supervisor.stdin.wait_closed()
    try:
        report = msgspec.json.decode(line, type=_Report)
    except msgspec.DecodeError:  # Nothing, or half of it.
        return await _unsupervised(mark)
    return _outcome(report, stop)


async def _start_supervisor() -> Process:
    return await asyncio.create_subprocess_exec(
        *SUPERVISOR,
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        limit=REPORT_BYTES_MAX,
        start_new_session=True,
    )


def _job_line(job: Job, lease: ClaimLease, mark: str) -> bytes:
    pace = lease.pace
    said = {
        "arguments": job.bound.arguments,
        "environment": {**job.bound.environment, MARK: mark},
        "folder": str(job.bound.folder),
        "start_by": job.start_by,
        "deadline": job.deadline,
        "confirmed": lease.confirmed_at,
        "lease": pace.lease,
        "grace": pace.kill_grace,
        "tail": OUTPUT_BYTES_MAX,
    }
    return json.dumps(said).encode() + b"\n"


async def _tell_confirmations(supervisor: Process, lease: ClaimLease) -> None:
    assert supervisor.stdin is not None
    while True:
        await lease.changed.wait()
        lease.changed.clear()
        supervisor.stdin.write(b"c %r\n" % lease.confirmed_at)


async def _tell_stop(supervisor: Process, stop: Stop) -> None:
    assert supervisor.stdin is not None
    await stop.wished.wait()
    supervisor.stdin.write(b"k\n")


async def _watch(supervisor: Process, job: Job, lease: ClaimLease, stop: Stop) -> None:
    """Look whether the supervisor still does: one that was stopped sees neither its limits nor our end."""
    overdue = 0.0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        is_due = stop.wished.is_set() or lease.lost or instant() > job.deadline
        overdue = overdue + LOOK_SECONDS if is_due else 0.0
        with suppress(ProcessLookupError):
            if overdue > lease.pace.kill_grace + 2 * OVERDUE_SECONDS:
                os.killpg(supervisor.pid, signal.SIGKILL)
            elif overdue > lease.pace.kill_grace + OVERDUE_SECONDS:
                os.killpg(supervisor.pid, signal.SIGCONT)


async def _unsupervised(mark: str) -> RunOutcome:
    """Neither the supervisor nor its guard has told the end: do what they would have done."""
    left = await asyncio.to_thread(end_marked, mark)
    why = "the run's supervisor is gone, and what it left was ended as far as it was found"
    return Failed(FailureReason.EXECUTOR_LOST, why + _may_go_on([str(one) for one in left]), ran=True)


def _may_go_on(left: Sequence[str]) -> str:
    return f"; could not be killed and may go on: {', '.join(left)}" if left else ""


def _outcome(report: _Report, stop: Stop) -> RunOutcome:
    output = _printable(report.output)
    match report.why:
        case "deadline":
            return _killed(FailureReason.DEADLINE_EXCEEDED, "killed at its time limit", report, output)
        case None if report.status == 0:
            return Succeeded(output)
        case None:
            return Failed(
                FailureReason.TASK_FAILED, _ended(report.status, output), True, _exit_code(report.status)
            )
        case "failed":
            return _not_begun(report.message)
        case "late":
            return Failed(FailureReason.DEADLINE_EXCEEDED, "too late to begin", ran=False)
        case "cancelled":
            return _killed(FailureReason.TASK_FAILED, f"cancelled: {stop.reason}", report, output)
        case "unsupervised" | "unguarded":
            return _killed(FailureReason.EXECUTOR_LOST, "its supervisor was killed", report, output)
        case _:
            why = "the claim was not confirmed in time"
            return _killed(FailureReason.EXECUTOR_LOST, why, report, output)


def _killed(reason: FailureReason, why: str, report: _Report, output: str) -> Failed:
    tail = output[-MESSAGE_CHARACTERS_MAX:]
    if report.left:  # Its target is given away no sooner than that of a lost run.
        reason, why = FailureReason.EXECUTOR_LOST, why + _may_go_on(report.left)
    message = f"{why}; it had printed: {tail}" if tail else why
    return Failed(reason, message, ran=report.began, exit_code=_exit_code(report.status))


def _not_begun(message: str) -> Failed:
    forbidden = message == "Permission denied"
    reason = FailureReason.FORBIDDEN if forbidden else FailureReason.CONFIGURATION_ERROR
    return Failed(reason, f"the program cannot be started: {message}", ran=False)


def _exit_code(status: int | None) -> int | None:
    """As a shell counts: 128 and the signal's number where one ended it."""
    return 128 - status if status is not None and status < 0 else status


def _ended(status: int | None, output: str) -> str:
    how = f"signal {-status}" if status is not None and status < 0 else f"exit code {status}"
    tail = output[-MESSAGE_CHARACTERS_MAX:]
    return f"{how}: {tail}" if tail else how


def _printable(text: str) -> str:
    """Replace control characters, each of which JSON would write as six bytes."""
    return "".join(one if one >= " " or one in "\n\t\r" else "\N{REPLACEMENT CHARACTER}" for one in text)


MARK = "RO_RUN"
"""The variable that marks the processes of one run."""


def end_marked(mark: str) -> list[int]:
    """Kill all processes of a run, until none is left. Returns those that may not be killed, or do not go.

    For where its supervisor and its guard are both gone. They are found by a mark in their environment, which
    whatever a script starts inherits unless it clears it."""
    wanted = f"{MARK}={mark}".encode()
    return end_all(lambda: _marked(wanted))


def _marked(wanted: bytes) -> list[int]:
    found = []
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if entry.isdigit():
            with suppress(OSError), open(f"/proc/{entry}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    found.append(int(entry))
    return found
