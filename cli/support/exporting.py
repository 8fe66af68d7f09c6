"""A log written to a file, whole or not at all, or to standard output."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from remediation_orchestrator.bus.durable import fresh_file, put_in_place
from remediation_orchestrator.bus.packing import write_packed
from remediation_orchestrator.bus.port import ReadableLog
from remediation_orchestrator.events.stored import export_line

from .output import reading


async def write_log(log: ReadableLog, path: str, since: int = 1) -> None:
    """Write an open log to a file, or to standard output."""
    with opened(path) as file, reading(f"exporting the log of {log.cell}"):
        async for message in log.read(since):
            file.write(export_line(message) + b"\n")


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """The file to write; one that is only half written never stands in its place, nor one that is not on disk."""
    if path == "-":
        yield sys.stdout.buffer
        return
    whole = Path(path)
    with fresh_file(whole) as part:
        with write_packed(part, whole.suffix) as file:
            yield file
        put_in_place(part, whole)
