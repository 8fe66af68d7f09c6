"""The broker's clock steps, either way, under an orchestrator that leads: the real shell on a log in memory."""

import asyncio
from datetime import UTC, datetime, timedelta

from cell import bare, running, tell, wait_for

from remediation_orchestrator.bus.clock import BrokerClock
from remediation_orchestrator.bus.memory import MemoryCell, MemoryLog
from remediation_orchestrator.events import (
    CellName,
    DecisionFrame,
    Event,
    ExecutionId,
    Proceed,
    Recorded,
    RoutingDecided,
    StoredMessage,
    WorkflowStarted,
    decode,
    subjects,
)
from remediation_orchestrator.orchestrator.lead import PACE
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator
from remediation_orchestrator.orchestrator.succession import STUCK

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
DECADE = timedelta(days=3_650)
SECOND = timedelta(seconds=1)


class Stepped:
    """A cell whose broker's clock is set by hand, beside a machine whose own clock is right."""

    def __init__(self) -> None:
        self.own = BrokerClock(START, monotonic=asyncio.get_running_loop().time)
        self.step = timedelta(0)
        self.cell = MemoryCell(CellName("main"), lambda: self.own.reckoning() + self.step)
        self.log: MemoryLog = self.cell.log()
        self.clock = BrokerClock(START, monotonic=asyncio.get_running_loop().time)
        self.service = Orchestrator(self.log, self.cell.lease(), self.clock, Identity("o1", "test"))

    async def signal(self, name: str) -> RoutingDecided:
        """Publish a signal, and return its verdict."""
        place = await self.log.append(subjects.signal(self.log.cell, "test"), bare(name=name, target=name))
        found = await wait_for(self.log, lambda event: _answers(event, place), place)
        assert isinstance(found.event, RoutingDecided)
        return found.event

    def is_equal(self) -> bool:
        """Whether an audit has nothing to say."""
        return not [one for one in audit(self.cell.messages) if one.drift not in HARMLESS]


def _answers(event: Event, place: int) -> bool:
    return isinstance(event, RoutingDecided) and event.signal == str(place)


async def test_a_broker_s_clock_that_steps_back_makes_no_signal_old() -> None:
    """An hour: more than any age that a signal may have."""
    stepped = Stepped()
    async with running(stepped.service):
        before = await stepped.signal("first")
        stepped.step = timedelta(hours=-1)
        after = await stepped.signal("second")
        assert isinstance(after.verdict, Proceed)
        assert after.situation.now >= before.situation.now
        assert after.situation.occurred_at is not None
        assert after.situation.occurred_at >= before.situation.now
    assert stepped.is_equal()


async def test_a_dead_leader_is_replaced_where_the_broker_s_clock_keeps_its_lease() -> None:
    """Renewed under a stamp of another year, it would be held until then."""
    stepped = Stepped()
    stepped.step = DECADE
    async with running(stepped.service):
        await stepped.signal("before")
    assert await stepped.cell.lease().acquire("dead")
    stepped.step = -SECOND * 3_600
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with running(
        Orchestrator(stepped.log, stepped.cell.lease(), stepped.clock, Identity("o2", "test"))
    ) as one:
        assert one.active.is_set()
        assert loop.time() - began >= STUCK * PACE.renew, "its holder has its time"
        await stepped.signal("after")
        await stepped.signal("when that was read back")
        assert one.clock.remark is not None
        assert await one.why_not_ready() is None, "nobody is sent elsewhere by it"
    assert stepped.is_equal()


async def test_a_fact_that_had_to_be_bounded_has_a_frame_even_if_nothing_is_decided() -> None:
    """A stamp of another decade, on a fact that is nobody's: what comes after it is judged at its own time."""
    stepped = Stepped()
    async with running(stepped.service):
        await stepped.signal("first")
        stepped.step = DECADE
        run = ExecutionId("wfe-99")
        place = await tell(stepped.log, WorkflowStarted(run, executor="e1"), run)
        found = await wait_for(stepped.log, lambda event: _covers(event, place), place)
        stepped.step = timedelta(0)
        after = await stepped.signal("second")
        assert isinstance(found.event, DecisionFrame)
        assert len(decode(_at(stepped, found))) == 1
        assert after.situation.now <= stepped.own.reckoning() + 6 * SECOND
        assert isinstance(after.verdict, Proceed)
    assert stepped.is_equal()


def _covers(event: Event, place: int) -> bool:
    return isinstance(event, DecisionFrame) and event.as_of >= place


def _at(stepped: Stepped, record: Recorded) -> StoredMessage:
    return stepped.cell.messages[int(record.position.partition("-")[0]) - 1]
