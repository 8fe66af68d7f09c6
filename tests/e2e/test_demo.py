"""The demo as its viewer meets it: one process, plain text, nothing left behind."""

import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from processes import PATIENCE, gone, is_alive

from remediation_orchestrator.bus.file import messages
from remediation_orchestrator.cli.demo.story import FACTOR, shortened
from remediation_orchestrator.events import Block, Reason, Recorded, SignalReceived, WorkflowFailed, decode
from remediation_orchestrator.events.identity import remediation_of
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.backtest import backtest
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT

ROOT = Path(__file__).parents[2]
RO = Path(sys.executable).with_name("ro")
ACTS = (
    "Shortened time",
    "Something breaks",
    "An alert comes in",
    "The same alert again",
    "Failures climb the ladder",
    "Why is it blocked?",
    "Meanwhile: two different alerts for one target",
    "The hour ends: one probe",
    "The next hour ends: another probe",
    "It fires once more: the cooldown",
    "Audit: ",
    "What if the threshold were 5?",
)


@pytest.fixture
def short_folder(tmp_path: Path) -> Path:
    """A temporary folder of the demo's own, so that what it leaves can be seen."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Our own, with another temporary folder and without colours."""
    return {**os.environ, "TMPDIR": str(folder), "NO_COLOR": "1"}


def left_in(folder: Path) -> list[str]:
    """What a demo has not removed."""
    return [path.name for path in folder.iterdir()]


def take_lock(folder: Path) -> None:
    """Remove what makes the demo's runs fail."""
    (lock,) = folder.glob("*/deploy.lock")
    lock.unlink()


async def begin(folder: Path) -> Process:
    """Begin a demo, to do something to it."""
    return await asyncio.create_subprocess_exec(RO, "demo", stdout=PIPE, stderr=PIPE, env=environment(folder))


async def until(demo: Process, text: str) -> str:
    """Read what it tells up to a line, and return the line."""
    assert demo.stdout is not None
    async with asyncio.timeout(PATIENCE):
        async for line in demo.stdout:
            if text in line.decode():
                return line.decode()
    raise AssertionError(f"it ended before it said: {text}")


def commands_with(text: str) -> list[int]:
    """The processes that live and whose command line holds a text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if text in command and is_alive(int(entry.name)):
                found.append(int(entry.name))
    return found


def test_the_demo_tells_its_whole_story_and_leaves_nothing(short_folder: Path) -> None:
    """In a pipe, under a minute, with an audit without drift at its end; the log that it keeps holds too."""
    log = short_folder.parent / "demo.jsonl.gz"
    command: list[str | Path] = [RO, "demo", "--keep", log]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(short_folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    places = [done.stdout.find(act) for act in ACTS]
    assert -1 not in places
    assert places == sorted(places)
    assert f"divided by {FACTOR}" in done.stdout
    assert done.stdout.count("Duplicate DuplicateInProgress") == 3
    assert done.stdout.count("Block ExponentialBackoff") == 2
    assert done.stdout.count("Block ConsecutiveFailures") == 2
    for verdict in ("Block ResourceBusy", "Block RecentlyRemediated"):
        assert done.stdout.count(verdict) == 1
    assert "Refuse PreviousExecutionFailed" in done.stdout
    assert "drift: 0" in done.stdout
    assert left_in(short_folder) == []
    assert commands_with(str(short_folder)) == []
    check_what_is_kept(log)


def check_what_is_kept(log: Path) -> None:
    """Its audit finds nothing, and under a threshold of 5 each failure doubles the wait: 1, 2, 4, 8 minutes."""
    found = list(messages(log))
    assert [one for one in audit(found) if one.drift not in HARMLESS] == []
    records = [one for message in found for one in decode(message) if isinstance(one, Recorded)]
    signal = next(one.position for one in records if isinstance(one.event, SignalReceived))
    failed = [
        one.recorded_at
        for one in records
        if isinstance(one.event, WorkflowFailed) and remediation_of(one.event.execution) == f"rr-{signal}"
    ]
    routing = replace(shortened(DEFAULT, FACTOR).routing, consecutive_failure_threshold=5)
    rows = list(backtest(lambda: found, replace(shortened(DEFAULT, FACTOR), routing=routing)))
    ladder = [row.verdict for row in rows if row.position == signal and isinstance(row.verdict, Block)]
    waits = [one.until - at for one, at in zip(ladder, failed, strict=True) if one.until is not None]
    assert {one.reason for one in ladder} == {Reason.EXPONENTIAL_BACKOFF}
    minutes = [wait * FACTOR / timedelta(minutes=1) for wait in waits]
    assert [promised <= wait <= promised * 1.1 for promised, wait in zip((1, 2, 4, 8), minutes, strict=True)] == [
        True
    ] * 4


def test_a_log_that_a_demo_has_kept_stays_what_it_was() -> None:
    """The one that the README reads from."""
    check_what_is_kept(ROOT / "examples" / "demo.jsonl")


async def test_the_demo_can_be_ended_in_the_middle(short_folder: Path) -> None:
    """One line, and nothing left either."""
    demo = await begin(short_folder)
    await until(demo, "Block ConsecutiveFailures")
    demo.terminate()
    _, wrong = await asyncio.wait_for(demo.communicate(), PATIENCE)
    assert (demo.returncode, wrong) == (1, b"ro: ended from outside\n")
    assert left_in(short_folder) == []
    assert commands_with(str(short_folder)) == []


async def test_a_demo_that_is_killed_takes_its_processes_along(short_folder: Path) -> None:
    """The broker, the service that hangs, and whatever ran; only the folder stays."""
    demo = await begin(short_folder)
    told = await until(demo, "a web server of this demo")
    hung = int(told.partition("process ")[2].partition(")")[0])
    processes = {hung, *commands_with(str(short_folder))} - {demo.pid}
    assert len(processes) >= 2
    demo.kill()
    await demo.communicate()
    for process in processes:
        await gone(process)


async def test_a_story_that_is_not_as_promised_fails_in_one_line(short_folder: Path) -> None:
    """Somebody takes the lock away that makes the runs fail: they repair, and nothing blocks."""
    demo = await begin(short_folder)
    await until(demo, "A deploy has left its lock behind")
    take_lock(short_folder)
    _, wrong = await asyncio.wait_for(demo.communicate(), PATIENCE)
    assert demo.returncode == 1
    assert wrong.startswith(b"ro: the demo promised, and did not show: ")
    assert len(wrong.splitlines()) == 1
    assert left_in(short_folder) == []


def test_only_the_waits_are_shortened() -> None:
    """All by one factor; counts and time limits stay."""
    policy = shortened(DEFAULT, FACTOR)
    cooldown, base = DEFAULT.routing.consecutive_failure_cooldown, DEFAULT.routing.backoff_base
    assert cooldown is not None
    assert base is not None
    assert policy.routing.consecutive_failure_cooldown == cooldown / FACTOR
    assert policy.routing.backoff_base == base / FACTOR
    assert policy.routing.consecutive_failure_threshold == DEFAULT.routing.consecutive_failure_threshold
    assert policy.timeouts == DEFAULT.timeouts
