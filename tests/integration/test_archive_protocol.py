"""An archive dies between any two of its steps, or two of them run at once, each step against the other one.

Afterwards an orchestrator can begin, the segments and the rest audit as one log, and no record is lost. The real
code on the log in memory and on the embedded server."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from cell import bare, running, wait_for
from msgspec.structs import replace

from remediation_orchestrator.bus.behind import append_behind
from remediation_orchestrator.bus.clock import BrokerClock
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.file import FileLog, FileSnapshots
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.lease import JetStreamLease
from remediation_orchestrator.bus.memory import MemoryCell
from remediation_orchestrator.bus.port import EventLog, Lease
from remediation_orchestrator.cli.support.exporting import write_log
from remediation_orchestrator.events import (
    ArchiveRequested,
    CellName,
    Event,
    LogArchived,
    PhaseChanged,
    Position,
    Recorded,
    RemediationCancelled,
    RemediationId,
    StoredMessage,
    decode,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.events.identity import position
from remediation_orchestrator.orchestrator.archiving import Archived, Archiver, NotArchivedError, segment_of
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.routing.policy import policy_of
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator

PATIENCE = 20.0
# An orchestrator in this process answers within milliseconds, also where the machine is busy.
ANSWER_SECONDS = 5.0
BRIEF = policy_of(
    {
        "routing": dict.fromkeys(
            ("signal_cooldown", "workflow_cooldown", "failure_memory", "alert_memory"), "50ms"
        ),
        "timeouts": dict.fromkeys(("starting", "analyzing", "executing", "approval"), "50ms"),
    }
)
"""Everything is old after a moment."""
Step = Callable[[str], Awaitable[None]]
STEP: ContextVar[Step | None] = ContextVar("step", default=None)


def changes(remediation: RemediationId) -> Callable[[Event], bool]:
    """Ask of an event whether it changes this remediation's phase."""
    return lambda one: isinstance(one, PhaseChanged) and one.remediation == remediation


class CrashError(BaseException):
    """The process is gone: nothing of it goes on."""


class Stepped:
    """A log, or what is kept beside it, of which each call is a step before it and a step behind it."""

    def __init__(self, real: Any, step: Step) -> None:
        self._real = real
        self._step = step

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name in ("archive", "marks", "snapshots"):
            return Stepped(found, self._step)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def stepped(*arguments: Any, **named: Any) -> Any:
            await self._step(f"before {name}")
            answer = await found(*arguments, **named)
            await self._step(f"behind {name}")
            return answer

        return stepped


class SteppedLog(Stepped):
    """A log of which each call is two steps, and the beginning to read is one."""

    async def read(self, start: int = 1, *, follow: bool = False) -> AsyncGenerator[StoredMessage, None]:
        """Yield every message from there on."""
        await self._step("before read")
        async with aclosing(self._real.read(start, follow=follow)) as found:
            async for message in found:
                yield message


@dataclass
class Place:
    """A cell in which to archive, wherever it is kept."""

    log: EventLog
    lease: Callable[[], Awaitable[Lease]]
    names: Any

    async def orchestrator(self) -> Orchestrator:
        """One that may lead it."""
        identity = Identity(f"o{next(self.names)}", version("remediation-orchestrator"))
        return Orchestrator(self.log, await self.lease(), BrokerClock(datetime.now(UTC)), identity, BRIEF)

    async def live(self, rounds: int = 3) -> None:
        """Some problems that are over, and then a moment more than they are remembered."""
        for _ in range(rounds):
            signal = await self.log.append(
                subjects.signal(self.log.cell, "test"), bare(target=f"t{next(self.names)}", workflow=None)
            )
            wanted = RemediationId(f"rr-{signal}")
            fact = RemediationCancelled(wanted, "ann")
            attributes = Attributes(id=f"c{signal}", source="/test", time=datetime.now(UTC))
            subject = subjects.operator(self.log.cell, fact)
            await append_behind(self.log, subject, encode(fact, attributes), message_id=attributes.id)
            await wait_for(self.log, changes(wanted))
        await asyncio.sleep(0.25)

    async def archive(self, path: Path, step: Step | None = None) -> Archived:
        """Archive, with a step between any two things that it does."""
        log = self.log if step is None else cast(EventLog, SteppedLog(self.log, step))

        async def ask(wanted: ArchiveRequested) -> Position:
            asked = replace(wanted, by="ann")
            attributes = Attributes(id=f"a{next(self.names)}", source="/test", time=datetime.now(UTC))
            subject = subjects.operator(log.cell, asked)
            place = await append_behind(log, subject, encode(asked, attributes), message_id=attributes.id)
            answer = wait_for(
                self.log, lambda one: isinstance(one, LogArchived) and one.position == position(place), place
            )
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return (await answer).position
            except TimeoutError as error:  # Another has archived it already, request and answer.
                raise NotArchivedError("nobody answers") from error

        STEP.set(step)
        try:
            return await Archiver(log, path, ask).run()
        finally:
            STEP.set(None)


MakePlace = Callable[[], Awaitable[Place]]
TOGETHER = 6
"""Cells that live at once: most of their time they wait."""


@pytest.fixture(params=["memory", "jetstream"])
async def make_place(request: pytest.FixtureRequest) -> AsyncIterator[MakePlace]:
    """Makes cells in memory, and cells on the real server."""

    def name() -> CellName:
        return CellName(f"t{uuid.uuid4().hex[:12]}")

    async def in_memory() -> Place:
        kept = MemoryCell(name(), lambda: datetime.now(UTC))

        async def lease() -> Lease:
            return kept.lease(timedelta(seconds=5))

        return Place(kept.log(), lease, count(1))

    if request.param == "memory":
        yield in_memory
        return
    server: EmbeddedServer = request.getfixturevalue("server")
    async with connected(server.url, name="protocol") as connection:

        async def on_jetstream() -> Place:
            log = await JetStreamLog.ensure(connection, name())
            return Place(log, lambda: JetStreamLease.open(connection, log.cell), count(1))

        yield on_jetstream


@pytest.fixture(autouse=True)
def files_are_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also each file that is written beside a segment is a step."""
    save = FileSnapshots.save

    async def stepped(self: FileSnapshots, *arguments: Any, **named: Any) -> None:
        step = STEP.get(None)
        if step is not None:
            await step("before a file")
        await save(self, *arguments, **named)
        if step is not None:
            await step("behind a file")

    monkeypatch.setattr(FileSnapshots, "save", stepped)


def step_that_crashes(at: int) -> Step:
    """Let a process die at its nth step."""
    steps = count()

    async def step(_what: str) -> None:
        if next(steps) == at:
            raise CrashError

    return step


async def steps_of(place: Place, path: Path) -> int:
    """How many steps an archive has that is not disturbed."""
    steps = count()

    async def step(_what: str) -> None:
        next(steps)

    await place.archive(path, step)
    return next(steps)


async def check(place: Place, files: list[Path], folder: Path) -> None:
    """An orchestrator can begin; the segments and the rest are one log from its first record, and audit clean."""
    async with running(await place.orchestrator()):
        await place.live(1)
    first = await place.log.first_sequence()
    taken: list[Path] = []
    following = 1
    while following < first:
        ranges = {path: segment_of(path)[:2] for path in files}
        fitting = [(ends, path) for path, (begins, ends) in ranges.items() if begins == following and ends < first]
        assert fitting, f"{folder.name}: {ranges}, and the log begins at {first}"
        _, path = max(fitting)  # What died before it was kept has been archived again, with more.
        taken, following = [*taken, path], ranges[path][1] + 1
    rest = folder / "rest.jsonl"
    await write_log(place.log, str(rest))
    found = [message async for message in FileLog(*taken, rest).read()]
    assert [one.sequence for one in found] == list(range(1, len(found) + 1))
    assert list(audit(found)) == []


async def begun(
    make_place: MakePlace, folder: Path, *, earlier: bool
) -> tuple[Place, Orchestrator, asyncio.Task[None]]:
    """A cell of which something may go, be it for the second time, with an orchestrator that answers."""
    folder.mkdir()  # noqa: ASYNC240 - a temporary one
    place = await make_place()
    service = await place.orchestrator()
    task = asyncio.create_task(service.run())
    await place.live()
    if earlier:
        await place.archive(folder / "earlier.jsonl")
        await place.live()
    return place, service, task


async def ended(service: Orchestrator, task: asyncio.Task[None]) -> None:
    """Stop the orchestrator that has answered."""
    service.stop()
    async with asyncio.timeout(PATIENCE):
        await task


async def in_groups(runs: list[Callable[[], Awaitable[None]]]) -> None:
    """Some at a time."""
    for start in range(0, len(runs), TOGETHER):
        async with asyncio.TaskGroup() as group:
            for run in runs[start : start + TOGETHER]:
                group.create_task(cast(Any, run()))


@pytest.mark.parametrize("earlier", [False, True], ids=["first", "second"])
@pytest.mark.parametrize("same", [True, False], ids=["same-file", "other-file"])
async def test_an_archive_that_dies_at_any_step_is_finished_by_the_next_one(
    make_place: MakePlace, tmp_path: Path, earlier: bool, same: bool
) -> None:
    """Whatever it had done by then; and a log of which nothing was taken away is as it was."""
    place, service, task = await begun(make_place, tmp_path / "whole", earlier=earlier)
    steps = await steps_of(place, tmp_path / "whole" / "a.jsonl.zst")
    await ended(service, task)
    assert steps > 10

    async def crashed(at: int) -> None:
        folder = tmp_path / str(at)
        place, service, task = await begun(make_place, folder, earlier=earlier)
        with pytest.raises(CrashError):
            await place.archive(folder / "a.jsonl.zst", step_that_crashes(at))
        with suppress(NotArchivedError):  # It may have done everything.
            await place.archive(folder / ("a.jsonl.zst" if same else "b.jsonl"))
        await ended(service, task)
        assert await place.log.first_sequence() > 1
        files = [folder / name for name in ("earlier.jsonl", "a.jsonl.zst", "b.jsonl")]
        await check(place, [path for path in files if path.exists()], folder)

    await in_groups([partial(crashed, at) for at in range(steps)])


@pytest.mark.parametrize("earlier", [False, True], ids=["first", "second"])
async def test_of_two_archives_each_between_any_two_steps_of_the_other_nothing_is_lost(
    make_place: MakePlace, tmp_path: Path, earlier: bool
) -> None:
    """One is stopped at a step, another goes from its beginning to its end, and the first goes on."""
    place, service, task = await begun(make_place, tmp_path / "whole", earlier=earlier)
    steps = await steps_of(place, tmp_path / "whole" / "a.jsonl")
    await ended(service, task)

    async def overtaken(at: int) -> None:
        folder = tmp_path / str(at)
        place, service, task = await begun(make_place, folder, earlier=earlier)
        good: list[Path] = list(folder.glob("earlier.jsonl"))
        numbers = count()

        async def other(_what: str) -> None:
            if next(numbers) == at:
                with suppress(NotArchivedError):
                    await place.live(1)
                    await place.archive(folder / "b.jsonl")
                    good.append(folder / "b.jsonl")

        with suppress(NotArchivedError):
            await place.archive(folder / "a.jsonl", other)
            good.append(folder / "a.jsonl")
        await ended(service, task)
        assert await place.log.first_sequence() > 1
        await check(place, good, folder)

    await in_groups([partial(overtaken, at) for at in range(steps)])


async def test_an_archive_that_finds_its_segment_gone_publishes_nothing(
    make_place: MakePlace, tmp_path: Path
) -> None:
    """Another takes the very same segment between any two of its steps: the chain names that one, and no other."""
    place, service, task = await begun(make_place, tmp_path / "whole", earlier=False)
    steps = await steps_of(place, tmp_path / "whole" / "a.jsonl")
    await ended(service, task)

    async def overtaken(at: int) -> None:
        folder = tmp_path / str(at)
        place, service, task = await begun(make_place, folder, earlier=False)
        numbers = count()

        async def other(_what: str) -> None:
            if next(numbers) == at:
                with suppress(NotArchivedError):
                    await place.archive(folder / "b.jsonl")

        with suppress(NotArchivedError):
            await place.archive(folder / "a.jsonl", other)
        await ended(service, task)
        written = {segment_of(path)[1:] for path in (folder / "a.jsonl", folder / "b.jsonl") if path.exists()}
        told = [
            record.event
            async for message in place.log.read(await place.log.first_sequence())
            for record in decode(message)
            if isinstance(record, Recorded) and isinstance(record.event, ArchiveRequested)
        ]
        assert {(one.through, one.segment) for one in told} <= written, f"at step {at}"
        assert await place.log.first_sequence() > 1

    await in_groups([partial(overtaken, at) for at in range(steps)])


async def test_two_archives_that_begin_together_leave_one_log(make_place: MakePlace, tmp_path: Path) -> None:
    """Step by step in turns: one of them is refused, or finishes what the other has begun."""
    place, service, task = await begun(make_place, tmp_path / "both", earlier=True)
    good = [tmp_path / "both" / "earlier.jsonl"]

    async def turn(_what: str) -> None:
        await asyncio.sleep(0)

    async def one(path: Path) -> None:
        with suppress(NotArchivedError):
            await place.archive(path, turn)
            good.append(path)

    await asyncio.gather(one(tmp_path / "both" / "a.jsonl"), one(tmp_path / "both" / "b.jsonl"))
    await ended(service, task)
    assert len(good) > 1
    await check(place, good, tmp_path / "both")
