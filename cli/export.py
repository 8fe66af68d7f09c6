"""`ro export`: the log as JSON Lines, one stored message a line, for `--log` and for safe keeping."""

from pathlib import Path

import click

from remediation_orchestrator.bus.file import BEFORE_ENDING, SNAPSHOT_ENDING, FileSnapshots
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import ReadableLog
from remediation_orchestrator.events import RemediationId
from remediation_orchestrator.events.identity import named_by
from remediation_orchestrator.events.stored import export_line
from remediation_orchestrator.orchestrator.archive import Base
from remediation_orchestrator.orchestrator.queries.case import Excerpt, Links

from .support.connection import Broker, broker_options
from .support.exporting import opened, write_log
from .support.output import RefusedError, reading
from .support.reading import check_whole
from .support.running import run


@click.command("export")
@click.argument("path", metavar="FILE")
@click.option("--since", type=click.IntRange(min=1), default=1, metavar="SEQ", help="From this sequence on.")
@click.option("--case", metavar="ID", help="Only what decided this remediation, as a test case.")
@broker_options
def verb(broker: Broker, path: str, since: int, case: str | None) -> None:
    """Write the log to FILE, packed where it ends in .gz or .zst; - for standard output."""
    if case is not None and since != 1:
        raise click.UsageError("a test case begins where its remediation does: --since does not go with --case")
    run(_export(broker, path, since) if case is None else _export_case(broker, path, case))


async def _export(broker: Broker, path: str, since: int) -> None:
    async with broker.reading() as log:
        await write_log(log, path, since)
        if path != "-" and since <= await log.first_sequence():
            await copy_beside(log, Path(path))


async def copy_beside(log: JetStreamLog, path: Path) -> None:
    """Put beside an exported log what it goes on from, where it lacks its beginning, and its newest snapshot."""
    for store, ending in ((log.archive, BEFORE_ENDING), (log.snapshots, SNAPSHOT_ENDING)):
        kept, beside = await store.newest(), FileSnapshots(path, ending)
        if kept is None:
            beside.remove()  # It would be another log's.
        else:
            base = Base(kept[0], list(kept[1]))
            await beside.save(base.parts, base.its_head)


async def _export_case(broker: Broker, path: str, name: str) -> None:
    remediation = named_by(name)
    if remediation is None:
        raise click.BadParameter(f"{name!r} is no rr-... or wfe-...", param_hint="--case")
    async with broker.reading() as log:
        await check_whole(log, "a test case is cut out of a log")
        with reading(f"looking for {remediation} in the log of {log.cell}"):
            excerpt = await _excerpt(log, remediation)
            with opened(path) as file:
                async for message in log.read():
                    part = excerpt.part(message)
                    if part is not None:
                        file.write(export_line(part) + b"\n")


async def _excerpt(log: ReadableLog, remediation: RemediationId) -> Excerpt:
    links = Links()
    async for message in log.read():
        links.take(message)
    excerpt = links.excerpt(remediation)
    if excerpt is None:
        raise RefusedError(f"{remediation}: the log has no verdict on it")
    return excerpt
