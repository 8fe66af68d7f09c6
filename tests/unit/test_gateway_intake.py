"""What is stored once: with answers that are lost, other doors between, and bodies gathered otherwise."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from doors import alert, webhook

from remediation_orchestrator.bus.memory import FaultPoint, MemoryCell
from remediation_orchestrator.bus.port import LogFullError, LogUnreachableError, UnknownOutcomeError
from remediation_orchestrator.events import CellName, Recorded, decode
from remediation_orchestrator.gateway.formats import alertmanager
from remediation_orchestrator.gateway.frames import StoredBody, body_of, digest_of
from remediation_orchestrator.gateway.intake import BusyError, Intake, Stored
from remediation_orchestrator.gateway.items import LeftOut

CELL = CellName("main")


class Faults:
    """Raises what it is told to, at the first moments of one kind."""

    def __init__(self, moment: FaultPoint, *errors: Exception) -> None:
        self._moment = moment
        self._errors = list(errors)

    async def __call__(self, moment: FaultPoint, subject: str) -> None:
        """Strike, or let it pass."""
        await asyncio.sleep(0)
        if moment is self._moment and self._errors:
            raise self._errors.pop(0)


@pytest.fixture
def cell() -> MemoryCell:
    """What the broker keeps; its clock is this machine's."""
    return MemoryCell(CELL, lambda: datetime.now(UTC))


def body(*pods: str, status: str = "firing") -> StoredBody:
    """A body with an alert for each of these pods."""
    sent = webhook(*(alert(pod=pod, status=status) for pod in pods))
    items = [one for one in alertmanager.items_of(sent, datetime.now(UTC)) if not isinstance(one, LeftOut)]
    writing = body_of(CELL, "alertmanager", digest_of(sent), items, datetime.now(UTC))
    while True:
        try:
            next(writing)
        except StopIteration as done:
            found: StoredBody = done.value
            return found


@asynccontextmanager
async def running(
    cell: MemoryCell,
    faults: Callable[[FaultPoint, str], Awaitable[None]] | None = None,
    window: timedelta = timedelta(minutes=5),
) -> AsyncIterator[Intake]:
    """A door's intake on the cell."""
    intake = Intake(cell.log(faults), "alertmanager", window=window)
    task = asyncio.create_task(intake.run())
    try:
        yield intake
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def pods(cell: MemoryCell) -> list[str]:
    """The targets of all signals in the log."""
    records = [record for message in cell.messages for record in decode(message)]
    return [getattr(record.event, "target").name for record in records if isinstance(record, Recorded)]  # noqa: B009 - any event


async def test_what_waits_together_is_stored_together(cell: MemoryCell) -> None:
    """One message, and each body knows where its own events stand in it."""
    async with running(cell) as intake:
        stored = await asyncio.gather(
            intake.store(body("a")), intake.store(body("b", "c")), intake.store(body("d"))
        )
    assert [one.place.positions() for one in stored] == [["1-0"], ["1-1", "1-2"], ["1-3"]]
    assert len(cell.messages) == 1


async def test_a_lost_answer_is_looked_up_and_not_repeated(cell: MemoryCell) -> None:
    """The record is there: the second try finds it instead of storing it again."""
    async with running(cell, Faults(FaultPoint.ANSWER, UnknownOutcomeError("lost"))) as intake:
        stored = await intake.store(body("a"))
    assert stored.place.positions() == ["1-0"]
    assert pods(cell) == ["a"]


async def test_a_lost_append_is_made_again(cell: MemoryCell) -> None:
    """The record is not there."""
    async with running(cell, Faults(FaultPoint.STORE, UnknownOutcomeError("lost"))) as intake:
        stored = await intake.store(body("a"))
    assert (stored.place.positions(), stored.duplicate) == (["1-0"], False)
    assert pods(cell) == ["a"]


async def test_a_body_whose_door_died_unanswered_is_known_to_the_next(cell: MemoryCell) -> None:
    """Though it was gathered with others then, and comes alone now."""
    async with running(cell) as first:
        await asyncio.gather(*(first.store(body(pod)) for pod in "abc"))
    async with running(cell) as second:
        again = await second.store(body("b"))
    assert (again.place.positions(), again.duplicate) == (["1-1"], True)
    assert pods(cell) == ["a", "b", "c"]


async def test_of_two_doors_the_slower_reads_what_the_faster_stored(cell: MemoryCell) -> None:
    """Its append is refused, its own body found or stored behind."""
    async with running(cell) as one, running(cell) as two:
        await one.store(body("a"))
        await two.store(body("b"))
        await one.store(body("c"))
        again = await two.store(body("c"))
    assert again.duplicate
    assert pods(cell) == ["a", "b", "c"]


async def test_what_another_door_stores_while_it_waits_here_is_stored_once(cell: MemoryCell) -> None:
    """It is read for the batch before it, and belongs to the next."""
    waiting: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
    tasks: list[asyncio.Task[Stored]] = []

    async with running(cell) as other:

        async def overtake(moment: FaultPoint, subject: str) -> None:
            if moment is FaultPoint.STORE and not tasks:
                tasks.append(asyncio.create_task(intake.store(body("b"))))
                await asyncio.sleep(0)  # It waits here from now on.
                waiting.set_result((await asyncio.gather(other.store(body("a")), other.store(body("b"))))[1])

        async with running(cell, overtake) as intake:
            first = await intake.store(body("a"))
            second = await tasks[0]
    assert (first.duplicate, second.duplicate) == (True, True)
    assert second.place.positions() == (await waiting).place.positions()
    assert pods(cell) == ["a", "b"]


async def test_what_others_publish_on_the_subject_is_stepped_over(cell: MemoryCell) -> None:
    """A bare signal, an array of them, and bytes that are nothing."""
    async with running(cell) as intake:
        for payload in (
            b'{"name": "n", "target": {"name": "t"}}',
            b"[]",
            b'["x"]',
            b"\xff",
            b'[{"causationid": 3}]',
        ):
            cell.store(intake.subject, payload, None, None)
            await intake.store(body(str(len(cell.messages))))
    assert len(cell.messages) == 10


async def test_a_body_is_forgotten_when_its_window_is_over(cell: MemoryCell) -> None:
    """Then it is news again."""
    async with running(cell, window=timedelta(0)) as intake:
        await intake.store(body("a"))
        again = await intake.store(body("a"))
    assert (again.place.positions(), again.duplicate) == (["2-0"], False)


async def test_the_same_body_twice_at_once_is_one(cell: MemoryCell) -> None:
    """The second waits for the first."""
    async with running(cell) as intake:
        one, two = await asyncio.gather(intake.store(body("a")), intake.store(body("a")))
    assert (one.place, one.duplicate, two.duplicate) == (two.place, False, True)


@pytest.mark.parametrize("error", [LogFullError("full"), LogUnreachableError("away")])
async def test_a_log_that_cannot_take_it_is_an_error_for_all_who_wait(cell: MemoryCell, error: Exception) -> None:
    """Nothing is stored, and the next try is as good as the first."""
    async with running(cell, Faults(FaultPoint.STORE, error)) as intake:
        ends = await asyncio.gather(intake.store(body("a")), intake.store(body("b")), return_exceptions=True)
        assert [type(end) for end in ends] == [type(error)] * 2
        assert pods(cell) == []
        await intake.store(body("a"))
    assert pods(cell) == ["a"]


async def test_more_than_may_wait_is_refused(cell: MemoryCell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by what waits."""
    monkeypatch.setattr("remediation_orchestrator.gateway.intake.WAITING_BYTES_MAX", 10)
    async with running(cell) as intake:
        with pytest.raises(BusyError):
            await intake.store(body("a"))


async def test_a_door_that_closes_leaves_nobody_waiting(cell: MemoryCell) -> None:
    """What was not answered may be stored or not."""
    never = asyncio.Event()

    async def hang(moment: FaultPoint, subject: str) -> None:
        await never.wait()

    async with running(cell, hang) as intake:
        waiting = asyncio.create_task(intake.store(body("a")))
        await asyncio.sleep(0)
    with pytest.raises(UnknownOutcomeError):
        await waiting


LARGE = [f"pod-{number}" for number in range(1_500)]


async def test_a_lost_answer_about_several_messages_is_looked_up_too(cell: MemoryCell) -> None:
    """Another door's body behind them, and all."""
    large, other = body(*LARGE), body("other")
    assert len(large.frames) > 2

    async def lose(moment: FaultPoint, subject: str) -> None:
        if moment is FaultPoint.ANSWER and len(cell.messages) == len(large.frames):
            async with running(cell) as faster:
                await faster.store(other)
            raise UnknownOutcomeError("lost")

    async with running(cell, lose) as intake:
        stored = await intake.store(large)
        again = await intake.store(large)
    assert (stored.duplicate, again.duplicate, again.place.positions()) == (False, True, stored.place.positions())
    assert pods(cell) == [*LARGE, "other"]


async def test_a_large_body_is_known_to_the_next_door_by_all_of_its_messages(cell: MemoryCell) -> None:
    """Where each of its alerts stands."""
    async with running(cell) as first:
        stored = await first.store(body(*LARGE))
    async with running(cell) as second:
        again = await second.store(body(*LARGE))
    assert (again.duplicate, again.place.positions()) == (True, stored.place.positions())
    assert len(set(again.place.positions())) == len(LARGE)


async def test_what_waits_is_stored_in_its_order_however_often_it_turns(cell: MemoryCell) -> None:
    """Fire, resolve, fire, resolve, all before the first of them is stored."""
    fires, over = body("a"), body("a", status="resolved")
    async with running(cell) as intake:
        stored = await asyncio.gather(*(intake.store(one) for one in (fires, over, fires, over, over)))
    assert [one.duplicate for one in stored] == [False, False, False, False, True]
    assert [position for one in stored for position in one.place.positions()] == [
        "1-0",
        "1-1",
        "1-2",
        "1-3",
        "1-3",
    ]


@pytest.mark.parametrize("other", [body("a", "b"), body("b", "a", status="resolved"), None])
async def test_a_body_is_news_again_once_another_about_its_problem_is_stored(
    cell: MemoryCell, other: StoredBody | None
) -> None:
    """Also one that another door, or whoever else may write there, has stored behind it."""
    async with running(cell) as intake:
        first = await intake.store(body("a"))
        if other is None:
            bare = b'{"name": "DiskFilling", "target": {"name": "a", "namespace": "shop", "kind": "Pod"}}'
            cell.store(intake.subject, bare, None, None)
        else:
            async with running(cell) as door:
                await door.store(other)
        again = await intake.store(body("a"))
        unrelated = await intake.store(body("c"))
        await intake.store(body("d"))
        assert (await intake.store(body("c"))).place == unrelated.place
    assert (first.duplicate, again.duplicate) == (False, False)


async def test_what_was_overtaken_stays_so_for_a_door_that_reads_it_later(cell: MemoryCell) -> None:
    """The log alone says so."""
    for one in (body("a"), body("a", status="resolved")):
        async with running(cell) as door:
            await door.store(one)
    async with running(cell) as intake:
        assert not (await intake.store(body("a"))).duplicate
        assert (await intake.store(body("a"))).duplicate


async def test_memory_is_bounded_by_problems(cell: MemoryCell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest bodies are forgotten first."""
    monkeypatch.setattr("remediation_orchestrator.gateway.known.PROBLEMS_MAX", 3)
    async with running(cell) as intake:
        for one in (body("a"), body("b", "c"), body("d")):
            await intake.store(one)
        assert [(await intake.store(one)).duplicate for one in (body("d"), body("b", "c"), body("a"))] == [
            True,
            True,
            False,
        ]
