"""One round of signals, in one cell or several at once: published by a child, and timed by the broker's stamps.

The clock runs from the stamp of the first signal to that of the frame with the last verdict, over all cells, and
the round fails unless every signal has its verdict."""

import asyncio
import os
import sys
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.live import on_top
from benchmarks.publisher import publish
from benchmarks.stage import child, said_to_go_on
from benchmarks.workload import ONE_IN_TEN, SEED, signals
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import (
    Cause,
    CellName,
    DecisionFrame,
    Recorded,
    RoutingDecided,
    decode,
    subjects,
)
from remediation_orchestrator.events.codec import join_frame

SOURCE = "bench"
PATIENCE_SECONDS, LOOK_SECONDS, QUIET_SECONDS = 120.0, 0.05, 0.25
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Drawing(Struct, frozen=True):
    """What is to be published in each cell: so many signals, so many a message."""

    count: int
    size: int
    turn: int = 0
    """Drawn from another seed, and about other new problems."""
    live: int = 0
    """So many fingerprints are live already, and of ten signals four repeat what is open of them."""
    shape: str = ""

    def payloads(self) -> list[bytes]:
        """Draw it."""
        if self.live:
            drawn = on_top(self.count, self.live, self.shape, self.turn)
        else:
            drawn = signals(self.count, ONE_IN_TEN, seed=SEED + self.turn, prefix=f"turn-{self.turn}-")
        if self.size == 1:
            return drawn
        return [join_frame(drawn[start : start + self.size]) for start in range(0, self.count, self.size)]


class Result(Struct, frozen=True):
    """What one round came to, over all its cells."""

    per_second: float
    busy_microseconds: float
    """Of a processor, by the orchestrators, for a signal; 0 where none was at work."""
    server_microseconds: float = 0.0
    """By the server, where it was asked for."""


class _Stamps(Struct):
    signals: int = 0
    verdicts: int = 0
    first: datetime | None = None
    last_signal: datetime | None = None
    last_verdict: datetime | None = None


async def stored(url: str, logs: list[JetStreamLog], drawing: Drawing) -> Result:
    """Have signals stored where nothing decides."""
    before = [await log.last_sequence() for log in logs]
    await _published(url, logs, drawing)
    stamps = [await _stamps(log, since) for log, since in zip(logs, before, strict=True)]
    return Result(_per_second(stamps, [one.last_signal for one in stamps]), 0.0)


async def decided(
    url: str, logs: list[JetStreamLog], orchestrators: list[int], drawing: Drawing, server: int | None = None
) -> Result:
    """Have signals decided by orchestrators that follow the logs; they and the server are process ids."""
    before = [await log.last_sequence() for log in logs]
    busy = sum(map(busy_seconds, orchestrators))
    serving = busy_seconds(server) if server else 0.0
    await _published(url, logs, drawing)
    for log in logs:
        await _decided_through(log, await _last_signal(log))
    serving = busy_seconds(server) - serving if server else 0.0
    busy = sum(map(busy_seconds, orchestrators)) - busy
    stamps = [await _stamps(log, since) for log, since in zip(logs, before, strict=True)]
    signals_in_all, verdicts = (sum(getattr(one, name) for one in stamps) for name in ("signals", "verdicts"))
    if verdicts != signals_in_all:
        raise RuntimeError(f"{signals_in_all} signals, and {verdicts} verdicts on them")
    per_second = _per_second(stamps, [one.last_verdict for one in stamps])
    return Result(per_second, 1_000_000 * busy / signals_in_all, 1_000_000 * serving / signals_in_all)


async def _published(url: str, logs: list[JetStreamLog], drawing: Drawing) -> None:
    cells = [log.cell for log in logs]
    drawn = msgspec.json.encode(drawing).decode()
    async with child("benchmarks.rounds", url, drawn, *cells) as publisher:
        assert publisher.stdin is not None
        publisher.stdin.write(b"go\n")
        if await publisher.wait() != 0:
            raise RuntimeError("the publisher failed")


async def _last_signal(log: JetStreamLog) -> int:
    newest = await log.last(subjects.signal(log.cell, SOURCE))
    assert newest is not None
    return newest.sequence


async def _decided_through(log: JetStreamLog, sequence: int) -> None:
    """Wait for a frame that stands behind a record of it, and for the log to grow no more."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await _covers(log, sequence):  # noqa: ASYNC110 - to read along would cost what is measured
            await asyncio.sleep(LOOK_SECONDS)
    await _quiet(log)


async def _quiet(log: JetStreamLog) -> None:
    """Wait until the log grows no more: the commands of the last round still come."""
    last = 0
    while last != (newest := await log.last_sequence()):
        last = newest
        await asyncio.sleep(QUIET_SECONDS)


async def _covers(log: JetStreamLog, sequence: int) -> bool:
    frame = await log.last(subjects.decision(log.cell))
    first = decode(frame)[0] if frame is not None else None
    head = first.event if isinstance(first, Recorded) else None
    return isinstance(head, DecisionFrame) and head.as_of >= sequence


async def _stamps(log: JetStreamLog, since: int) -> _Stamps:
    """Read what was stored after a sequence."""
    found = _Stamps()
    signal, decision = subjects.signal(log.cell, SOURCE), subjects.decision(log.cell)
    async for message in log.read(since + 1):
        if message.subject == signal:
            found.first = found.first or message.recorded_at
            found.last_signal = message.recorded_at
            found.signals += len(decode(message))
        elif message.subject == decision:
            verdicts = sum(_is_first_verdict(one) for one in decode(message))
            found.verdicts += verdicts
            found.last_verdict = message.recorded_at if verdicts else found.last_verdict
    return found


def _is_first_verdict(one: object) -> bool:
    return (
        isinstance(one, Recorded)
        and isinstance(one.event, RoutingDecided)
        and one.event.because.kind is Cause.SIGNAL
    )


def _per_second(stamps: list[_Stamps], ends: list[datetime | None]) -> float:
    first = min(one.first for one in stamps if one.first is not None)
    last = max(end for end in ends if end is not None)
    return sum(one.signals for one in stamps) / (last - first).total_seconds()


def busy_seconds(pid: int) -> float:
    """What a process has taken of a processor so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


async def _child(url: str, drawn: str, *cells: str) -> None:
    """Draw, wait for the word, and publish in all cells at once."""
    payloads = msgspec.json.decode(drawn, type=Drawing).payloads()
    async with connected(url, name="publisher") as connection:
        await said_to_go_on()
        where = [subjects.signal(CellName(cell), SOURCE) for cell in cells]
        await asyncio.gather(*(publish(connection, subject, payloads) for subject in where))


if __name__ == "__main__":
    asyncio.run(_child(*sys.argv[1:]))
