"""The mark follows the log: how soon, how often, and whatever its store says. On virtual time."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

from msgspec.structs import replace
from story import CELL, STEADY, minute
from written import WrittenLog

from remediation_orchestrator.bus.clock import BrokerClock
from remediation_orchestrator.bus.memory import MemoryCell, MemoryMarks
from remediation_orchestrator.bus.port import LogUnreachableError
from remediation_orchestrator.events import CellName, PolicyAdopted, Target, subjects
from remediation_orchestrator.orchestrator.marks import Mark, Marker, mark_of, read_mark
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.policy import policy_of
from remediation_orchestrator.orchestrator.watch import MARK_SECONDS, Watch
from remediation_orchestrator.simulation.clock import run

RENEW = 0.25


class Store:
    """Keeps marks, and knows when each was written."""

    def __init__(self) -> None:
        self.written: list[tuple[float, int]] = []
        self.away = False

    async def read(self) -> tuple[int, bytes]:
        """None yet, or one that is of no use."""
        return len(self.written), b"{}"

    async def write(self, mark: bytes, revision: int) -> int:
        """Take it, where the broker is there."""
        if self.away:
            raise LogUnreachableError("away")
        assert revision == len(self.written)
        self.written.append((round(asyncio.get_running_loop().time(), 3), revision + 1))
        return revision + 1


def followed(store: Store, moves: dict[float, bool]) -> list[float]:
    """When marks were written of a log that moves at these times; False where the broker is away from then on."""

    async def live() -> list[float]:
        written, fold, moved = WrittenLog(), Fold(), asyncio.Event()
        clock = BrokerClock(datetime(2026, 11, 21, tzinfo=UTC))
        cell = MemoryCell(CellName("main"), clock.now)
        cell.marks = cast(MemoryMarks, store)
        begun = asyncio.get_running_loop().time()
        marking = asyncio.create_task(Watch(cell.log(), clock, RENEW).mark(fold, moved))
        for at, there in moves.items():
            await asyncio.sleep(begun + at - asyncio.get_running_loop().time())
            store.away = not there
            written.signal(at, target=Target(f"t{at}"))
            for message in written.messages[fold.read :]:
                fold.take(message)
            cell.keep(written.messages, last=fold.read)
            moved.set()
        await asyncio.sleep(2)
        store.away = False
        await asyncio.sleep(2)
        marking.cancel()
        await asyncio.gather(marking, return_exceptions=True)
        return [round(at - begun, 3) for at, _ in store.written]

    found: Any = run(live())
    return list(found)


def test_a_mark_follows_a_frame_at_once_and_many_within_a_tenth_of_a_second() -> None:
    """The last of many is marked, too, and where nothing moves nothing is written."""
    assert MARK_SECONDS == 0.1
    assert followed(Store(), {1: True, 1.02: True, 1.04: True, 1.09: True, 3: True}) == [1, 1.1, 3]


def test_a_mark_that_could_not_be_written_is_written_as_soon_as_it_can_be() -> None:
    """Also where nothing moves any more."""
    (first, later) = followed(Store(), {1: True, 2: False})
    assert first == 1
    assert 4 <= later <= 4 + RENEW


def test_the_mark_of_another_log_is_replaced_however_far_that_one_had_come() -> None:
    """Its loss was accepted; else nobody knew of this one being older once more, for as long as it is shorter."""

    async def write() -> list[str]:
        store = MemoryMarks()
        lost = Mark("lost", 1_000_000, "p", 1_000_000, "d", datetime(2026, 11, 21, tzinfo=UTC))
        found = []
        for mark in (lost, replace(lost, log="new", sequence=3, read=4), replace(lost, log="new", sequence=2)):
            await Marker(store).write(mark)
            _, kept = await read_mark(store)
            assert kept is not None
            found.append(f"{kept.log} {kept.sequence}")
        return found

    assert run(write()) == ["lost 1000000", "new 3", "new 3"]


def test_a_mark_says_when_every_run_is_over_whatever_clock_or_policy_came_between() -> None:
    """A clock that is behind makes no run shorter, nor does a policy that was adopted behind its decision."""
    patient = {**STEADY, "timeouts": {"executing": "2h"}}
    written, fold = WrittenLog(policy_of(patient)), Fold()
    adopted = PolicyAdopted(STEADY, by="ann")
    written.signal(0)
    written.fact(1, subjects.operator(CELL, adopted), adopted)
    for message in written.messages:
        fold.take(message)
    mark = mark_of(fold, "log", minute(-60))
    assert mark is not None
    assert mark.over == minute(120.5)
