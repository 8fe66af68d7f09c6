"""Whoever reads a log of which something is missing says so, in one line on standard error, and reads on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from remediation_orchestrator.bus.file import FileLog
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogError
from remediation_orchestrator.orchestrator.whole import name_missing, why_not_whole

from .output import remark


@asynccontextmanager
async def telling(log: JetStreamLog | FileLog) -> AsyncIterator[None]:
    """Say what is missing of a log before it is read, or what reading has found to be missing."""
    why = await _why_not_live(log) if isinstance(log, JetStreamLog) else await _why_begun_late(log)
    if why is not None:
        _say(log, why)
    try:
        yield
    except LogError:  # That is said in its place: reading has not come to an end.
        why = why or ""
        raise
    finally:
        if why is None and log.gap is not None:
            _say(log, f"is not whole: {name_missing(*log.gap)}")


async def _why_not_live(log: JetStreamLog) -> str | None:
    if log.is_imported:
        return None
    try:
        why = await why_not_whole(log)
    except LogError as error:
        return f"may not be whole, nobody can say: {error}"
    return None if why is None else f"is not whole: {why}"


async def _why_begun_late(log: FileLog) -> str | None:
    first = await log.first_sequence()
    if first == 1 or await log.archive.head() is not None:
        return None
    return f"is not whole: it begins at {first}, and what it goes on from is not beside it"


def _say(log: JetStreamLog | FileLog, what: str) -> None:
    remark(f"the log of {log.cell} {what}")
