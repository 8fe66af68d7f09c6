"""A run is bound once: to the file that it was claimed with, and to the clock of its sender."""

import asyncio
from datetime import datetime, timedelta

import pytest
from bench import IDEMPOTENT, Bench, command, tell
from faulty import NOW, Delivered

from remediation_orchestrator.bus.port import UnknownOutcomeError
from remediation_orchestrator.events import (
    DecisionFrame,
    ExecutionId,
    FailureReason,
    StoredMessage,
    WorkflowFailed,
    WorkflowStarted,
    encode,
)
from remediation_orchestrator.events.codec import Attributes, join_frame
from remediation_orchestrator.events.stored import EXPECTED
from remediation_orchestrator.executor.engine import Failed
from remediation_orchestrator.executor.program import Program


async def test_a_failure_says_what_the_catalog_says_of_its_workflow(bench: Bench) -> None:
    """The orchestrator reads no catalog."""
    bench.outcome = Failed(FailureReason.TASK_FAILED, "no", ran=True, exit_code=3)
    await bench.handle(Delivered(command()))
    assert bench.log.facts()[1] == WorkflowFailed(ExecutionId("wfe-1"), "TaskFailed", "no", True, True, 3)


async def test_a_file_that_is_edited_while_it_runs_changes_nothing_about_the_run(bench: Bench) -> None:
    """What was claimed as not safe to run again is reported so, whatever the file says by then."""
    bench.write("w", IDEMPOTENT.replace("true", "false"))
    claimed = bench.catalog.workflows["w"].digest

    async def edit() -> None:
        bench.write("w", IDEMPOTENT)

    bench.during = edit
    bench.outcome = Failed(FailureReason.TASK_FAILED, "no", ran=True)
    await bench.handle(Delivered(command()))
    started, ended = bench.log.facts()
    assert isinstance(started, WorkflowStarted)
    assert isinstance(ended, WorkflowFailed)
    assert (started.digest, ended.idempotent) == (claimed, False)


async def test_a_file_that_is_edited_between_claim_and_start_changes_nothing_about_the_run(bench: Bench) -> None:
    """The claim's answer was lost, and is asked for again: what runs is the file whose digest it names."""
    bench.write("w", IDEMPOTENT + "timeout: 7s\n")
    bench.log.faults = [(UnknownOutcomeError("no answer"), False)]
    running = asyncio.create_task(bench.handle(Delivered(command())))
    await asyncio.sleep(0)
    bench.write("w", IDEMPOTENT.replace("sh,", "env,"))
    await running
    (run,) = bench.ran
    assert isinstance(run.plan, Program)
    assert (run.plan.arguments[0].rpartition("/")[2], run.deadline) == ("sh", bench.clock + 7)


async def test_a_file_that_is_gone_when_its_run_ends_changes_nothing_about_it(bench: Bench) -> None:
    """Not even whether it may run again."""

    async def remove() -> None:
        bench.write("w", "gone: true\n")

    bench.during = remove
    bench.outcome = Failed(FailureReason.TASK_FAILED, "no", ran=True)
    await bench.handle(Delivered(command()))
    ended = bench.log.facts()[1]
    assert isinstance(ended, WorkflowFailed)
    assert ended.idempotent


@pytest.mark.parametrize(("digest", "idempotent"), [("", True), ("0" * 64, False)])
async def test_a_lost_run_counts_as_safe_to_repeat_only_by_the_file_that_it_was_claimed_with(
    bench: Bench, digest: str, idempotent: bool
) -> None:
    """Whoever reports it may have another file of the same name."""
    claimed = digest or bench.catalog.workflows["w"].digest
    tell(bench.log, WorkflowStarted(ExecutionId("wfe-1"), "dead", digest=claimed), "claim-41-1")
    await bench.handle(Delivered(command(), number=3))
    ended = bench.log.facts()[1]
    assert isinstance(ended, WorkflowFailed)
    assert ended.idempotent == idempotent


async def test_nothing_begins_after_start_before(bench: Bench) -> None:
    """It is claimed, and answered as not run."""
    await bench.handle(Delivered(command(start_in=-1)))
    ended = bench.log.facts()[1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, ended.was_execution_failure) == ("DeadlineExceeded", False)
    assert not bench.ran


async def test_the_job_ends_at_the_earlier_of_its_limits(bench: Bench) -> None:
    """In the machine's clock, counted from before the claim."""
    await bench.handle(Delivered(command()))
    (run,) = bench.ran
    assert (run.start_by, run.deadline) == (1060.0, 1600.0)


@pytest.mark.parametrize("hours", [-8, -1, 1, 8])
async def test_a_brokers_clock_that_is_wrong_neither_shortens_nor_lengthens_a_run(
    bench: Bench, hours: int
) -> None:
    """The command says what its sender's clock showed: by that its limits were reckoned."""
    sender = NOW - timedelta(hours=hours)
    await bench.handle(Delivered(command(sent=sender)))
    (run,) = bench.ran
    assert (run.start_by, run.deadline) == (1060.0, 1600.0)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_command_that_waited_has_less_time_whatever_the_brokers_clock_shows(
    bench: Bench, hours: int
) -> None:
    """It was stored twenty seconds before it was claimed, by that same clock."""
    stored = NOW - timedelta(seconds=20)
    sender = stored - timedelta(hours=hours)
    await bench.handle(Delivered(command(sent=sender), recorded_at=stored))
    (run,) = bench.ran
    assert (run.start_by, run.deadline) == (1040.0, 1580.0)


@pytest.mark.parametrize("seconds", [-5, 5])
async def test_clocks_that_nearly_agree_are_taken_as_one(bench: Bench, seconds: int) -> None:
    """A command that took its time to be stored has less time to begin; never more than its sender gave it."""
    await bench.handle(Delivered(command(sent=NOW - timedelta(seconds=seconds))))
    (run,) = bench.ran
    assert (run.start_by, run.deadline) == (1060.0 - max(seconds, 0), 1600.0 - max(seconds, 0))


async def test_a_brokers_clock_that_steps_back_behind_a_command_gives_it_no_more_time(bench: Bench) -> None:
    """Its claim is stamped before it was sent; it was not."""
    sender = NOW + timedelta(hours=1)
    await bench.handle(Delivered(command(sent=sender), recorded_at=sender))
    (run,) = bench.ran
    assert (run.start_by, run.deadline) == (1060.0, 1600.0)


def frame(written: datetime, recorded_at: datetime) -> StoredMessage:
    """A frame without decisions, as a leader has it stored."""
    head = DecisionFrame(previous="", as_of=0, orchestrator="o", not_after=written, read=0)
    payload = join_frame([encode(head, Attributes(id="frame.", source="/ro/main/orchestrator/o", time=written))])
    return StoredMessage(1, recorded_at, "ro.main.decision", payload, {EXPECTED: "0"})


async def test_a_claim_is_never_before_the_newest_frame(bench: Bench) -> None:
    """The broker's clock stepped back while the command waited, and a leader had come further meanwhile."""
    sent = NOW + timedelta(hours=1)
    bench.log.stored.append(frame(sent + timedelta(seconds=61), sent + timedelta(seconds=61)))
    await bench.handle(Delivered(command(sent=sent), recorded_at=sent))
    assert not bench.ran
    ended = bench.log.facts()[1]
    assert isinstance(ended, WorkflowFailed)
    assert ended.reason == FailureReason.DEADLINE_EXCEEDED


async def test_a_command_that_was_long_under_way_gets_no_more_time(bench: Bench) -> None:
    """It was stored forty seconds after it was sent; the newest frame shows that the clocks agree."""
    sent = NOW - timedelta(seconds=40)
    bench.log.stored.append(frame(sent, sent))
    await bench.handle(Delivered(command(sent=sent)))
    (run,) = bench.ran
    assert (run.start_by, run.deadline) == (1020.0, 1560.0)


async def test_junk_where_decisions_stand_says_nothing_of_the_time(bench: Bench) -> None:
    """Anybody may have it stored."""
    bench.log.stored.append(StoredMessage(1, NOW, "ro.main.decision", b"{}", None))
    await bench.handle(Delivered(command()))
    (run,) = bench.ran
    assert (run.start_by, run.deadline) == (1060.0, 1600.0)
