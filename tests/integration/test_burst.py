"""However much comes at once: others have their turns, what waits is bounded, and nobody is replaced for it."""

import asyncio
from datetime import UTC, datetime

import pytest
from cell import bare, orchestrator, running
from nats.aio.client import Client

from remediation_orchestrator.bus.clock import BrokerClock
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.memory import FaultPoint, MemoryCell, MemoryLog
from remediation_orchestrator.bus.port import FULL, TooLargeError, stream_name
from remediation_orchestrator.bus.topology import PAYLOAD_MIN
from remediation_orchestrator.events import (
    CellName,
    OrchestratorStarted,
    Recorded,
    RoutingDecided,
    SignalRejected,
    StoredMessage,
    decode,
    subjects,
)
from remediation_orchestrator.events.codec import join_frame
from remediation_orchestrator.orchestrator.appending import FillWatch
from remediation_orchestrator.orchestrator.frames import STORED_MAX
from remediation_orchestrator.orchestrator.inbox import INBOX_BYTES_MAX, Inbox
from remediation_orchestrator.orchestrator.lead import ROUND_MESSAGES_MAX, ROUND_RECORDS_MAX
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator

MAIN = CellName("main")
SIGNALS = "ro.main.signal.test"
PATIENCE_SECONDS = 60
ARRAY = join_frame([b'{"name":"Crash","target":{"name":"t%d"}}' % number for number in range(500)])


async def decided(log: MemoryLog | JetStreamLog, wanted: int, kind: type) -> list[list[Recorded]]:
    """Follow a log until there are so many answers of a kind; the frames in which they stand."""
    frames, found = [], 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for message in log.read(follow=True):
            if message.subject == subjects.decision(log.cell):
                frames.append([one for one in decode(message) if isinstance(one, Recorded)])
                found += sum(isinstance(one.event, kind) for one in frames[-1])
                if found >= wanted:
                    return frames
    raise AssertionError("a log that is followed has no end")


async def test_rounds_are_bounded_by_records_and_others_have_their_turns() -> None:
    """Arrays of many signals: a frame covers a few, and between any two pieces of work the event loop is free."""
    cell = MemoryCell(MAIN, lambda: datetime.now(UTC))
    log = cell.log()
    service = Orchestrator(log, cell.lease(), BrokerClock(datetime.now(UTC)), Identity("o1", "test"))
    async with running(service):
        for _ in range(40):
            await log.append(SIGNALS, ARRAY)
        turns = 0

        async def live() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        living = asyncio.create_task(live())
        frames = await decided(log, 40 * 500, RoutingDecided)
        living.cancel()
    verdicts = [sum(isinstance(one.event, RoutingDecided) for one in frame) for frame in frames]
    assert sum(verdicts) == 40 * 500
    assert max(verdicts) < ROUND_RECORDS_MAX + 500 <= STORED_MAX + 500
    assert turns > 2 * len(frames)


async def test_nothing_is_lost_between_two_rounds_that_are_full() -> None:
    """Thousands of single signals at once: each has its verdict, however many rounds they take."""
    cell, signals = MemoryCell(MAIN, lambda: datetime.now(UTC)), 3 * ROUND_MESSAGES_MAX + 1
    log = cell.log()
    service = Orchestrator(log, cell.lease(), BrokerClock(datetime.now(UTC)), Identity("o1", "test"))
    async with running(service):
        for _ in range(signals):
            cell.store(SIGNALS, bare(), None, None)
        await decided(log, signals, RoutingDecided)
        assert service.fold.broken is None


async def test_a_burst_replaces_nobody(
    connection: Client, server: EmbeddedServer, log: JetStreamLog, cell: CellName
) -> None:
    """Signals in large arrays and arrays of nothing, at a pair: both are answered by the one that led before."""
    standby = await orchestrator(connection, cell, "o2")
    async with running(await orchestrator(connection, cell)), connected(server.url) as publishing:
        standing_by = asyncio.create_task(standby.run())
        theirs = await JetStreamLog.open(publishing, cell)
        for _ in range(6):
            await theirs.append(subjects.signal(cell, "test"), b"[" + b",".join([b"1"] * 131_000) + b"]")
        for _ in range(40):
            await theirs.append(subjects.signal(cell, "test"), ARRAY)
        frames = await decided(theirs, 40 * 500, RoutingDecided)
    standby.stop()
    await standing_by
    events = [one.event for frame in frames for one in frame]
    assert sum(isinstance(event, OrchestratorStarted) for event in events) == 1
    assert sum(isinstance(event, SignalRejected) for event in events) == 6


async def test_what_is_read_ahead_is_bounded_in_bytes() -> None:
    """However large each message is; one always has room."""
    inbox, large = Inbox(), bytes(INBOX_BYTES_MAX // 2 + 1)
    message = StoredMessage(1, datetime.now(UTC), SIGNALS, large)
    await inbox.put(message)
    await inbox.put(message)
    third = asyncio.create_task(inbox.put(message))
    await asyncio.sleep(0)
    assert not third.done()
    assert inbox.next() is message
    await third


async def test_the_guard_counts_what_is_still_to_be_answered() -> None:
    """A log that is half full, and whose backlog will take more than the other half, takes no signals."""
    cell = MemoryCell(MAIN, lambda: datetime.now(UTC), max_bytes=1_000_000)
    log = cell.log()
    for _ in range(100):
        await log.append(SIGNALS, b"1" * 5_000)
    guard = FillWatch(log, 0.0)
    await guard.watch(1)
    guard.stored(bytes(10 * 4_000))
    await guard.watch(11)
    assert (await log.room()).fill < FULL
    assert not (await log.room()).takes_signals
    guard.stored(b"")
    await guard.watch(100)
    assert (await log.room()).takes_signals


async def test_a_broker_that_takes_no_frame_is_told_of_at_the_start(
    connection: Client, cell: CellName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that says what to set, before anything is made."""
    monkeypatch.setattr(connection, "_max_payload", 64 * 1024)
    with pytest.raises(TooLargeError, match=f"at most 65,536 bytes.*{PAYLOAD_MIN:,}: set `max_payload`"):
        await JetStreamLog.ensure(connection, cell)
    assert stream_name(cell) not in [one.config.name for one in await connection.jetstream().streams_info()]


async def test_a_frame_that_the_broker_will_never_take_is_not_tried_for_ever() -> None:
    """Its configuration was changed while we ran: the orchestrator ends and says so."""
    cell = MemoryCell(MAIN, lambda: datetime.now(UTC))

    async def refuse(moment: FaultPoint, subject: str) -> None:
        if moment is FaultPoint.STORE and subject == subjects.decision(MAIN):
            raise TooLargeError("more than the broker takes")

    service = Orchestrator(cell.log(refuse), cell.lease(), BrokerClock(datetime.now(UTC)), Identity("o1", "test"))
    with pytest.raises(TooLargeError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await service.run()


async def test_a_log_that_is_deleted_ends_whoever_leads_in_the_middle_of_storing(
    connection: Client, log: JetStreamLog, cell: CellName
) -> None:
    """What was to be stored has nowhere to go."""
    from remediation_orchestrator.bus.port import LogError

    service = await orchestrator(connection, cell)
    leading = asyncio.create_task(service.run())
    await asyncio.wait_for(service.active.wait(), PATIENCE_SECONDS)
    await log.append(subjects.signal(cell, "test"), bare())
    await connection.jetstream().delete_stream(stream_name(cell))
    with pytest.raises(LogError):
        await asyncio.wait_for(leading, PATIENCE_SECONDS)
