"""What `sync_interval: always` costs: acknowledged publishes a second, synced each and with the server's default.

    python -m benchmarks.sync

Both servers run on the same disk, one after the other in each round, so that what else this machine does falls
on both. What it saves cannot be measured by killing a process: what is written and not synced survives that."""

import argparse
import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import binary
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogUnreachableError
from remediation_orchestrator.events import CellName, subjects

from .broker_cluster import HOST, PATIENCE_SECONDS, free_port
from .report import say

CELL = CellName("main")
# The server's default is to sync every two minutes.
INTERVALS = {"always": "always", "default": '"2m"'}
# A signal of a usual size, and a frame of fifty.
SIGNAL, FRAME = 300, 50 * 300
LOADS = {"one at a time": (1, SIGNAL), "64 under way": (64, SIGNAL), "frames of 50, 8 under way": (8, FRAME)}


@contextlib.asynccontextmanager
async def server(interval: str) -> AsyncIterator[JetStreamLog]:
    """A server on an empty folder, and a log on it."""
    with tempfile.TemporaryDirectory(prefix="ro-sync-") as folder:
        port = free_port()
        file = Path(folder) / "server.conf"
        store = f'jetstream {{ store_dir: "{folder}/store", sync_interval: {interval} }}'
        file.write_text(f'listen: "{HOST}:{port}"\nlog_file: "{folder}/log"\n{store}\n')
        process = await asyncio.create_subprocess_exec(binary(), "--config", str(file))
        try:
            url = f"nats://{HOST}:{port}"
            await _answering(url)
            async with connected(url) as client:
                yield await JetStreamLog.ensure(client, CELL)
        finally:
            process.kill()
            await process.wait()


async def _answering(url: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(LogUnreachableError):
                async with connected(url):
                    return


async def rate(log: JetStreamLog, under_way: int, size: int, seconds: float) -> float:
    """Acknowledged messages a second, so many always under way."""
    body, subject, end = b"x" * size, subjects.signal(CELL, "load"), time.monotonic() + seconds

    async def publish() -> int:
        count = 0
        while time.monotonic() < end:
            await log.append(subject, body)
            count += 1
        return count

    start = time.monotonic()
    counts = await asyncio.gather(*(publish() for _ in range(under_way)))
    return sum(counts) / (time.monotonic() - start)


async def run(rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """The median rate of each load with each interval."""
    found: dict[str, dict[str, list[float]]] = {load: {name: [] for name in INTERVALS} for load in LOADS}
    for _ in range(rounds):
        for name, interval in INTERVALS.items():
            async with server(interval) as log:
                for load, (under_way, size) in LOADS.items():
                    found[load][name].append(await rate(log, under_way, size, seconds))
    return {load: {name: statistics.median(all_) for name, all_ in by.items()} for load, by in found.items()}


def main() -> None:
    """Measure, and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", action="store_true", help="one JSON object and nothing else")
    options = parser.parse_args()
    found = asyncio.run(run(options.rounds, options.seconds))
    rows = [[load, *(f"{rates[name]:,.0f}" for name in INTERVALS)] for load, rates in found.items()]
    columns = ["acknowledged messages a second", *INTERVALS]
    say("What syncing every message costs", columns, rows, found, as_json=options.json)


if __name__ == "__main__":
    main()
