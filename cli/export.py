"""`ro export`: the log as JSON Lines, one stored message a line, for `--log` and for safe keeping."""

import asyncio
import gzip
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import click

from remediation_orchestrator.events.stored import export_line

from .connection import Broker, broker_options
from .output import BadInputError, reading


@click.command("export")
@click.argument("path", metavar="FILE")
@click.option("--since", type=click.IntRange(min=1), default=1, metavar="SEQ", help="From this sequence on.")
@broker_options
def verb(broker: Broker, path: str, since: int) -> None:
    """Write the log to FILE, compressed where it ends in .gz; - for standard output."""
    if path.endswith((".zst", ".zstd")):
        raise BadInputError(f"{path}: zstd is not written here; name it .gz, or pipe - through zstd")
    asyncio.run(_export(broker, path, since))


async def _export(broker: Broker, path: str, since: int) -> None:
    async with broker.log() as log:
        with _opened(path) as file, reading(f"exporting the log of {log.cell}"):
            async for message in log.read(since):
                file.write(export_line(message) + b"\n")


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """The file to write; one that is only half written never stands in its place."""
    if path == "-":
        yield sys.stdout.buffer
        return
    whole = Path(path)
    part = whole.with_name(f".{whole.name}.part")
    try:
        with gzip.open(part, "wb") if whole.suffix == ".gz" else part.open("wb") as file:
            yield cast(BinaryIO, file)
        part.replace(whole)
    finally:
        part.unlink(missing_ok=True)
