"""The fold alone, and audit, from memory: how fast a log is read that is there already.

The log is one that a real orchestrator made on the in-memory log: signals in waves, each run started and
completed before the next wave, so it holds facts, frames and commands. An event is one of a message or a frame."""

import argparse
import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from msgspec import Struct, to_builtins

from benchmarks import report
from benchmarks.workload import ONE_IN_TEN, signals
from remediation_orchestrator.bus.clock import BrokerClock
from remediation_orchestrator.bus.memory import MemoryCell
from remediation_orchestrator.events import (
    CellName,
    CreateWorkflow,
    Recorded,
    StoredMessage,
    WorkflowCompleted,
    WorkflowStarted,
    decode,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator

CELL = CellName("bench")
START = datetime(2026, 11, 21, 10, tzinfo=UTC)
WAVE = 200
# What a default run takes: only for turning `--seconds` into a count.
SIGNALS_PER_SECOND = 20_000
PATIENCE_SECONDS = 600.0


class Outcome(Struct):
    """Events a second of one way to read, a value for each round."""

    reading: str
    aim: str
    events: int
    per_second: list[float]


async def main() -> None:
    """Make a log, and read it as often as asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fold", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="sizes the log, instead of --count")
    parser.add_argument("--count", type=int, help="signals in the log")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    log = await record(options.count or int(options.seconds * SIGNALS_PER_SECOND))
    events = sum(len(decode(message)) for message in log)
    readings: dict[str, Callable[[list[StoredMessage]], None]] = {"decode": read, "fold": fold, "audit": look_into}
    aims = {"audit": "300,000/s"}
    outcomes = [Outcome(name, aims.get(name, ""), events, []) for name in readings]
    for _ in range(options.rounds):
        for outcome in outcomes:
            began = time.perf_counter()
            readings[outcome.reading](log)
            outcome.per_second.append(events / (time.perf_counter() - began))
    say(outcomes, as_json=options.json)


async def record(count: int) -> list[StoredMessage]:
    """Have a log made in which so many signals are decided and their runs complete."""
    cell = MemoryCell(CELL, _ticking())
    orchestrator = Orchestrator(
        cell.log(), cell.lease(), BrokerClock(START), Identity("bench", version("remediation-orchestrator"))
    )
    drawn = signals(count, ONE_IN_TEN)
    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        tasks.create_task(orchestrator.run())
        await orchestrator.active.wait()
        answered = 0
        for start in range(0, count, WAVE):
            for payload in drawn[start : start + WAVE]:
                cell.store(subjects.signal(CELL, "bench"), payload, None, None)
            await _settled(orchestrator, cell)
            answered = _run_all(cell, answered)
            await _settled(orchestrator, cell)
        orchestrator.stop()
    return cell.messages


def read(log: list[StoredMessage]) -> None:
    """Decode alone, as the floor below everything else."""
    for message in log:
        decode(message)


def fold(log: list[StoredMessage]) -> None:
    """Fold the whole log, as a start does."""
    folded = Fold()
    for message in log:
        folded.take(message)


def look_into(log: list[StoredMessage]) -> None:
    """Audit the whole log, which must hold."""
    findings = list(audit(log))
    if findings:
        raise RuntimeError(f"{len(findings)} findings, the first: {findings[0]}")


def _ticking() -> Callable[[], datetime]:
    """A clock for stamps that goes on by a little at every look: no two records at one moment."""
    ticks = 0

    def now() -> datetime:
        nonlocal ticks
        ticks += 1
        return START + timedelta(microseconds=100 * ticks)

    return now


async def _settled(orchestrator: Orchestrator, cell: MemoryCell) -> None:
    """Let the orchestrator go on until everything stored has been read, decided and sent."""
    fold = orchestrator.fold
    while fold.read < len(cell.messages) or fold.facts or fold.view.owed:  # noqa: ASYNC110 - one loop, no waiting
        await asyncio.sleep(0)


def _run_all(cell: MemoryCell, since: int) -> int:
    """Start and complete every run that was commanded after a sequence; return up to where that is."""
    through = len(cell.messages)
    for message in cell.messages[since:through]:
        if ".command.workflow." not in message.subject:
            continue
        for command in decode(message):
            assert isinstance(command, Recorded)
            assert isinstance(command.event, CreateWorkflow)
            run, written = command.event.execution, 0
            for fact in (WorkflowStarted(run, executor="bench"), WorkflowCompleted(run, output="done")):
                named = Attributes(id=f"{run}.{type(fact).__name__}", source="/bench", time=START)
                written = cell.store(subjects.execution(CELL, run), encode(fact, named), written, None)
    return through


def say(outcomes: list[Outcome], *, as_json: bool) -> None:
    """Print what was measured."""
    columns = ("reading", "events", "events/s", "from–to", "µs an event", "aim")
    rows = [
        (
            one.reading,
            f"{one.events:,}",
            f"{report.median(one.per_second):,.0f}",
            report.spread(one.per_second),
            f"{1_000_000 / report.median(one.per_second):.2f}",
            one.aim,
        )
        for one in outcomes
    ]
    report.say("fold", columns, rows, [to_builtins(one) for one in outcomes], as_json=as_json)


if __name__ == "__main__":
    asyncio.run(main())
