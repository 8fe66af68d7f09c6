"""What the world writes down of a process's line: the checkers hold the process against it."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.simulation.broker import SimulatedBroker
from remediation_orchestrator.simulation.clock import CLOCKS_DIFFER, ProcessClock, SkewedClock, run
from remediation_orchestrator.simulation.faults import Faults
from remediation_orchestrator.simulation.line import (
    DECISION,
    FOLD_SECONDS,
    RECORD_BYTES,
    Line,
    Odds,
    SimulatedProcess,
)

HOUR = 3_600.0
FIRST = b'[{"data":{"read":0}}]'
SECOND = b'[{"data":{"read":1}}]'
Story = Callable[[SimulatedBroker, SimulatedProcess, Line, ProcessClock], Coroutine[object, object, None]]


def tell(story: Story, folder: Path, slow: float = 1.0) -> None:
    """Tell a story of one process on a machine so slow, whose line and broker never fail."""

    async def told() -> None:
        faults = Faults(0)
        faults.over = True
        broker, process = SimulatedBroker(faults, folder), SimulatedProcess("o1", slow)
        clock = ProcessClock(SkewedClock(), looked_at=process.fold)
        line = broker.log(process, Odds(0.0), clock)
        await process.begin(story(broker, process, line, clock))

    run(told())


async def read_all(line: Line) -> list[StoredMessage]:
    """What the log has, as its reader is handed it."""
    return [message async for message in line.read()]


def test_a_clock_is_set_by_what_its_process_has_taken_and_not_by_what_waits_for_it(tmp_path: Path) -> None:
    """Found by full seed 60: frames stood in the inbox behind a burst that was still being judged."""

    async def story(broker: SimulatedBroker, _process: SimulatedProcess, line: Line, clock: ProcessClock) -> None:
        await line.append(DECISION, FIRST, expect=0)
        await read_all(line)
        broker.set_clock(-HOUR)
        await line.append(DECISION, SECOND, expect=1)
        await read_all(line)
        first, second = (message.recorded_at for message in broker.cell.messages)
        for read in (1, 2):
            payload = b'[{"data":{"read":%d}},{"data":{}}]' % read
            await line.append(DECISION, payload, expect=read + 1)
            assert broker.diary.tried[payload].clock[0] == (first, second)[read - 1]

    tell(story, tmp_path)


def test_a_copy_of_ones_own_frame_is_not_the_frame(tmp_path: Path) -> None:
    """Found by short seed 115: the copy's stamp became what the process's clock was held against."""

    async def story(broker: SimulatedBroker, _process: SimulatedProcess, line: Line, clock: ProcessClock) -> None:
        await line.append(DECISION, FIRST, expect=0)
        await read_all(line)
        right = clock.right()
        broker.set_clock(-HOUR)
        broker.cell.copy(broker.cell.messages[0], "RO_another")
        found = await line.last(DECISION)
        assert found is not None
        assert found.sequence == 2
        assert [message.sequence for message in await read_all(line)] == [1, 2]
        assert clock.right() == right

    tell(story, tmp_path)


def test_a_clock_may_have_been_read_at_any_moment_of_what_was_computed(tmp_path: Path) -> None:
    """Found by full seed 49: what its own clock allows was read, and then a slow machine folded for a second."""

    async def story(broker: SimulatedBroker, process: SimulatedProcess, line: Line, clock: ProcessClock) -> None:
        broker.set_clock(HOUR)
        await line.append(DECISION, FIRST, expect=0)
        await read_all(line)
        clock.now()  # Nothing is left to be folded.
        await asyncio.sleep(10)
        allowed = clock.reckoning() + CLOCKS_DIFFER
        records = round(1.0 / FOLD_SECONDS / process.slow)
        process.handed(StoredMessage(2, clock.now(), DECISION, b"." * (records - 1) * RECORD_BYTES))
        clock.now()  # It folds first.
        folded = clock.reckoning() + CLOCKS_DIFFER
        await line.append(DECISION, SECOND, expect=1)
        begun, end = broker.diary.tried[SECOND].clock
        assert begun == allowed < folded == end

    tell(story, tmp_path, slow=30.0)
