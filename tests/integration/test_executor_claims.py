"""Whose a claim is, on the real server: nothing is run twice, and nothing is reported lost that runs confirmed."""

import asyncio
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import nats.errors
import pytest
from executors import create, facts, publish, script
from msgspec.structs import replace
from nats.aio.client import Client

from remediation_orchestrator.bus import api
from remediation_orchestrator.bus.consumers import ConsumerGoneError, created_at, ensure_consumer, watch_consumers
from remediation_orchestrator.bus.deliveries import NatsDelivery
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import stream_name
from remediation_orchestrator.bus.pulling import Pull, Pulled
from remediation_orchestrator.events import (
    CreateWorkflow,
    ExecutionId,
    FailureReason,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.executor.catalog import load_catalog
from remediation_orchestrator.executor.engine import Failed, Run, RunOutcome, Stop, Succeeded
from remediation_orchestrator.executor.lease import ConfirmSchedule, confirming
from remediation_orchestrator.executor.local import LocalEngine
from remediation_orchestrator.executor.ports import Ports
from remediation_orchestrator.executor.service import EXECUTOR
from remediation_orchestrator.executor.supervisor import instant
from remediation_orchestrator.executor.worker import Worker
from remediation_orchestrator.orchestrator.marks import Mark, Marker
from remediation_orchestrator.orchestrator.whole import why_not_whole

PACE = ConfirmSchedule(ack_wait=2.0)
PATIENCE = 20.0


class Slot:
    """One executor with one slot, whose deliveries are handled when the test says so."""

    def __init__(self, name: str, connection: Client, log: JetStreamLog, workflows: Path) -> None:
        self._connection = connection
        self._stream = stream_name(log.cell)
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.ran = 0
        catalog = load_catalog(workflows)
        ports = Ports(
            log=log,
            catalog=lambda: catalog,
            engines={"script": LocalEngine(self._perform)},
            monotonic=instant,
            now=lambda: datetime.now(UTC),
            environment=dict(os.environ),
            why_not_whole=partial(why_not_whole, log),
            counted_since=partial(created_at, connection, log.cell, EXECUTOR),
        )
        self.worker = Worker(name, ports)

    async def _perform(self, run: Run, stop: Stop) -> RunOutcome:
        self.ran += 1
        self.begun.set()
        ends = [asyncio.create_task(one.wait()) for one in (self.may_end, stop.wished)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        if stop.wished.is_set():
            return Failed(FailureReason.TASK_FAILED, stop.reason, ran=True)
        return Succeeded("")

    async def take(self) -> Pulled:
        """Wait for a delivery, and leave it where it is."""
        pull = Pull(self._connection, self._stream, EXECUTOR, instant)
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(nats.errors.TimeoutError):
                    (message,) = await pull.fetch(1, PACE.pull)
                    assert isinstance(message, Pulled)
                    return message

    def delivery(self, message: Pulled) -> NatsDelivery:
        """What the broker is told about it."""
        return NatsDelivery(message, self._connection, PACE.answer_wait)

    async def handle(self, message: Pulled) -> None:
        """Answer it, however late."""
        delivery = self.delivery(message)
        async with confirming(delivery, PACE, instant, message.asked_at) as lease:
            await self.worker.handle(delivery, lease)


@pytest.fixture
async def slots(connection: Client, log: JetStreamLog, tmp_path: Path) -> tuple[Slot, Slot]:
    """Two executors, and one command."""
    return await given(connection, log, tmp_path, create(1, "w"))


@pytest.fixture
async def brief(connection: Client, log: JetStreamLog, tmp_path: Path) -> tuple[Slot, Slot]:
    """Two executors, and one command whose time is over when it has come three times."""
    command = create(1, "w")
    deadline = datetime.now(UTC) + timedelta(seconds=2 * PACE.ack_wait)
    return await given(connection, log, tmp_path, replace(command, deadline=deadline))


async def given(connection: Client, log: JetStreamLog, folder: Path, command: CreateWorkflow) -> tuple[Slot, Slot]:
    """Two executors for it."""
    script(folder, "w", "true")
    await ensure_consumer(connection, log.cell, EXECUTOR, subjects.commands(log.cell, "workflow"), PACE.ack_wait)
    await publish(log, command)
    return Slot("e1", connection, log, folder), Slot("e2", connection, log, folder)


async def test_a_delivery_that_is_handled_late_is_left_alone(slots: tuple[Slot, Slot], log: JetStreamLog) -> None:
    """By whoever was away: the next one runs it, confirmed, and nobody calls that lost."""
    first, second = slots
    late = await first.take()
    again = await second.take()
    running = asyncio.create_task(second.handle(again))
    await first.handle(late)
    async with asyncio.timeout(PATIENCE):
        await second.begun.wait()
        second.may_end.set()
        await running
    started, ended = await facts(log, 1)
    assert isinstance(started, WorkflowStarted)
    assert (started.executor, type(ended), first.ran, second.ran) == ("e2", WorkflowCompleted, 0, 1)


async def test_a_second_delivery_of_a_run_that_is_confirmed_is_left_alone(
    slots: tuple[Slot, Slot], log: JetStreamLog
) -> None:
    """Somebody who was frozen passes on what is another's by now; however long the run goes on, it is not lost."""
    first, second = slots
    message = await first.take()
    running = asyncio.create_task(first.handle(message))
    async with asyncio.timeout(PATIENCE):
        await first.begun.wait()
    await second.delivery(message).pass_on(0.01)
    await second.handle(await second.take())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3 * PACE.ack_wait):  # As long as it is confirmed, it does not come again.
            await second.take()
    first.may_end.set()
    async with asyncio.timeout(PATIENCE):
        await running
    assert [type(one) for one in await facts(log, 1)] == [WorkflowStarted, WorkflowCompleted]
    assert second.ran == 0


async def test_a_run_that_nobody_confirms_is_reported_by_the_second_delivery(
    slots: tuple[Slot, Slot], log: JetStreamLog
) -> None:
    """And not by the first."""
    first, second = slots
    running = asyncio.create_task(first.handle(await first.take()))
    async with asyncio.timeout(PATIENCE):
        await first.begun.wait()
    running.cancel()
    await second.handle(await second.take())
    assert len(await facts(log, 1)) == 1
    await second.handle(await second.take())
    ended = (await facts(log, 1))[1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, second.ran) == ("ExecutorLost", 0)


async def made_again(connection: Client, log: JetStreamLog) -> None:
    """Somebody takes the executors' consumer away, and an executor makes it again."""
    await api.call(connection, f"CONSUMER.DELETE.{stream_name(log.cell)}.{EXECUTOR}", {}, api.Done)
    await ensure_consumer(connection, log.cell, EXECUTOR, subjects.commands(log.cell, "workflow"), PACE.ack_wait)


async def test_deliveries_of_a_consumer_that_was_made_again_prove_no_run_lost(
    connection: Client, brief: tuple[Slot, Slot], log: JetStreamLog
) -> None:
    """It counts anew, and may be sooner than whoever runs confirms; when the run's time is over it is lost."""
    first, second = brief
    running = asyncio.create_task(first.handle(await first.take()))
    async with asyncio.timeout(PATIENCE):
        await first.begun.wait()
    running.cancel()
    await made_again(connection, log)
    for number in range(1, 4):
        message = await second.take()
        assert second.delivery(message).number == number
        await second.handle(message)
    assert len(await facts(log, 1)) == 1
    await log.append(subjects.decision(log.cell), b"whoever leads is behind the deadline")
    await second.handle(await second.take())
    ended = (await facts(log, 1))[1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, second.ran) == ("ExecutorLost", 0)


async def test_whoever_takes_work_from_a_consumer_that_was_made_again_ends(
    connection: Client, slots: tuple[Slot, Slot], log: JetStreamLog
) -> None:
    """It may have another `ack_wait`, by which claims are lost sooner than they are confirmed here."""
    known = await ensure_consumer(connection, log.cell, EXECUTOR, subjects.commands(log.cell, "workflow"), 1.0)
    assert known.ack_wait == PACE.ack_wait
    watching = asyncio.create_task(watch_consumers(connection, log.cell, (known,), every=0.01))
    await asyncio.wait({watching}, timeout=0.2)
    assert not watching.done()
    await made_again(connection, log)
    with pytest.raises(ConsumerGoneError):
        async with asyncio.timeout(PATIENCE):
            await watching


async def test_a_command_whose_claim_the_log_has_lost_is_not_begun_again(
    connection: Client, slots: tuple[Slot, Slot], log: JetStreamLog
) -> None:
    """Nothing stands on its subject any more; that something is missing tells that somebody may have begun it."""
    first, second = slots
    running = asyncio.create_task(first.handle(await first.take()))
    async with asyncio.timeout(PATIENCE):
        await first.begun.wait()
    running.cancel()
    body = {"seq": await log.last_sequence(), "no_erase": True}
    await api.call(connection, f"STREAM.MSG.DELETE.{stream_name(log.cell)}", body, api.Done)
    assert await facts(log, 1) == []
    await second.handle(await second.take())
    ended = (await facts(log, 1))[-1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, ended.was_execution_failure, second.ran) == ("ExecutorLost", True, 0)
    assert "the log is not whole: it has no record" in ended.message


async def test_a_command_in_a_store_that_is_behind_its_mark_is_not_begun(
    slots: tuple[Slot, Slot], log: JetStreamLog
) -> None:
    """Restored to before a claim: the next stands where that one stood, and what was marked there is another's."""
    first, _ = slots
    lost = await log.last_sequence() + 1
    mark = Mark(log.identity, 0, "", lost, "0" * 64, datetime.now(UTC))
    assert await Marker(log.marks).write(mark)
    await first.handle(await first.take())
    ended = (await facts(log, 1))[-1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, first.ran) == ("ExecutorLost", 0)
    assert f"it has another record at {lost} than it had" in ended.message


async def test_whoever_runs_stops_when_anothers_end_stands_on_its_subject(
    slots: tuple[Slot, Slot], log: JetStreamLog
) -> None:
    """Told by mistake, or by hand: it stands, and two ends do not."""
    first, _ = slots
    running = asyncio.create_task(first.handle(await first.take()))
    async with asyncio.timeout(PATIENCE):
        await first.begun.wait()
        await end_by_hand(log)
        await running  # Nobody lets it end: it sees that at its next confirmation.
    assert [type(one) for one in await facts(log, 1)] == [WorkflowStarted, WorkflowFailed]


async def end_by_hand(log: JetStreamLog) -> None:
    """Another's end, behind the start."""
    execution = ExecutionId("wfe-1")
    lost = encode(WorkflowFailed(execution, "ExecutorLost"), Attributes("x", "/x", datetime.now(UTC)))
    await log.append(subjects.execution(log.cell, execution), lost)
