"""`ro import`: an exported log into a fresh cell, to be looked into. Nobody decides there."""

from pathlib import Path

import click

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.file import messages
from remediation_orchestrator.bus.imported import bring_in
from remediation_orchestrator.bus.packing import UnreadableLogError

from .support.connection import Broker, broker_options, json_option
from .support.files import FILE
from .support.output import json_line, line, reading
from .support.running import run


@click.command("import")
@click.argument("path", metavar="FILE", type=FILE)
@json_option
@broker_options
def verb(broker: Broker, path: Path, as_json: bool) -> None:
    """Bring an exported log into a cell that has none, to be read and audited there."""
    with reading(f"reading {path}"):
        first = _first_of_a_whole(path)
    count = run(_import(broker, path, first))
    if as_json:
        json_line({"cell": broker.cell, "first_sequence": first, "messages": count})
    else:
        line(f"{count} records from {first} on are in the cell {broker.cell}, to be read; nobody decides there")


async def _import(broker: Broker, path: Path, first: int) -> int:
    async with connected(broker.url(), name="ro") as client:
        with reading(f"importing {path}"):
            return await bring_in(client, broker.cell, first, messages(path))


def _first_of_a_whole(path: Path) -> int:
    """Read a file once to its end, so that a bad one leaves no trace. Raises UnreadableLogError."""
    first = last = 0
    for message in messages(path):
        if last and message.sequence != last + 1:
            raise UnreadableLogError(f"{path}: the records after {last} up to {message.sequence - 1} are missing")
        first, last = first or message.sequence, message.sequence
    return first
