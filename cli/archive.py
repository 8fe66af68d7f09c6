"""`ro archive`: the only way by which old records leave a log: into a file, and with a record in the chain."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import click

from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.packing import write_packed
from remediation_orchestrator.bus.snapshots import AFTER_ENDING, BEFORE_ENDING, FileSnapshots
from remediation_orchestrator.events import ArchiveRequested, LogArchived, Recorded, decode, subjects
from remediation_orchestrator.events.identity import position
from remediation_orchestrator.orchestrator.archive import Base, Segment, where_to_cut
from remediation_orchestrator.orchestrator.routing.snapshot import SnapshotError
from remediation_orchestrator.orchestrator.snapshots import check_origin, read_head

from .connection import Broker, broker_options, json_option
from .operating import by_option
from .output import BadInputError, RefusedError, json_line, line, reading
from .publishing import event_of, store
from .running import run

# An active orchestrator answers within milliseconds; one that takes over, within seconds.
ANSWER_SECONDS = 30.0


@click.command("archive")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--restore", is_flag=True, help=f"Bring FILE{AFTER_ENDING} back to the broker.")
@click.option("--reason", default="", help="Why; recorded with who. Required, but for --dry-run and --restore.")
@by_option
@json_option
@broker_options
def verb(broker: Broker, path: Path, dry_run: bool, restore: bool, reason: str, by: str, as_json: bool) -> None:
    """Move the oldest part of the log to FILE: whatever nothing that is alive has to do with any more."""
    if restore:
        run(_restore(broker, path, as_json))
        return
    if not dry_run and not reason.strip():
        raise click.UsageError("missing option '--reason'")
    if path.exists():
        raise BadInputError(f"{path} is there already: an archive never takes the place of another")
    run(_archive(broker, path, None if dry_run else (by, reason), as_json))


async def _archive(broker: Broker, path: Path, said: tuple[str, str] | None, as_json: bool) -> None:
    async with broker.log() as log:
        if log.is_imported:
            raise RefusedError(f"the cell {log.cell!r} holds an imported log: it is there to be read")
        with reading(f"reading the log of {log.cell}"):
            before = await _origin(log)
            cut = await where_to_cut(log)
        if cut is None:
            raise RefusedError("nothing may go yet: all of it is too young, or still at work")
        if said is None:
            _tell({"first": cut.first, "through": cut.through, "frame": cut.frame, "purged": False}, as_json)
            return
        segment = Segment(log, cut)
        with reading(f"writing {path}"):
            await _write(path, segment)
            if before is not None:
                await FileSnapshots(path, BEFORE_ENDING).save(before.parts, before.its_head)
        assert segment.base is not None
        await FileSnapshots(path, AFTER_ENDING).save(segment.base.parts, segment.base.its_head)
        asked = ArchiveRequested(cut.through, segment.digest, segment.base.digest, *said)
        place = await store(log, subjects.operator(log.cell, asked), event_of(log.cell, "operator/cli", asked))
        recorded = await _recorded(log, place)
        if await _origin(log) != before:
            raise RefusedError("another has archived meanwhile: nothing was purged; try another FILE")
        await log.archive.save(segment.base.parts, segment.base.its_head)
        await log.purge(cut.through + 1)
        found = {"first": cut.first, "through": cut.through, "frame": cut.frame, "purged": True}
        _tell({**found, "file": str(path), "segment": segment.digest, "recorded": recorded}, as_json)


async def _origin(log: JetStreamLog) -> Base | None:
    """What the log goes on from, where its beginning was archived."""
    kept = await log.archive.newest()
    return None if kept is None else Base(kept[0], list(kept[1]))


async def _write(path: Path, segment: Segment) -> None:
    """Write the segment, whole and on disk, or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        with write_packed(part, path.suffix) as file:
            async for one in segment.lines():
                file.write(one)
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


async def _recorded(log: JetStreamLog, place: int) -> str:
    """Wait for the record in the chain, and return its position. Raises RefusedError where nobody answers."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await anext(_answers(log, place))
    except TimeoutError as error:
        raise RefusedError(
            f"no orchestrator has answered the request at {place}: nothing was purged; try another FILE"
        ) from error


async def _answers(log: JetStreamLog, place: int) -> AsyncIterator[str]:
    async for message in log.read(place, follow=True):
        for record in decode(message):
            event = record.event if isinstance(record, Recorded) else None
            if isinstance(event, LogArchived) and event.position == position(place):
                yield record.position


async def _restore(broker: Broker, path: Path, as_json: bool) -> None:
    """Put a projection back from beside its segment."""
    store = FileSnapshots(path, AFTER_ENDING)
    kept = await store.newest()
    if kept is None:
        raise BadInputError(f"{path}{AFTER_ENDING} is not there")
    async with broker.log() as log:
        try:
            head = read_head(kept[0])
            await check_origin(log, head, kept[1])  # As it is read: only what is good is held in memory.
        except SnapshotError as error:
            raise BadInputError(f"{path}{AFTER_ENDING}: {error}") from error
        again = await store.newest()
        assert again is not None
        base = Base(again[0], list(again[1]))
        await log.archive.save(base.parts, base.its_head)
    _tell({"through": head.through, "frame": head.sequence, "restored": True}, as_json)


def _tell(found: dict[str, object], as_json: bool) -> None:
    if as_json:
        json_line(found)
        return
    if found.get("restored"):
        line(f"the projection behind {found['frame']} is kept again: the log goes on from {found['through']}")
    elif found["purged"]:
        line(f"{found['first']} to {found['through']} are in {found['file']}, recorded at {found['recorded']}")
        line(f"segment sha256 {found['segment']}")
    else:
        line(f"{found['first']} to {found['through']} may go")
