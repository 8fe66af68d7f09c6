"""Whoever disturbs a broker makes good again what it has done, whatever else goes wrong meanwhile."""

import asyncio
from pathlib import Path

from remediation_orchestrator.simulation.broker import SimulatedBroker
from remediation_orchestrator.simulation.clock import run
from remediation_orchestrator.simulation.disturbing import Disturbing
from remediation_orchestrator.simulation.faults import Faults
from remediation_orchestrator.simulation.line import DECISION
from remediation_orchestrator.simulation.sources import SimulatedSource


def test_a_log_that_was_full_has_room_again_when_its_store_is_back(tmp_path: Path) -> None:
    """Found by full seed 159: it was given room by the size of a store that had lost nearly all."""

    async def story() -> None:
        broker = SimulatedBroker(Faults(0), tmp_path)
        for _ in range(200):
            broker.cell.store(DECISION, b"." * 10_000, None, None)
        broker.cell.cut("its tail is lost", 1)
        disturbing = Disturbing(0, broker, SimulatedSource("source", broker))
        task = asyncio.create_task(disturbing.fill(1.0))
        await asyncio.sleep(1)
        assert broker.cell.room().fill > 0.99
        await task
        broker.cell.mend()
        assert broker.cell.room().fill < 0.5

    run(story())
