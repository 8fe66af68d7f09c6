"""`ro archive`: the only way by which old records leave a log: into a file, and with a record in the chain."""

from pathlib import Path

import click
import msgspec

from remediation_orchestrator.bus.file import AFTER_ENDING, FileSnapshots
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import ArchiveRequested, Position, subjects
from remediation_orchestrator.orchestrator.archive import Base, where_to_cut
from remediation_orchestrator.orchestrator.archiving import (
    Archiver,
    FileTakenError,
    NotArchivedError,
    UnansweredError,
    answered,
    origin,
    unfinished,
)
from remediation_orchestrator.orchestrator.routing.snapshot import SnapshotError
from remediation_orchestrator.orchestrator.snapshots import check_origin, read_head

from .support.awaiting import UndecidedError
from .support.connection import Broker, broker_options, json_option
from .support.files import FILE
from .support.operating import by_option
from .support.output import BadInputError, RefusedError, json_line, line, reading
from .support.publishing import event_of, store
from .support.running import run


@click.command("archive")
@click.argument("path", metavar="FILE", type=FILE)
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
    run(_archive(broker, path, None if dry_run else (by, reason), as_json))


async def _archive(broker: Broker, path: Path, said: tuple[str, str] | None, as_json: bool) -> None:
    async with broker.log() as log:
        if log.is_imported:
            raise RefusedError(f"the cell {log.cell!r} holds an imported log: it is there to be read")
        if said is None:
            await _say_what_may_go(log, as_json)
            return

        async def ask(wanted: ArchiveRequested) -> Position:
            asked = ArchiveRequested(wanted.through, wanted.segment, wanted.projection, *said)
            event = event_of(log.cell, "operator/cli", asked)
            place = await store(log, subjects.operator(log.cell, asked), event)
            return await answered(log, place)

        try:
            with reading(f"archiving the log of {log.cell}"):
                done = await Archiver(log, path, ask).run()
        except FileTakenError as error:
            raise BadInputError(str(error)) from error
        except UnansweredError as error:
            raise UndecidedError(str(error)) from error
        except NotArchivedError as error:
            raise RefusedError(str(error)) from error
        _tell({**msgspec.structs.asdict(done), "purged": True, "file": str(path)}, as_json)


async def _say_what_may_go(log: JetStreamLog, as_json: bool) -> None:
    with reading(f"reading the log of {log.cell}"):
        kept = await origin(log)
        begun = None if kept is None else await unfinished(log, kept)
        cut = begun or await where_to_cut(log)
    if cut is None:
        raise RefusedError("nothing may go yet: all of it is too young, or still at work")
    _tell({**msgspec.structs.asdict(cut), "purged": False, "finished": begun is not None}, as_json)


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
        again, before = await store.newest(), await log.archive.head()
        assert again is not None
        if before is not None and await _is_good(log, before):
            raise RefusedError("what the log goes on from is kept: there is nothing to bring back")
        base = Base(again[0], list(again[1]))
        await log.archive.save(base.parts, base.its_head, after=before or b"")
    _tell({"through": head.through, "frame": head.sequence, "restored": True}, as_json)


async def _is_good(log: JetStreamLog, kept: bytes) -> bool:
    """Whether a log goes on from what is kept."""
    try:
        return read_head(kept).through >= await log.first_sequence() - 1
    except SnapshotError:
        return False


def _tell(found: dict[str, object], as_json: bool) -> None:
    if as_json:
        json_line(found)
        return
    if found.get("restored"):
        line(f"the projection behind {found['frame']} is kept again: the log goes on from {found['through']}")
    elif found["purged"]:
        what = "finished what an earlier archive had begun: " if found["finished"] else ""
        line(
            f"{what}{found['first']} to {found['through']} are in {found['file']}, recorded at {found['recorded']}"
        )
        line(f"segment sha256 {found['segment']}")
    else:
        what = "were archived, and are still to be taken away" if found["finished"] else "may go"
        line(f"{found['first']} to {found['through']} {what}")
