"""Junk: what anybody can have the server write by naming a subject as the reply. It deposes and blocks nobody."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from cell import bare, events_of, findings, orchestrator, running, wait_for
from nats.aio.client import Client

from remediation_orchestrator.bus import topology
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.lease import JetStreamLease
from remediation_orchestrator.bus.port import LeaseState, LogUnreachableError, stream_name
from remediation_orchestrator.events import (
    CellName,
    CreateWorkflow,
    ExecutionId,
    Fingerprint,
    OrchestratorStarted,
    Position,
    RemediationId,
    RoutingDecided,
    StoredMessage,
    Target,
    WorkflowRef,
    WorkflowRevoked,
    decode,
    encode,
    encode_frame,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS, Drift
from remediation_orchestrator.orchestrator.service import Orchestrator

PATIENCE_SECONDS = 20
JUNK_PIECES = 2_500  # More than one batch of a reader's.


class Vandal:
    """Somebody who may send signals, and names other subjects as the reply."""

    def __init__(self, connection: Client, log: JetStreamLog) -> None:
        self._connection = connection
        self._log = log
        self._stream = stream_name(log.cell)

    async def acknowledgement(self, subject: str) -> None:
        """Have the answer to a publish stored."""
        signal = subjects.signal(self._log.cell, "vandal")
        await self._connection.publish(signal, b"nothing", reply=subject)
        await self._until_there(subject)

    async def answer(self, subject: str, verb: str = "INFO", body: bytes = b"{}") -> None:
        """Have the answer to a question stored."""
        await self._connection.publish(f"$JS.API.STREAM.{verb}.{self._stream}", body, reply=subject)
        await self._until_there(subject)

    async def _until_there(self, subject: str) -> None:
        await self._connection.flush()
        if subject.startswith("ro."):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await self._log.next_on(subject, 0) is None:
                    pass  # Each question is a turn around the broker.


@pytest.fixture
def vandal(connection: Client, log: JetStreamLog) -> Vandal:
    """One of this test's cell."""
    return Vandal(connection, log)


@pytest.fixture
async def active(connection: Client, log: JetStreamLog, cell: CellName) -> AsyncIterator[Orchestrator]:
    """An orchestrator that leads."""
    one = await orchestrator(connection, cell)
    async with running(one):
        yield one


async def decides(log: JetStreamLog, target: str) -> None:
    """Publish a signal, and wait for its command."""
    at = await log.append(subjects.signal(log.cell, "test"), bare(target=target))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow) and event.execution == f"wfe-{at}")


async def follows(standby: Orchestrator, log: JetStreamLog) -> None:
    """Wait until it knows who leads: between two pieces of the log that it reads it looks who has the lease."""
    for number in range(3):
        await decides(log, f"read{number}")
        async with asyncio.timeout(PATIENCE_SECONDS):
            tail = await log.last_sequence()
            while standby.fold.read < tail:
                await log.last_sequence()  # Each question is a turn around the broker.


async def starts(log: JetStreamLog) -> int:
    """How often somebody became active."""
    return sum(isinstance(event, OrchestratorStarted) for event in await events_of(log))


async def test_junk_on_the_decision_subject_deposes_nobody(
    connection: Client, log: JetStreamLog, cell: CellName, vandal: Vandal
) -> None:
    """Before anybody leads, while somebody does, and for whoever stands by and for the next."""
    decision = subjects.decision(cell)
    await vandal.acknowledgement(decision)
    await vandal.answer(decision)
    standby = await orchestrator(connection, cell, "o2")
    async with running(await orchestrator(connection, cell)):
        standing_by = asyncio.create_task(standby.run())
        for number in range(5):
            await vandal.acknowledgement(decision)
            await vandal.answer(decision, "MSG.GET", b'{"last_by_subj":"%b"}' % decision.encode())
            await decides(log, f"t{number}")
        assert await starts(log) == 1
    async with asyncio.timeout(PATIENCE_SECONDS):
        await standby.active.wait()
    await vandal.acknowledgement(decision)
    await decides(log, "after")
    standby.stop()
    await standing_by
    async with running(await orchestrator(connection, cell, "o3")):
        await decides(log, "last")
    assert await starts(log) == 3
    decided = [event.signal for event in await events_of(log) if isinstance(event, RoutingDecided)]
    assert len(decided) == len(set(decided)) == 7


async def test_a_frame_and_a_command_that_expect_nothing_depose_nobody_and_count_for_nothing(
    connection: Client, log: JetStreamLog, cell: CellName, active: Orchestrator
) -> None:
    """They are what whoever leads would have written, but for what it expects: nobody takes them for its own."""
    await decides(log, "before")
    head = active.fold.head_of_next("o1", datetime.now(UTC))
    start = OrchestratorStarted("evil", "99.0.0", log.identity)
    around = Attributes(id="x", source="/evil", time=datetime.now(UTC))
    await log.append(subjects.decision(cell), encode_frame([(head, around), (start, around)]))
    at = 1 + await log.last_sequence()
    command = CreateWorkflow(
        execution=ExecutionId(f"wfe-{at + 1}"),
        remediation=RemediationId(f"rr-{at + 1}"),
        fingerprint=Fingerprint("f"),
        target=Target("forged"),
        workflow=WorkflowRef("restart"),
        start_before=datetime.now(UTC),
        deadline=datetime.now(UTC),
        decided_at=Position("1-1"),
    )
    await log.append(subjects.command(cell, command), encode(command, around))
    await decides(log, "after")
    assert await starts(log) == 1
    assert [(one.drift, one.drift in HARMLESS) for one in await findings(log)] == [(Drift.JUNK, True)] * 2
    async with asyncio.timeout(PATIENCE_SECONDS):
        while active.fold.view.owed:
            await log.last_sequence()


async def test_a_flood_of_junk_stops_no_frame(
    connection: Client, log: JetStreamLog, cell: CellName, active: Orchestrator
) -> None:
    """Some two hundred a second: between any two looks there is more of it."""

    async def flood() -> None:
        while True:
            await connection.publish(subjects.decision(cell), b"junk")
            await asyncio.sleep(0.005)

    flooding = asyncio.create_task(flood())
    for number in range(3):
        await decides(log, f"t{number}")
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)
    assert await starts(log) == 1


async def test_junk_behind_the_newest_frame_is_read_in_one_go(
    connection: Client, log: JetStreamLog, cell: CellName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much of it there is, the leader is behind it after a few questions, and not after one for each."""
    asked: list[int] = []
    behind, append = JetStreamLog.behind, JetStreamLog.append
    pieces = [b"junk"] * JUNK_PIECES

    async def preceded(self: JetStreamLog, subject: str, payload: bytes, *, expect: int | None = None) -> int:
        while subject == subjects.decision(cell) and expect and pieces:
            await connection.publish(subject, pieces.pop())
        return await append(self, subject, payload, expect=expect)

    async def counted(self: JetStreamLog, subject: str, after: int) -> list[StoredMessage]:
        found = await behind(self, subject, after)
        asked.append(len(found))
        return found

    monkeypatch.setattr(JetStreamLog, "behind", counted)
    monkeypatch.setattr(JetStreamLog, "append", preceded)
    async with running(await orchestrator(connection, cell)):
        await decides(log, "t")
        assert await starts(log) == 1
    assert sum(asked) >= JUNK_PIECES
    assert len(asked) <= JUNK_PIECES / 20, f"{len(asked)} questions"


async def test_junk_on_a_commands_subject_holds_no_command_up(
    log: JetStreamLog, cell: CellName, vandal: Vandal, active: Orchestrator
) -> None:
    """One by one or together: each still stands there once, and nothing stays owed."""
    at = await log.append(subjects.signal(cell, "test"), bare(target="first"))
    await wait_for(log, lambda event: isinstance(event, CreateWorkflow))
    following = at + 3  # Its frame and its command come before the next signal, if nothing else does.
    soon = [f"wfe-{following + number}" for number in range(1, 8)]
    for execution in soon:
        await vandal.answer(f"ro.{cell}.command.workflow.{execution}", "MSG.GET", b'{"seq":1}')
    many = b"[" + b",".join(bare(target=f"m{number}") for number in range(40)) + b"]"
    batch = await log.append(subjects.signal(cell, "test"), many)
    wanted = {f"wfe-{batch}-{number}" for number in range(40)}
    async with asyncio.timeout(PATIENCE_SECONDS):
        for execution in sorted(wanted):
            await wait_for(log, lambda event, one=execution: getattr(event, "execution", None) == one)  # type: ignore[misc]
    for number in range(4):
        await decides(log, f"t{number}")
    commands = [event.execution for event in await events_of(log) if isinstance(event, CreateWorkflow)]
    assert len(commands) == len(set(commands)) == 45
    async with asyncio.timeout(PATIENCE_SECONDS):
        while active.fold.view.owed:
            await log.last_sequence()


async def test_junk_behind_a_command_does_not_have_it_sent_again(
    connection: Client, log: JetStreamLog, cell: CellName, vandal: Vandal
) -> None:
    """What counts stands once on its subject, whatever stands before or behind it."""
    from remediation_orchestrator.orchestrator.dispatch import Dispatcher

    dispatcher = Dispatcher(log, "/test", lambda: datetime.now(UTC), lambda: datetime.now(UTC))
    subject = f"ro.{cell}.execution.wfe-7"
    await vandal.acknowledgement(subject)
    now = (await log.last(subject)).recorded_at  # type: ignore[union-attr]
    for _ in range(2):
        await dispatcher._store_revocation(WorkflowRevoked(ExecutionId("wfe-7")), now)
        await vandal.acknowledgement(subject)
    found = [
        one for message in [m async for m in log.read()] if message.subject == subject for one in decode(message)
    ]
    assert sum(isinstance(getattr(one, "event", None), WorkflowRevoked) for one in found) == 1


async def test_junk_on_the_lease_is_written_over(
    connection: Client, log: JetStreamLog, cell: CellName, vandal: Vandal
) -> None:
    """Whoever leads keeps it, and nobody is kept from taking it."""
    key = topology.lease_subject(cell)
    lease = await JetStreamLease.open(connection, cell)
    await vandal.answer(key)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await lease.look()).standing is not LeaseState.LAPSED:
            pass  # Each question is a turn around the broker.
    async with running(await orchestrator(connection, cell)):
        for number in range(20):
            await vandal.answer(key)
            await vandal.acknowledgement(subjects.signal(cell, "x"))
            await decides(log, f"t{number}")
        assert await starts(log) == 1
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await lease.holder() != "o1":  # noqa: ASYNC110 - nobody sets an event for it
                await asyncio.sleep(0.05)  # Asked without a pause, the broker has no time for who renews.


async def test_a_bucket_of_leases_that_is_deleted_is_made_again_and_deposes_nobody(
    connection: Client, log: JetStreamLog, cell: CellName, server: object
) -> None:
    """And who stands by takes over as ever."""
    standby = await orchestrator(connection, cell, "o2")
    async with running(await orchestrator(connection, cell)):
        standing_by = asyncio.create_task(standby.run())
        await follows(standby, log)
        await connection.jetstream().delete_stream(topology.LEASE_STREAM)
        await _leads_on(connection, log)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await standby.active.wait()
    standby.stop()
    await standing_by


async def test_whoever_comes_when_the_bucket_of_leases_has_gone_looks_for_a_leader_first(
    connection: Client, log: JetStreamLog, cell: CellName
) -> None:
    """Who leads has its lease again within a renewal, and who is new has seen nobody hold it."""
    async with running(await orchestrator(connection, cell)):
        await connection.jetstream().delete_stream(topology.LEASE_STREAM)
        newcomer = await orchestrator(connection, cell, "o2")
        following = asyncio.create_task(newcomer.run())
        await _leads_on(connection, log)
        newcomer.stop()
        await following


async def _leads_on(connection: Client, log: JetStreamLog) -> None:
    """Wait until o1 has its lease again, and see that nobody has begun beside it."""
    lease = await _there_again(connection, log.cell)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await lease.holder() != "o1":
            pass  # Each question is a turn around the broker.
    await decides(log, "meanwhile")
    assert await starts(log) == 1


async def _there_again(connection: Client, cell: CellName) -> JetStreamLease:
    from nats.js.errors import NotFoundError

    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await connection.jetstream().stream_info(topology.LEASE_STREAM)
                return await JetStreamLease.open(connection, cell)
            except (NotFoundError, LogUnreachableError):
                continue


async def test_junk_on_the_decision_subject_keeps_nobody_from_taking_over(
    connection: Client, log: JetStreamLog, cell: CellName
) -> None:
    """It comes ten times a second for as long as nobody leads, and is no sign of life of whoever led."""
    async with running(await orchestrator(connection, cell, "o1")):
        await decides(log, "before")
    lease = await JetStreamLease.open(connection, cell)
    assert await lease.acquire("dead")
    littering = asyncio.create_task(litter(connection, subjects.decision(cell)))
    async with asyncio.timeout(PATIENCE_SECONDS), running(await orchestrator(connection, cell, "o2")):
        await decides(log, "after")
    littering.cancel()


async def litter(connection: Client, subject: str) -> None:
    """Store junk, again and again."""
    while True:
        await connection.publish(subject, b"junk")
        await asyncio.sleep(0.1)
