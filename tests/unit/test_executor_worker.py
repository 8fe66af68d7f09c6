"""The worker's protocol: who may run, what is answered, and that an end is told once."""

import asyncio
import json

import pytest
from bench import Bench, command, tell
from faulty import Delivered

from remediation_orchestrator.bus.port import LogFullError, UnknownOutcomeError
from remediation_orchestrator.events import (
    ExecutionId,
    FailureReason,
    StoredMessage,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
)
from remediation_orchestrator.executor.engine import Failed, Run, RunOutcome, Stop
from remediation_orchestrator.executor.lease import ClaimLease, ConfirmSchedule


async def test_a_command_is_claimed_run_and_answered(bench: Bench) -> None:
    """Start, end, acknowledgement; once each."""
    delivery = Delivered(command())
    await bench.handle(delivery)
    started, ended = bench.log.facts()
    digest = bench.catalog.workflows["w"].digest
    assert started == WorkflowStarted(ExecutionId("wfe-1"), "e1", version="", digest=digest)
    assert ended == WorkflowCompleted(ExecutionId("wfe-1"), "done")
    assert (len(bench.ran), delivery.acknowledged) == (1, 1)


async def test_a_revoked_execution_is_only_acknowledged(bench: Bench) -> None:
    """The orchestrator was first."""
    tell(bench.log, WorkflowRevoked(ExecutionId("wfe-1")))
    delivery = Delivered(command())
    await bench.handle(delivery)
    assert (bench.ran, len(bench.log.facts()), delivery.acknowledged) == ([], 1, 1)


async def test_an_end_that_is_stored_is_only_acknowledged(bench: Bench) -> None:
    """The acknowledgement was lost, not the end."""
    await bench.handle(Delivered(command()))
    again = Delivered(command(), number=2)
    await bench.handle(again)
    assert (len(bench.ran), len(bench.log.facts()), again.acknowledged) == (1, 2, 1)


async def test_somebody_elses_run_is_reported_lost_and_never_run_again(bench: Bench) -> None:
    """It was delivered again, twice, because its executor did not confirm it."""
    tell(bench.log, WorkflowStarted(ExecutionId("wfe-1"), "dead"), "claim-41-1")
    delivery = Delivered(command(), number=3)
    await bench.handle(delivery)
    ended = bench.log.facts()[1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, ended.was_execution_failure) == ("ExecutorLost", True)
    assert (bench.ran, delivery.acknowledged) == ([], 1)


async def test_one_more_delivery_proves_no_run_lost(bench: Bench) -> None:
    """A broker that crashed forgets a confirmation; where nobody runs it, it comes once more."""
    tell(bench.log, WorkflowStarted(ExecutionId("wfe-1"), "alive"), "claim-41-1")
    delivery = Delivered(command(), number=2)
    await bench.handle(delivery)
    assert (len(bench.log.facts()), bench.ran, delivery.acknowledged, delivery.passed_on) == (1, [], 0, [])


async def test_a_start_that_says_no_delivery_is_judged_by_the_count(bench: Bench) -> None:
    """A user's own executor may say nothing of it."""
    tell(bench.log, WorkflowStarted(ExecutionId("wfe-1"), "own"))
    first = Delivered(command(), number=1)
    await bench.handle(first)
    assert (len(bench.log.facts()), first.acknowledged) == (1, 0)
    await bench.handle(Delivered(command(), number=3))
    assert isinstance(bench.log.facts()[1], WorkflowFailed)


async def test_a_delivery_older_than_the_claim_says_nothing_of_it(bench: Bench) -> None:
    """An executor that slept through its delivery must not call the next one's run lost."""
    tell(bench.log, WorkflowStarted(ExecutionId("wfe-1"), "alive"), "claim-41-3")
    late = Delivered(command(), number=2)
    await bench.handle(late)
    assert (len(bench.log.facts()), bench.ran, late.acknowledged) == (1, [], 0)


async def test_a_command_stored_twice_runs_once(bench: Bench) -> None:
    """The second message is acknowledged, however often it is delivered; the first is answered by its run."""
    tell(bench.log, WorkflowStarted(ExecutionId("wfe-1"), "alive"), "claim-41-1")
    second = Delivered(command(), number=5, sequence=42)
    await bench.handle(second)
    assert (len(bench.log.facts()), bench.ran, second.acknowledged) == (1, [], 1)


@pytest.mark.parametrize("stores", [True, False])
async def test_a_claim_whose_answer_was_lost_is_gone_on_with(bench: Bench, stores: bool) -> None:
    """Stored or not: asked again with the same expectation, it is ours and runs once."""
    bench.log.faults = [(UnknownOutcomeError("no answer"), stores)]
    await bench.handle(Delivered(command()))
    assert [type(one) for one in bench.log.facts()] == [WorkflowStarted, WorkflowCompleted]
    assert len(bench.ran) == 1


@pytest.mark.parametrize("stores", [True, False])
async def test_an_end_is_told_until_it_is_stored_and_once(bench: Bench, stores: bool) -> None:
    """Whatever becomes of the answers."""
    lost = (UnknownOutcomeError("no answer"), stores)
    full = (LogFullError("full"), False)

    async def lose() -> None:
        bench.log.faults = [full, full, full, lost]

    bench.during = lose
    await bench.handle(Delivered(command()))
    assert [type(one) for one in bench.log.facts()] == [WorkflowStarted, WorkflowCompleted]


async def test_a_report_refused_by_the_fence_is_only_acknowledged(bench: Bench) -> None:
    """Frozen too long: another executor has reported this run lost, and that stands."""

    async def report_lost() -> None:
        tell(bench.log, WorkflowFailed(ExecutionId("wfe-1"), "ExecutorLost"))

    bench.during = report_lost
    delivery = Delivered(command())
    await bench.handle(delivery)
    assert [type(one) for one in bench.log.facts()] == [WorkflowStarted, WorkflowFailed]
    assert delivery.acknowledged == 1


async def test_a_second_delivery_during_the_run_is_left_alone(bench: Bench) -> None:
    """Two slots of one executor, one run."""
    again = Delivered(command(), number=2)

    async def deliver_again() -> None:
        await bench.handle(again)

    bench.during = deliver_again
    await bench.handle(Delivered(command()))
    assert (len(bench.ran), again.acknowledged) == (1, 0)


async def test_nothing_begins_under_a_lapsed_claim(bench: Bench) -> None:
    """Asleep between delivery and claim: somebody else may have the command by now."""
    lease = ClaimLease(ConfirmSchedule(30), lambda: bench.clock, bench.clock)
    bench.clock += 16
    delivery = Delivered(command())
    await bench.worker.handle(delivery, lease)
    assert (bench.log.facts(), bench.ran, delivery.acknowledged) == ([], [], 0)


async def test_a_claim_whose_lease_lapsed_is_not_begun_under_another_delivery(bench: Bench) -> None:
    """Stored late, behind everybody's back: others count from the delivery that it names."""
    lease = ClaimLease(ConfirmSchedule(30), lambda: bench.clock, bench.clock)

    class LapsingError(UnknownOutcomeError):
        def __str__(self) -> str:
            bench.clock += 16
            return "no answer"

    bench.log.faults = [(LapsingError(""), True)]
    await bench.worker.handle(Delivered(command()), lease)
    assert (len(bench.log.facts()), bench.ran) == (1, [])
    again = Delivered(command(), number=2)
    await bench.handle(again)
    ended = bench.log.facts()[1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, ended.was_execution_failure) == ("ExecutorLost", False)
    assert (bench.ran, again.acknowledged) == ([], 1)


async def test_what_is_cancelled_before_it_begins_does_not_begin(bench: Bench) -> None:
    """The cancel came while it was claimed."""
    bench.log.faults = [(UnknownOutcomeError("no answer"), True)]
    running = asyncio.create_task(bench.handle(Delivered(command())))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    bench.worker.cancel(ExecutionId("wfe-1"), "resolved")
    await running
    ended = bench.log.facts()[1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.message, ended.was_execution_failure) == ("cancelled before it began: resolved", False)
    assert not bench.ran


async def test_nothing_begins_where_the_claim_lapses_while_it_is_stored(bench: Bench) -> None:
    """Said so by ourselves: nothing has run."""
    lease = ClaimLease(ConfirmSchedule(30), lambda: bench.clock, bench.clock)
    look = bench.log.next_on

    async def slowly(subject: str, after: int) -> StoredMessage | None:
        found = await look(subject, after)
        bench.clock += 16
        return found

    bench.log.next_on = slowly  # type: ignore[method-assign]
    await bench.worker.handle(Delivered(command()), lease)
    ended = bench.log.facts()[1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, ended.was_execution_failure, bench.ran) == ("ExecutorLost", False, [])


async def test_a_run_whose_end_another_has_told_is_ended(bench: Bench) -> None:
    """However it came about: seen at the next confirmation, and nothing is told behind it."""
    seen: list[str] = []

    async def perform(run: Run, stop: Stop) -> RunOutcome:
        assert run.lease.prove is not None
        await run.lease.prove()
        assert not stop.wished.is_set()
        tell(bench.log, WorkflowFailed(ExecutionId("wfe-1"), "ExecutorLost"))
        await run.lease.prove()
        await asyncio.wait_for(stop.wished.wait(), 1)
        seen.append(stop.reason)
        return Failed(FailureReason.TASK_FAILED, "cancelled", ran=True)

    bench.perform = perform
    delivery = Delivered(command())
    await bench.handle(delivery)
    assert seen == ["another has told its end"]
    assert (len(bench.log.facts()), delivery.acknowledged) == (2, 1)


async def test_a_cancelled_run_is_told_to_stop(bench: Bench) -> None:
    """Only the one that is meant."""
    seen: list[str] = []

    async def perform(run: Run, stop: Stop) -> RunOutcome:
        bench.worker.cancel(ExecutionId("wfe-2"), "another")
        bench.worker.cancel(ExecutionId("wfe-1"), "resolved")
        await asyncio.wait_for(stop.wished.wait(), 1)
        seen.append(stop.reason)
        return Failed(FailureReason.TASK_FAILED, "cancelled", ran=True)

    bench.perform = perform
    await bench.handle(Delivered(command()))
    assert seen == ["resolved"]


async def test_the_facts_name_their_cause(bench: Bench) -> None:
    """The command's position, and the remediation."""
    await bench.handle(Delivered(command()))
    claim, end = (json.loads(one.payload) for one in bench.log.stored[1:])
    assert (claim["causationid"], claim["id"], claim["source"]) == ("41", "claim-41-1", "/ro/main/executor/e1")
    assert (end["causationid"], end["correlationid"]) == ("41", "rr-1")


async def test_an_engine_that_breaks_its_promise_is_reported_lost_and_not_asked_again(bench: Bench) -> None:
    """Nobody knows what it did: the next delivery says so, in the same process too."""

    async def perform(run: Run, stop: Stop) -> RunOutcome:
        bench.ran.append(run)
        raise RuntimeError("a bug")

    bench.perform = perform
    with pytest.raises(RuntimeError, match="a bug"):
        await bench.handle(Delivered(command()))
    again = Delivered(command(), number=2)
    await bench.handle(again)
    ended = bench.log.facts()[1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, ended.was_execution_failure) == ("ExecutorLost", True)
    assert (len(bench.ran), again.acknowledged) == (1, 1)
