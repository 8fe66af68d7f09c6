"""A log that is not whole is not led, however that came about: a real orchestrator in virtual time."""

import asyncio
from collections.abc import Coroutine

from msgspec.structs import replace
from story import CELL
from written import WrittenLog

from remediation_orchestrator.bus.memory import MemoryCell, MemoryMarks
from remediation_orchestrator.events import StoredMessage, Target, WorkflowStarted, encode, subjects
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT
from remediation_orchestrator.orchestrator.watch import MARK_SECONDS, Watch
from remediation_orchestrator.simulation.clock import MIDNIGHT, broker_now, run
from remediation_orchestrator.simulation.histories_process import HistoryProcess
from remediation_orchestrator.simulation.orchestrators import PACE

SIGNAL = b'{"name":"Slow","target":{"name":"checkout"},"workflow":{"id":"restart"}}'
TOLD = subjects.signal(CELL, "told")
# Far longer than anybody waits before a log that was not whole is looked at again.
LONG_SECONDS = 1_000.0


async def led() -> tuple[MemoryCell, HistoryProcess, list[StoredMessage]]:
    """A cell, whoever leads it, and its log: its newest record is a start, which no frame covers."""
    cell = MemoryCell(CELL, broker_now)
    process = HistoryProcess(cell, "o1", DEFAULT)
    await process.service.active.wait()
    cell.store(TOLD, SIGNAL, None, None)
    await asyncio.sleep(1.0)
    (execution,) = process.service.fold.view.runs
    started = encode(WorkflowStarted(execution), Attributes(id="claim-1-1", source="/e1", time=MIDNIGHT))
    cell.store(subjects.execution(CELL, execution), started, 0, None)
    await asyncio.sleep(PACE.look)
    assert process.service.fold.read == len(cell.messages)
    return cell, process, list(cell.messages)


def lose(cell: MemoryCell, left: list[StoredMessage]) -> None:
    """Only these are left, and nobody who reads is told, as where a reader's connection outlives it."""
    cell.records.keep(left, len(left))


def lived(coroutine: Coroutine[object, object, bool]) -> bool:
    """What came of it."""
    return run(coroutine)


def test_a_leader_sees_that_what_it_read_behind_its_newest_frame_is_gone() -> None:
    """There is no hole: the log just ends sooner than it did."""

    async def live() -> bool:
        cell, process, messages = await led()
        lose(cell, messages[:-1])
        await asyncio.sleep(2 * PACE.look)
        return process.service.active.is_set()

    assert lived(live()) is False


def test_whose_frame_is_stored_where_something_was_read_leads_no_more() -> None:
    """At once: what it decided was decided on what is gone."""

    async def live() -> bool:
        cell, process, messages = await led()

        async def meanwhile(subject: str) -> None:
            if subject == subjects.decision(CELL):
                process.meanwhile = None
                lose(cell, messages)

        process.meanwhile = meanwhile
        cell.store(TOLD, b"junk", None, None)
        await asyncio.sleep(1.0)
        return process.service.active.is_set()

    assert lived(live()) is False


def test_an_older_store_is_not_marked_by_who_has_read_the_good_one() -> None:
    """Whoever leads may have slept through the restore: its mark would shut the good one out when it is back."""

    async def live(left: int) -> int:
        cell, process, messages = await led()
        fold = process.service.fold
        await process.end()
        cell.marks, moved = MemoryMarks(), asyncio.Event()
        lose(cell, messages[:left])
        moved.set()
        marking = asyncio.create_task(Watch(cell.log(), process.service.clock, PACE.look).mark(fold, moved))
        await asyncio.sleep(MARK_SECONDS)
        marking.cancel()
        revision, _ = await cell.marks.read()
        return revision

    assert run(live(-1)) == 0
    assert run(live(1_000)) == 1


def test_a_log_with_a_frame_that_does_not_fit_what_came_before_it_is_not_led() -> None:
    """It is as long as it was, and has no hole; and as it was it is led."""

    async def begun(messages: list[StoredMessage]) -> bool:
        cell = MemoryCell(CELL, broker_now)
        cell.identity = "0123abcd"
        cell.keep(messages, last=len(messages))
        process = HistoryProcess(cell, "o2", DEFAULT)
        await asyncio.sleep(LONG_SECONDS)
        return process.service.active.is_set()

    written = WrittenLog()
    written.signal(0)
    written.signal(1, "Other", target=Target("elsewhere"))
    good = written.messages
    other = replace(good[1], payload=good[1].payload.replace(b"}", b" }", 1))
    assert lived(begun(good)) is True
    assert lived(begun([good[0], other, *good[2:]])) is False
