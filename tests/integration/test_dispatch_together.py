"""The commands of a round with many are stored together; whatever becomes of that, each stands in the log once."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from cell import bare, events_of, findings, orchestrator, running, wait_for
from nats.aio.client import Client

from remediation_orchestrator.bus.clock import BrokerClock
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.memory import FaultPoint, MemoryCell, MemoryLog
from remediation_orchestrator.bus.port import EventLog, UnknownOutcomeError
from remediation_orchestrator.bus.storing import BATCH
from remediation_orchestrator.events import CellName, CreateWorkflow, StoredMessage, subjects
from remediation_orchestrator.orchestrator.dispatch import FLOOD_TRIES, Dispatcher, _Record
from remediation_orchestrator.orchestrator.lead import PACE
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator

MANY = 2 * PACE.together


def signals(count: int) -> bytes:
    """So many at once, about a target each."""
    return b"[" + b",".join(bare(target=f"target-{n}") for n in range(count)) + b"]"


async def commands(log: EventLog, count: int) -> list[StoredMessage]:
    """The first so many commands."""
    found = []
    async for message in log.read(follow=True):
        if ".command.workflow." in message.subject:
            found.append(message)
            if len(found) == count:
                break
    return found


@pytest.mark.parametrize(("count", "together"), [(PACE.together - 1, False), (PACE.together, True), (600, True)])
async def test_many_commands_of_a_round_are_stored_together(
    connection: Client, log: JetStreamLog, cell: CellName, count: int, together: bool
) -> None:
    """Each on its own subject; a few are sent by themselves, and more than a batch takes in several."""
    async with running(await orchestrator(connection, cell)), asyncio.timeout(30):
        await log.append(subjects.signal(cell, "test"), signals(count))
        found = await commands(log, count)
    assert len({message.subject for message in found}) == count
    assert all((BATCH in (message.headers or {})) == together for message in found)
    assert await findings(log) == []


class OneBatchFails:
    """The first batch is lost on its way, or its answer is."""

    def __init__(self, moment: FaultPoint) -> None:
        self._moment = moment
        self.struck = 0

    async def __call__(self, moment: FaultPoint, subject: str) -> None:
        """Strike once."""
        if moment is self._moment and ".command." in subject and not self.struck:
            self.struck += 1
            raise UnknownOutcomeError(f"{subject}: no answer")


@pytest.mark.parametrize("moment", [FaultPoint.STORE, FaultPoint.ANSWER])
async def test_after_a_batch_that_failed_every_command_is_in_the_log_once(moment: FaultPoint) -> None:
    """Whether it was stored or not: one by one they are admitted once."""
    loop = asyncio.get_running_loop()
    clock = BrokerClock(datetime(2026, 11, 21, 10, tzinfo=UTC), monotonic=loop.time)
    cell = MemoryCell(CellName("main"), clock.now)
    faults, log = OneBatchFails(moment), cell.log()
    async with running(Orchestrator(MemoryLog(cell, faults), cell.lease(), clock, Identity("o1", "test"))):
        await log.append(subjects.signal(log.cell, "test"), signals(MANY))
        async with asyncio.timeout(10):
            await commands(log, MANY)
        last = await log.append(subjects.signal(log.cell, "test"), bare(target="last"))
        await wait_for(log, _creates, last)
    assert faults.struck == 1
    sent = Counter(one.execution for one in await events_of(log) if isinstance(one, CreateWorkflow))
    assert len(sent) == MANY + 1
    assert set(sent.values()) == {1}


def _creates(event: object) -> bool:
    return isinstance(event, CreateWorkflow)


async def test_no_batch_asks_for_a_run_after_its_start_before() -> None:
    """Where the batch before it took long: what has become too late meanwhile is not sent."""
    now = datetime(2026, 11, 21, 10, tzinfo=UTC)
    cell = MemoryCell(CellName("main"), lambda: now)
    dispatcher = Dispatcher(cell.log(), "/test", lambda: now, lambda: now)
    before = now - timedelta(microseconds=1)
    late = _Record("ro.main.command.workflow.wfe-1", lambda _now: b"late", lambda: now, before)
    timely = _Record("ro.main.command.workflow.wfe-2", lambda _now: b"timely", lambda: now, now)
    await dispatcher._store_together([late])
    await dispatcher._store_together([late, timely])
    assert [one.payload for one in cell.messages] == [b"timely"]


class Flooded:
    """Somebody writes junk on a command's subject before each of so many tries of ours."""

    def __init__(self, cell: MemoryCell, times: int) -> None:
        self._cell = cell
        self._times = times

    async def __call__(self, moment: FaultPoint, subject: str) -> None:
        """Be faster."""
        if moment is FaultPoint.STORE and self._times:
            self._times -= 1
            self._cell.store(subject, b"junk", None, None)


async def test_whoever_floods_a_commands_subject_is_overtaken_and_it_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line for so many tries."""
    now = datetime(2026, 11, 21, tzinfo=UTC)
    cell = MemoryCell(CellName("main"), lambda: now)
    subject = "ro.main.command.notify.rr-1-1"
    log = cell.log(Flooded(cell, FLOOD_TRIES))
    await Dispatcher(log, "/x", lambda: now, lambda: now)._store(_Record(subject, lambda _: b"ours", lambda: now))
    newest = await log.last(subject)
    assert newest is not None
    assert newest.payload == b"ours"
    assert [one.message for one in caplog.records] == ["others write where a command is to stand"]


async def test_a_lot_of_junk_is_stepped_over_in_one_go(
    log: JetStreamLog, cell: CellName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the real server: three hundred pieces of it, and a handful of questions."""
    now = datetime.now(UTC)
    subject = f"ro.{cell}.command.notify.rr-1-1"
    await asyncio.gather(*(log.append(subject, b"junk") for _ in range(300)))
    asked: list[int] = []
    ask = log.next_on

    async def counted(subject: str, after: int) -> StoredMessage | None:
        asked.append(after)
        return await ask(subject, after)

    monkeypatch.setattr(log, "next_on", counted)
    await Dispatcher(log, "/x", lambda: now, lambda: now)._store(_Record(subject, lambda _: b"ours", lambda: now))
    newest = await log.last(subject)
    assert newest is not None
    assert (newest.payload, newest.sequence) == (b"ours", 301)
    assert len(asked) < 10
