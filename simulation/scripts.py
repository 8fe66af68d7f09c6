"""A script of which nothing runs: it lasts as long as the supervisor of a real one would let it."""

import asyncio
from collections.abc import Callable

from remediation_orchestrator.events import FailureReason
from remediation_orchestrator.executor.engine import Run, Stop

# Less than any clock here tells apart: who waits for less would wait for nothing.
LEAST_SECONDS = 1e-6


async def last(seconds: float, run: Run, stop: Stop, read: Callable[[], float]) -> FailureReason | None:
    """Wait for so long, by a machine's clock; return why the script is killed before, if it is."""
    until, lease = read() + seconds, run.lease
    while True:
        lapse = lease.confirmed_at + lease.pace.lease
        nearest = min(until, run.deadline, lapse)
        left = nearest - read()
        if left > 0 and not stop.wished.is_set():
            try:
                async with asyncio.timeout(max(left, LEAST_SECONDS)):
                    await stop.wished.wait()
            except TimeoutError:
                continue
        if stop.wished.is_set():
            return FailureReason.TASK_FAILED
        if nearest == until:
            return None
        if nearest == run.deadline:
            return FailureReason.DEADLINE_EXCEEDED
        if lapse >= lease.confirmed_at + lease.pace.lease:  # Else it was confirmed meanwhile.
            return FailureReason.EXECUTOR_LOST
