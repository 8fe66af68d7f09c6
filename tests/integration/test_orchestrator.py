"""The shell on the real server: decided once, whatever is stopped, killed or lost in between."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from cell import bare, events_of, findings, folded, orchestrator, running, tell, wait_for
from nats.aio.client import Client

from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.lease import JetStreamLease
from remediation_orchestrator.bus.port import LogError
from remediation_orchestrator.events import (
    Block,
    CellName,
    CreateWorkflow,
    Duplicate,
    Event,
    ExecutionId,
    OrchestratorStarted,
    PhaseChanged,
    Proceed,
    Reason,
    RoutingDecided,
    SignalRejected,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    decode,
    subjects,
)
from remediation_orchestrator.orchestrator.service import Orchestrator


@pytest.fixture
async def active(connection: Client, cell: CellName) -> Orchestrator:
    """An orchestrator of this test's cell, not running yet."""
    return await orchestrator(connection, cell)


def source(cell: CellName) -> str:
    """Where the tests' signals go."""
    return subjects.signal(cell, "test")


def about(signal: int) -> Callable[[Event], bool]:
    """Whether an event is a verdict on the signal at this position."""
    return lambda event: isinstance(event, RoutingDecided) and event.signal == str(signal)


async def test_a_signal_becomes_a_command_that_says_what_the_contract_says(
    log: JetStreamLog, cell: CellName, active: Orchestrator
) -> None:
    """Execution, remediation, fingerprint, target, workflow, both times, and the decision that owes it."""
    async with running(active):
        signal = await log.append(source(cell), bare(workflow={"id": "restart", "parameters": {"grace": 5}}))
        found = await wait_for(log, lambda event: isinstance(event, CreateWorkflow))
    command = found.event
    assert isinstance(command, CreateWorkflow)
    newest = await log.last(subjects.command(cell, command))
    assert newest is not None
    assert newest.subject == f"ro.{cell}.command.workflow.wfe-{signal}"
    assert command.remediation == f"rr-{signal}"
    assert command.target.name == "checkout"
    assert command.workflow.parameters == {"grace": 5}
    assert (command.deadline - command.start_before).total_seconds() == 25 * 60
    frame = await log.last(subjects.decision(cell))
    assert frame is not None
    decided = {record.position: record.event for record in decode(frame) if hasattr(record, "event")}
    assert isinstance(decided[command.decided_at], RoutingDecided)


async def test_bad_records_are_answered_and_stop_nothing(
    log: JetStreamLog, cell: CellName, active: Orchestrator
) -> None:
    """An array is judged element by element."""
    async with running(active):
        bad = await log.append(source(cell), b"no JSON")
        mixed = await log.append(source(cell), b'[{"name": 7}, ' + bare() + b"]")
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow))
    rejected = [event for event in await events_of(log) if isinstance(event, SignalRejected)]
    assert [one.position for one in rejected] == [f"{bad}", f"{mixed}-0"]
    assert "name" in rejected[1].message


async def test_after_a_restart_the_state_is_the_same_and_nothing_is_decided_again(
    connection: Client, log: JetStreamLog, cell: CellName, active: Orchestrator
) -> None:
    """The projection is folded from the log and from nothing else."""
    async with running(active):
        for number in range(20):
            last = await log.append(source(cell), bare(target=f"t{number % 7}", name=f"n{number % 3}"))
        await wait_for(log, lambda event: isinstance(event, RoutingDecided) and event.signal == str(last))
    before = active.fold.view.tables()
    async with running(await orchestrator(connection, cell, "o2")) as second:
        assert second.fold.view.tables() == before == (await folded(log)).view.tables()
    verdicts = [(one.signal, one.attempt) for one in await events_of(log) if isinstance(one, RoutingDecided)]
    assert len(verdicts) == len(set(verdicts)) == 20
    assert await findings(log) == []


async def test_a_second_orchestrator_stands_by_and_takes_over_at_once_after_a_clean_stop(
    connection: Client, log: JetStreamLog, cell: CellName, active: Orchestrator
) -> None:
    """The lease is given back, so nobody waits for it to lapse."""
    standby = await orchestrator(connection, cell, "o2")
    async with running(active):
        standing_by = asyncio.create_task(standby.run())
        await log.append(source(cell), bare())
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow))
        assert not standby.active.is_set()
    async with asyncio.timeout(3):  # Shorter than the lease lasts.
        await standby.active.wait()
    standby.stop()
    await standing_by
    started = [event for event in await events_of(log) if isinstance(event, OrchestratorStarted)]
    assert started[0].policy is not None
    assert all(event.policy is None for event in started[1:])


async def test_a_lease_that_the_broker_keeps_for_a_dead_holder_is_taken(
    connection: Client, log: JetStreamLog, cell: CellName
) -> None:
    """As where its clock was set back by an hour since; two stand by, and one of them has it."""
    lease = await JetStreamLease.open(connection, cell, ttl=timedelta(minutes=59))
    assert await lease.acquire("dead")
    standbys = [await orchestrator(connection, cell, name) for name in ("o1", "o2")]
    tasks = [asyncio.create_task(one.run()) for one in standbys]
    async with asyncio.timeout(20):
        await wait_for(log, lambda event: isinstance(event, OrchestratorStarted))
        while await lease.holder() == "dead":
            pass  # Each question is a turn around the broker.
    for one in standbys:
        one.stop()
    await asyncio.gather(*tasks)
    assert sum(isinstance(event, OrchestratorStarted) for event in await events_of(log)) <= 2


async def test_a_paused_orchestrator_is_fenced_when_it_wakes(
    connection: Client, log: JetStreamLog, cell: CellName, active: Orchestrator
) -> None:
    """Two that both believe to lead: every append of the older one is refused, and it stands by."""
    async with running(active):
        other = await orchestrator(connection, cell, "o2")
        await active._lease.release("o1")  # As if it had slept past its lease.
        async with running(other):
            await log.append(source(cell), bare())
            await wait_for(log, lambda event: isinstance(event, CreateWorkflow))
            async with asyncio.timeout(10):
                while active.active.is_set():
                    await active.inbox.wait(0.05)
    verdicts = [one for one in await events_of(log) if isinstance(one, RoutingDecided)]
    assert len(verdicts) == 1
    assert await findings(log) == []


async def test_what_is_owed_is_sent_after_a_crash_between_frame_and_command(
    connection: Client, log: JetStreamLog, cell: CellName, active: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decided and not sent: the next orchestrator owes it."""
    from remediation_orchestrator.orchestrator.dispatch import Dispatcher

    with monkeypatch.context() as crashing:
        crashing.setattr(Dispatcher, "dispatch", lambda *_: None)
        async with running(active):
            await log.append(source(cell), bare())
            await wait_for(log, lambda event: isinstance(event, RoutingDecided))
    assert not any(isinstance(event, CreateWorkflow) for event in await events_of(log))
    async with running(await orchestrator(connection, cell, "o2")):
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow))


async def test_a_resolved_signal_revokes_a_run_that_nobody_has_begun(
    log: JetStreamLog, cell: CellName, active: Orchestrator
) -> None:
    """The first record on the execution's subject is the orchestrator's, and the target is free again."""
    async with running(active):
        signal = await log.append(source(cell), bare(resolves=True))
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow))
        await log.append(source(cell), bare(status="resolved"))
        revoked = await wait_for(log, lambda event: isinstance(event, WorkflowRevoked))
        assert isinstance(revoked.event, WorkflowRevoked)
        assert revoked.event.execution == f"wfe-{signal}"
        await log.append(source(cell), bare(name="Other"))
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow) and event.execution != f"wfe-{signal}")
    assert await findings(log) == []


async def test_a_completed_run_is_told_and_its_target_is_free(
    log: JetStreamLog, cell: CellName, active: Orchestrator
) -> None:
    """A fact takes effect when it is folded; the change of phase is for readers."""
    async with running(active):
        signal = await log.append(source(cell), bare())
        await log.append(source(cell), bare())
        await wait_for(
            log, lambda event: isinstance(event, RoutingDecided) and isinstance(event.verdict, Duplicate)
        )
        await tell(log, WorkflowCompleted(ExecutionId(f"wfe-{signal}")), f"wfe-{signal}")
        changed = await wait_for(log, lambda event: isinstance(event, PhaseChanged))
    assert isinstance(changed.event, PhaseChanged)
    assert (changed.event.phase, changed.event.outcome) == ("Completed", "Remediated")


async def test_it_survives_the_broker_going_away_and_coming_back(
    cell: CellName, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Killed with -9 under it and started again on the same folder and port."""
    from remediation_orchestrator.bus.connection import connected

    folder = tmp_path_factory.mktemp("broker")
    server = EmbeddedServer(folder).start()
    port = server.port
    try:
        async with connected(server.url) as connection:
            log = await JetStreamLog.ensure(connection, cell)
            async with running(await orchestrator(connection, cell)):
                await log.append(source(cell), bare(target="before"))
                await wait_for(log, lambda event: isinstance(event, CreateWorkflow))
                server.stop()
                server = EmbeddedServer(folder, port=port).start()
                signal = await _append_at_last(log, source(cell), bare(target="after"))
                await wait_for(
                    log, lambda event: isinstance(event, RoutingDecided) and event.signal == str(signal)
                )
            verdicts = [one for one in await events_of(log) if isinstance(one, RoutingDecided)]
            assert [type(one.verdict) for one in verdicts] == [Proceed, Proceed]
            assert await findings(log) == []
    finally:
        server.stop()


async def _append_at_last(log: JetStreamLog, subject: str, payload: bytes) -> int:
    """Append as soon as the broker takes it; a message id keeps it single."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await log.append(subject, payload, message_id="after")
            except LogError:
                await asyncio.sleep(0.1)


async def test_nobody_decides_before_the_whole_log_is_folded(
    connection: Client, log: JetStreamLog, cell: CellName
) -> None:
    """The failures of before a restart count in the first verdict after it: no history is never "not blocked"."""
    async with running(await orchestrator(connection, cell)):
        signal = await log.append(subjects.signal(cell, "test"), bare(resolves=False))
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow))
        failure = WorkflowFailed(ExecutionId(f"wfe-{signal}"), was_execution_failure=False)
        await tell(log, failure, f"wfe-{signal}")
        await wait_for(log, lambda event: type(event).__name__ == "PhaseChanged")
    again = await log.append(subjects.signal(cell, "test"), bare(resolves=False))  # While nobody is there.
    async with running(await orchestrator(connection, cell, "o2")):
        decided = await wait_for(log, about(again))
    assert isinstance(decided.event, RoutingDecided)
    assert decided.event.situation.failures == 1
    assert isinstance(decided.event.verdict, Block)
    assert decided.event.verdict.reason is Reason.EXPONENTIAL_BACKOFF
    assert (await folded(log)).view.history(decided.event.situation.fingerprint).failures == 1
