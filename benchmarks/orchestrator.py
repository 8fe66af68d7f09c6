"""A child process: one orchestrator of one cell, until its standard input closes. It ends by saying how many
seconds of a processor it took meanwhile, which a busy machine changes less than any time."""

import asyncio
import os
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version

from benchmarks.stage import said_to_go_on
from remediation_orchestrator.bus.clock import BrokerClock
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.lease import JetStreamLease
from remediation_orchestrator.events.identity import cell_name
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator
from remediation_orchestrator.orchestrator.watch import Watch


def lead_what_was_poured() -> None:
    """Lead a log that was made elsewhere: the broker has stamped it anew, so its chain is not what it says."""

    async def check(self: Watch, fold: Fold | None = None) -> None:
        """Whatever it is: it is measured, and nothing depends on it."""

    Watch.check = check  # type: ignore[method-assign]


async def orchestrate(url: str, cell: str) -> None:
    """Lead the cell, until told to stop."""
    lead_what_was_poured()
    async with connected(url, name="orchestrator") as connection:
        log = await JetStreamLog.ensure(connection, cell_name(cell))
        lease = await JetStreamLease.open(connection, log.cell)
        identity = Identity(name=f"bench-{os.getpid()}", version=version("remediation-orchestrator"))
        orchestrator = Orchestrator(log, lease, BrokerClock(datetime.now(UTC)), identity)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(orchestrator.run())
            await orchestrator.active.wait()
            before = time.process_time()
            await said_to_go_on()
            orchestrator.stop()
        print(time.process_time() - before, flush=True)


if __name__ == "__main__":
    asyncio.run(orchestrate(*sys.argv[1:]))
