"""The worker's protocol: who may run, what is answered, and that an end is told once."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from faulty import NOW, SUBJECT, Delivered, FaultyLog

from remediation_orchestrator.bus.port import LogFullError, UnknownOutcomeError
from remediation_orchestrator.events import (
    CreateWorkflow,
    ExecutionId,
    Fact,
    FailureReason,
    Fingerprint,
    Position,
    RemediationId,
    StoredMessage,
    Target,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRef,
    WorkflowRevoked,
    WorkflowStarted,
    encode,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.executor.catalog import load_catalog
from remediation_orchestrator.executor.lease import Lease, Pace
from remediation_orchestrator.executor.script import Failed, Job, Outcome, Stop, Succeeded
from remediation_orchestrator.executor.worker import Engine, Surroundings, Worker


class Bench:
    """A worker on a faulty log, with an engine that only counts."""

    def __init__(self, folder: Path, log: FaultyLog, name: str = "e1") -> None:
        self.log = log
        self.ran: list[Job] = []
        self.outcome: Outcome = Succeeded("done")
        self.during: Callable[[], Awaitable[None]] | None = None
        self.engine: Engine = self._count
        self.clock = 1000.0
        (folder / "w.yaml").write_text('id: w\nidempotent: true\nscript: {command: [sh, "{target.name}"]}\n')
        catalog = load_catalog(folder)
        around = Surroundings(
            log=log,
            catalog=lambda: catalog,
            engine=lambda job, lease, stop: self.engine(job, lease, stop),
            monotonic=lambda: self.clock,
            now=lambda: NOW,
            environment={"PATH": "/usr/bin:/bin"},
            retry_after=0.001,
        )
        self.worker = Worker(name, around)

    async def _count(self, job: Job, lease: Lease, stop: Stop) -> Outcome:
        self.ran.append(job)
        if self.during:
            await self.during()
        return self.outcome

    async def handle(self, delivery: Delivered) -> None:
        """Let it answer, within bounds."""
        async with asyncio.timeout(5):
            await self.worker.handle(delivery, Lease(Pace(30), lambda: self.clock))


def command(
    target: str = "checkout", start_in: float = 60, execution: str = "wfe-1", workflow: str = "w"
) -> bytes:
    """A command as the orchestrator would write it."""
    event = CreateWorkflow(
        execution=ExecutionId(execution),
        remediation=RemediationId("rr-1"),
        fingerprint=Fingerprint("f"),
        target=Target(name=target),
        workflow=WorkflowRef(workflow),
        start_before=NOW + timedelta(seconds=start_in),
        deadline=NOW + timedelta(seconds=600),
        decided_at=Position("2"),
    )
    return encode(event, Attributes(id="c", source="/ro/main/orchestrator", time=NOW, correlationid="rr-1"))


def tell(log: FaultyLog, fact: Fact, event_id: str = "x") -> None:
    """Somebody else's record on the execution's subject."""
    payload = encode(fact, Attributes(id=event_id, source="/x", time=NOW))
    log.stored.append(StoredMessage(len(log.stored) + 1, NOW, SUBJECT, payload))


@pytest.fixture
def log() -> FaultyLog:
    """A log with one message before all others."""
    made = FaultyLog()
    made.stored.append(StoredMessage(1, NOW, "ro.main.decision", b"[]"))
    return made


@pytest.fixture
def bench(tmp_path: Path, log: FaultyLog) -> Bench:
    """One executor."""
    return Bench(tmp_path, log)


async def test_a_command_is_claimed_run_and_answered(bench: Bench) -> None:
    """Start, end, acknowledgement; once each."""
    delivery = Delivered(command())
    await bench.handle(delivery)
    started, ended = bench.log.facts()
    digest = bench.worker._around.catalog().workflows["w"].digest
    assert started == WorkflowStarted(ExecutionId("wfe-1"), "e1", version="", digest=digest)
    assert ended == WorkflowCompleted(ExecutionId("wfe-1"), "done")
    assert (len(bench.ran), delivery.acknowledged) == (1, 1)


async def test_a_failure_says_what_the_catalog_says_of_its_workflow(bench: Bench) -> None:
    """The orchestrator reads no catalog."""
    bench.outcome = Failed(FailureReason.TASK_FAILED, "no", ran=True, exit_code=3)
    await bench.handle(Delivered(command()))
    assert bench.log.facts()[1] == WorkflowFailed(ExecutionId("wfe-1"), "TaskFailed", "no", True, True, 3)


NESTED = b"[" * 100_000
POISON = {
    "not JSON": b"\xff\xfe",
    "empty": b"",
    "an array without end": NESTED,
    "an object without end": b'{"specversion":"1.0","type":"CreateWorkflow.v1","data":' + NESTED,
    "another event": encode(WorkflowStarted(ExecutionId("wfe-1")), Attributes(id="a", source="b", time=NOW)),
    "another execution": command(execution="wfe-2"),
    "two commands": b"[" + command() + b"," + command() + b"]",
    "no such workflow": command(workflow="absent"),
    "an option for a target": command(target="-rf"),
    "half a surrogate": command().replace(b'"checkout"', b'"\\ud800"'),
    "an unknown version": command().replace(b"CreateWorkflow.v1", b"CreateWorkflow.v9"),
}


@pytest.mark.parametrize("payload", POISON.values(), ids=POISON.keys())
async def test_whatever_is_wrong_with_a_command_it_is_claimed_and_answered(bench: Bench, payload: bytes) -> None:
    """A poison command never comes again and again, and nothing has run."""
    delivery = Delivered(payload)
    await bench.handle(delivery)
    started, ended = bench.log.facts()
    assert isinstance(started, WorkflowStarted)
    assert isinstance(ended, WorkflowFailed)
    assert not ended.was_execution_failure
    assert ended.reason in (FailureReason.CONFIGURATION_ERROR, FailureReason.FORBIDDEN)
    assert (bench.ran, delivery.acknowledged) == ([], 1)


async def test_nothing_begins_after_start_before(bench: Bench) -> None:
    """It is claimed, and answered as not run."""
    await bench.handle(Delivered(command(start_in=-1)))
    ended = bench.log.facts()[1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, ended.was_execution_failure) == ("DeadlineExceeded", False)
    assert not bench.ran


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
    """It was delivered again because its executor did not confirm it."""
    tell(bench.log, WorkflowStarted(ExecutionId("wfe-1"), "dead"), "claim-41-1")
    delivery = Delivered(command(), number=2)
    await bench.handle(delivery)
    ended = bench.log.facts()[1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, ended.was_execution_failure) == ("ExecutorLost", True)
    assert (bench.ran, delivery.acknowledged) == ([], 1)


async def test_a_start_that_says_no_delivery_is_judged_by_the_count(bench: Bench) -> None:
    """A user's own executor may say nothing of it."""
    tell(bench.log, WorkflowStarted(ExecutionId("wfe-1"), "own"))
    first = Delivered(command(), number=1)
    await bench.handle(first)
    assert (len(bench.log.facts()), first.acknowledged) == (1, 0)
    await bench.handle(Delivered(command(), number=2))
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
    lease = Lease(Pace(30), lambda: bench.clock)
    bench.clock += 16
    delivery = Delivered(command())
    await bench.worker.handle(delivery, lease)
    assert (bench.log.facts(), bench.ran, delivery.acknowledged) == ([], [], 0)


async def test_a_cancelled_run_is_told_to_stop(bench: Bench) -> None:
    """Only the one that is meant."""
    seen: list[str] = []

    async def engine(job: Job, lease: Lease, stop: Stop) -> Outcome:
        bench.worker.cancel(ExecutionId("wfe-2"), "another")
        bench.worker.cancel(ExecutionId("wfe-1"), "resolved")
        await asyncio.wait_for(stop.wished.wait(), 1)
        seen.append(stop.reason)
        return Failed(FailureReason.TASK_FAILED, "cancelled", ran=True)

    bench.engine = engine
    await bench.handle(Delivered(command()))
    assert seen == ["resolved"]


async def test_the_job_ends_at_the_earlier_of_its_limits(bench: Bench) -> None:
    """In the machine's clock, counted from before the claim."""
    await bench.handle(Delivered(command()))
    (job,) = bench.ran
    assert (job.start_by, job.deadline) == (1060.0, 1600.0)


async def test_the_facts_name_their_cause(bench: Bench) -> None:
    """The command's position, and the remediation."""
    await bench.handle(Delivered(command()))
    claim, end = (json.loads(one.payload) for one in bench.log.stored[1:])
    assert (claim["causationid"], claim["id"], claim["source"]) == ("41", "claim-41-1", "/ro/main/executor/e1")
    assert (end["causationid"], end["correlationid"]) == ("41", "rr-1")


async def test_an_engine_that_breaks_its_promise_is_reported_lost_and_not_asked_again(bench: Bench) -> None:
    """Nobody knows what it did: the next delivery says so, in the same process too."""

    async def engine(job: Job, lease: Lease, stop: Stop) -> Outcome:
        bench.ran.append(job)
        raise RuntimeError("a bug")

    bench.engine = engine
    with pytest.raises(RuntimeError, match="a bug"):
        await bench.handle(Delivered(command()))
    again = Delivered(command(), number=2)
    await bench.handle(again)
    ended = bench.log.facts()[1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, ended.was_execution_failure) == ("ExecutorLost", True)
    assert (len(bench.ran), again.acknowledged) == (1, 1)
