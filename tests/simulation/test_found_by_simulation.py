"""What simulated days have found, told again as the shortest story of each."""

import asyncio
from datetime import datetime

import msgspec

from remediation_orchestrator.bus.memory import FaultPoint, MemoryCell, MemoryLog
from remediation_orchestrator.bus.memory_lease import MemoryLease
from remediation_orchestrator.bus.port import ArchivedError, LogUnreachableError
from remediation_orchestrator.events import (
    ExecutionId,
    Recorded,
    RemediationCancelled,
    RemediationId,
    RoutingDecided,
    WorkflowStarted,
    decode,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator
from remediation_orchestrator.simulation.clock import MIDNIGHT, ProcessClock, SkewedClock, broker_now, run
from remediation_orchestrator.simulation.line import CELL
from remediation_orchestrator.simulation.orchestrators import PACE, TTL

SIGNAL = subjects.signal(CELL, "test")
WITH_WORKFLOW = msgspec.json.encode({"name": "Slow", "target": {"name": "t"}, "workflow": {"id": "restart"}})
OF_ANOTHER = msgspec.json.encode({"name": "Slow", "target": {"name": "another"}})
TO_ANALYSE = msgspec.json.encode({"name": "Slow", "target": {"name": "t"}})


class Stage:
    """A cell with one orchestrator, on whose appends a story may act."""

    def __init__(self, off: float = 0.0, cell: MemoryCell | None = None) -> None:
        """`off` is by how many seconds the orchestrator's machine is wrong about the time of day."""
        self.cell = cell or MemoryCell(CELL, broker_now)
        self.late: dict[str, float] = {}
        """By how many seconds an append on a subject is late."""
        self.refused: dict[str, asyncio.Event] = {}
        """Until when appends on a subject are refused."""
        log = MemoryLog(self.cell, self._at)
        clock = ProcessClock(SkewedClock(off=off))
        self.service = Orchestrator(
            log, MemoryLease(self.cell.leased, TTL), clock, Identity("o2" if cell else "o1", "test"), pace=PACE
        )
        self.task = asyncio.create_task(self.service.run())

    @classmethod
    async def led(cls) -> "Stage":
        """Such a cell, whose orchestrator leads it."""
        stage = cls()
        await stage.until_decided()
        return stage

    async def _at(self, moment: FaultPoint, subject: str) -> None:
        if moment is FaultPoint.STORE and subject in self.late:
            await asyncio.sleep(self.late.pop(subject))
        if moment is FaultPoint.STORE and subject in self.refused and not self.refused[subject].is_set():
            raise LogUnreachableError("it is away")

    async def until_decided(self) -> int:
        """Publish nothing, wait for ten quiet seconds, and return the log's length."""
        await asyncio.sleep(10)
        return len(self.cell.messages)

    async def decided(self, signal: bytes) -> str:
        """A signal comes, and is decided."""
        place = self.store(SIGNAL, signal)
        await self.until_decided()
        return place

    def store(self, subject: str, payload: bytes) -> str:
        """Somebody publishes."""
        newest = self.cell.newest(subject)
        behind = (newest.sequence if newest else 0) if subjects.parse(subject).family.is_fenced else None
        return str(self.cell.store(subject, payload, behind, None))

    def cancel(self, remediation: str) -> None:
        """An operator cancels."""
        fact = RemediationCancelled(RemediationId(remediation), by="op", reason="enough")
        self.store(subjects.operator(CELL, fact), encode(fact, Attributes(id="c", source="/t", time=MIDNIGHT)))

    def start(self, execution: str) -> None:
        """An executor claims."""
        fact = WorkflowStarted(ExecutionId(execution), executor="e1")
        payload = encode(fact, Attributes(id="s", source="/t", time=MIDNIGHT))
        self.cell.store(subjects.execution(CELL, fact.execution), payload, 0, None)


def test_a_cancel_stands_behind_the_frame_that_folds_the_start_it_answers() -> None:
    """Found by seed 2: after a restart the cancel was owed again for ever, and audit knew no decision for it."""

    async def story() -> None:
        stage = await Stage.led()
        signal = await stage.decided(WITH_WORKFLOW)
        execution = f"wfe-{signal}"
        stage.late[subjects.execution(CELL, ExecutionId(execution))] = 5.0
        stage.cancel(f"rr-{signal}")
        await asyncio.sleep(1)
        stage.start(execution)  # The revocation is under way, and comes second.
        await stage.until_decided()
        cancel = next(one for one in stage.cell.messages if ".command.cancel." in one.subject)
        restarted = Fold()
        for message in stage.cell.messages:
            restarted.take(message)
        assert ("cancel", execution) not in restarted.view.owed
        assert restarted.view.tables() == stage.service.fold.view.tables()
        assert cancel.sequence == len(stage.cell.messages)
        assert list(audit(stage.cell.messages)) == []

    run(story())


def test_a_command_under_way_when_its_remediation_ends_is_no_drift() -> None:
    """Found by seed 12: the log is as it must be, and audit said that nobody owed the command."""

    async def story() -> None:
        stage = await Stage.led()
        signal = str(len(stage.cell.messages) + 1)
        stage.late[f"ro.{CELL}.command.analyze.rr-{signal}"] = 5.0
        stage.store(SIGNAL, TO_ANALYSE)
        await asyncio.sleep(1)
        stage.cancel(f"rr-{signal}")
        await stage.until_decided()
        assert any(".command.analyze." in one.subject for one in stage.cell.messages)
        assert list(audit(stage.cell.messages)) == []

    run(story())


def test_a_command_that_could_not_be_stored_in_time_is_not_sent_any_more() -> None:
    """Found by seed 8: the log was away for longer than `starting`, and the command came all the same."""

    async def story() -> None:
        stage = await Stage.led()
        away = asyncio.Event()
        signal = str(len(stage.cell.messages) + 1)
        command = f"ro.{CELL}.command.workflow.wfe-{signal}"
        stage.refused[command] = away
        stage.store(SIGNAL, WITH_WORKFLOW)
        await asyncio.sleep(DEFAULT.timeouts.starting.total_seconds() + 60)
        away.set()
        await stage.until_decided()
        subjects_seen = [one.subject for one in stage.cell.messages]
        assert command not in subjects_seen
        assert subjects.execution(CELL, ExecutionId(f"wfe-{signal}")) in subjects_seen
        assert list(audit(stage.cell.messages)) == []

    run(story())


def test_a_command_grows_too_old_although_the_moments_of_its_sender_stand_still() -> None:
    """Found by full seed 310: a machine two hours slow slept between a frame and the command that it owed."""

    async def story() -> None:
        stage = await Stage.led()
        await stage.decided(OF_ANOTHER)
        stage.service.stop()
        await stage.task
        slow = Stage(-7_200.0, stage.cell)
        await slow.until_decided()
        away = asyncio.Event()
        command = f"ro.{CELL}.command.workflow.wfe-{len(stage.cell.messages) + 1}"
        slow.refused[command] = away
        await slow.decided(WITH_WORKFLOW)
        before = slow.service.fold.view.newest
        await asyncio.sleep(DEFAULT.timeouts.starting.total_seconds() + 60)
        away.set()
        await slow.until_decided()
        assert slow.service.fold.view.newest == before
        assert command not in [one.subject for one in stage.cell.messages]

    run(story())


def test_a_leader_whose_log_has_lost_what_it_read_behind_its_newest_frame_stops() -> None:
    """No sequence is missing, and the log grows again beyond what was lost: only the record tells it."""

    async def story() -> None:
        stage = await Stage.led()
        signal = await stage.decided(WITH_WORKFLOW)
        stage.start(f"wfe-{signal}")
        await stage.until_decided()
        claim = stage.cell.messages[-1]
        assert claim.subject == subjects.execution(CELL, ExecutionId(f"wfe-{signal}"))
        stage.cell.keep(stage.cell.messages[:-1], last=claim.sequence - 1)
        stage.store(SIGNAL, WITH_WORKFLOW)
        assert stage.service.active.is_set()
        await asyncio.sleep(2 * PACE.look)
        assert not stage.service.active.is_set()
        assert f"it has another record at {claim.sequence} than it had" in (
            await stage.service.why_not_ready() or ""
        )

    run(story())


def test_a_leader_that_slept_while_another_led_leads_no_older_store_of_what_it_knows_itself() -> None:
    """All that it has read is there; that the log had come further only the other's mark tells."""

    async def story() -> None:
        stage = await Stage.led()
        await stage.decided(WITH_WORKFLOW)
        await asyncio.sleep(2)
        marks, length = stage.cell.marks, len(stage.cell.messages)
        revision, written = await marks.read()
        ahead = {**msgspec.json.decode(written), "sequence": length + 7, "read": length + 9}
        await marks.write(msgspec.json.encode(ahead), revision)
        await asyncio.sleep(2 * PACE.look)
        stage.store(SIGNAL, WITH_WORKFLOW)
        await asyncio.sleep(20)
        assert not stage.service.active.is_set()
        assert "it is older than it was" in (await stage.service.why_not_ready() or "")
        assert len(stage.cell.messages) == length + 1
        assert (await marks.read())[0] == revision + 1

    run(story())


def test_who_stood_still_before_its_first_frame_leads_no_log_that_others_have_led_on() -> None:
    """It has looked, and slept; what others have decided meanwhile is gone, and only their mark tells of it."""

    async def story() -> None:
        stage = await Stage.led()
        await stage.decided(WITH_WORKFLOW)
        stage.service.stop()
        await asyncio.sleep(10)
        later = Stage(cell=stage.cell)
        later.late[subjects.decision(CELL)] = 30.0
        await asyncio.sleep(5)
        marks, length = stage.cell.marks, len(stage.cell.messages)
        revision, written = await marks.read()
        ahead = {**msgspec.json.decode(written), "sequence": length + 7, "read": length + 9}
        await marks.write(msgspec.json.encode(ahead), revision)
        await asyncio.sleep(40)
        before = len(stage.cell.messages)
        assert before > length
        stage.store(SIGNAL, WITH_WORKFLOW)
        await asyncio.sleep(20)
        assert not later.service.active.is_set()
        assert "it is older than it was" in (await later.service.why_not_ready() or "")
        assert len(stage.cell.messages) == before + 1
        assert (await marks.read())[0] == revision + 1

    run(story())


def test_who_stood_still_while_what_it_was_to_read_was_archived_begins_anew() -> None:
    """It ends neither itself nor whoever started it."""

    async def story() -> None:
        stage = await Stage.led()
        stage.service.inbox.fail(ArchivedError("it was archived up to 248 while it was read"))
        stage.service.inbox.wake()
        stage.store(SIGNAL, WITH_WORKFLOW)
        await stage.until_decided()
        assert not stage.task.done()
        assert await stage.service.why_not_ready() is None

    run(story())


def test_a_command_says_a_time_no_earlier_than_its_verdict() -> None:
    """Found by seed 45: a machine was a quarter of an hour slow, and its command could be begun so much too late.

    By the command's time an executor tells how the clocks differ, and so how long it may still begin."""

    async def story() -> None:
        stage = await Stage.led()
        # Its moment is the broker's: later than anything that the next one reckons.
        await stage.decided(OF_ANOTHER)
        stage.service.stop()
        await stage.task
        slow = Stage(-900.0, stage.cell)
        await slow.until_decided()
        signal = await slow.decided(WITH_WORKFLOW)
        records = [one for message in stage.cell.messages for one in decode(message) if isinstance(one, Recorded)]
        proceeds = next(one for one in records if getattr(one.event, "execution", None) == f"wfe-{signal}")
        command = next(
            one for one in stage.cell.messages if one.subject.endswith(f".command.workflow.wfe-{signal}")
        )
        assert isinstance(proceeds.event, RoutingDecided)
        sent = datetime.fromisoformat(msgspec.json.decode(command.payload)["time"])
        assert proceeds.event.situation.now <= sent < command.recorded_at

    run(story())


def test_a_leader_that_slept_through_a_restored_store_marks_nothing_of_it() -> None:
    """Found by seed 110: its frame was stored in the older store and marked, so nobody led the good one."""

    async def story() -> None:
        stage = await Stage.led()
        signal = await stage.decided(WITH_WORKFLOW)
        stage.start(f"wfe-{signal}")
        held = stage.refused[subjects.decision(CELL)] = asyncio.Event()
        await stage.decided(OF_ANOTHER)
        good = list(stage.cell.messages)
        stage.cell.keep(good[:-2], last=len(good) - 2)  # The claim and the signal are behind its newest frame.
        held.set()
        await stage.until_decided()
        assert not stage.service.active.is_set()
        stage.cell.keep(good, last=len(good))
        await asyncio.sleep(TTL.total_seconds())
        assert stage.service.active.is_set(), await stage.service.why_not_ready()

    run(story())
