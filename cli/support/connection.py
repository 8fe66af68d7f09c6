"""Which log a verb is about: a cell on a broker, found by options or environment, or an exported file."""

import asyncio
import functools
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import click
from click.core import ParameterSource
from msgspec import Struct

from remediation_orchestrator.bus import embedded
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.file import FileLog
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogUnreachableError, ReadableLog
from remediation_orchestrator.events import CellName
from remediation_orchestrator.events.identity import DEFAULT_CELL, cell_name

from .files import file_option
from .output import BadInputError
from .wholeness import telling

Verb: TypeAlias = Callable[..., None]

DATA_DIR = Path(".ro")
FINDING = ("nats", "data_dir", "cell", "segments")
"""The parameters that say where a log is."""


class CellType(click.ParamType[CellName]):
    """A cell's name."""

    name = "cell"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> CellName:
        """Check it, or say what a name looks like."""
        try:
            return cell_name(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Broker(Struct, frozen=True):
    """Where a cell's log is kept."""

    nats: str | None
    data_dir: Path
    cell: CellName

    def url(self) -> str:
        """The address, credentials included. Raises LogUnreachableError where there is none."""
        found = self.nats or embedded.find(self.data_dir)
        if found is None:
            raise LogUnreachableError(
                f"no broker: neither --nats nor NATS_URL is given, and no `ro up` runs on {self.data_dir}"
            )
        return found

    @asynccontextmanager
    async def log(self) -> AsyncIterator[JetStreamLog]:
        """The cell's log, to read and to append to."""
        async with connected(self.url(), name="ro") as client:
            yield await JetStreamLog.open(client, self.cell)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[JetStreamLog]:
        """The cell's log for whoever reads it, to append to as well: what is missing of it is told."""
        async with self.log() as log, telling(log):
            yield log


class LogSource(Struct, frozen=True):
    """What a reading verb reads: a broker's log, or a file in its place."""

    nats: str | None
    data_dir: Path
    cell: CellName | None
    files: tuple[Path, ...] = ()
    """Segments of one log, in their order."""

    @property
    def file(self) -> Path | None:
        """The first of them."""
        return self.files[0] if self.files else None

    @asynccontextmanager
    async def log(self) -> AsyncIterator[ReadableLog]:
        """The log, to read."""
        if not self.files:
            async with Broker(self.nats, self.data_dir, self.cell or DEFAULT_CELL).reading() as log:
                yield log
            return
        found = await asyncio.to_thread(FileLog, *self.files)
        if self.cell not in (None, found.cell):
            raise BadInputError(f"{self.file}: the log of the cell {found.cell!r}, not of {self.cell!r}")
        async with telling(found):
            yield found


_NATS = click.option(
    "--nats",
    metavar="URL",
    envvar="NATS_URL",
    show_envvar=True,
    help="The broker; else the embedded server of the data folder.",
)
_DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=DATA_DIR,
    show_default=True,
    help="The data folder of `ro up`.",
)
_LOG = file_option(
    "--log",
    "segments",
    "Read an exported log, and no broker; given again, its segments in their order.",
    multiple=True,
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, and nothing else.")


def as_given(command: str) -> str:
    """A command to type, with the options by which whoever reads it has found this log, as far as it takes them.

    An address with a password in it is left out: what is shown may be kept."""
    context = click.get_current_context()
    group, words = context.find_root().command, command.split()
    hinted = group.get_command(context, words[1]) if isinstance(group, click.Group) else None
    taken = {one.name for one in hinted.params} if hinted is not None else set()
    for param in context.command.params:
        name, value = param.name or "", context.params.get(param.name or "")
        typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if name in FINDING and typed and name in taken and "@" not in str(value):
            values = value if isinstance(value, tuple) else (value,)
            command += "".join(f" {param.opts[0]} {shlex.quote(str(one))}" for one in values)
    return command


def broker_options(verb: Verb) -> Verb:
    """Give a verb the options that find a broker; it takes a `Broker` first."""

    @functools.wraps(verb)
    def wired(nats: str | None, data_dir: Path, cell: CellName, **rest: object) -> None:
        verb(Broker(nats, data_dir, cell), **rest)

    return _NATS(_DATA_DIR(_cell_option(DEFAULT_CELL)(wired)))


def reading_options(verb: Verb) -> Verb:
    """Give a verb the options that find a log to read, and `as_json`; it takes a `LogSource` first."""

    @functools.wraps(verb)
    def wired(
        nats: str | None, data_dir: Path, cell: CellName | None, segments: tuple[Path, ...], **rest: object
    ) -> None:
        verb(LogSource(nats, data_dir, cell, segments), **rest)

    return _NATS(_DATA_DIR(_cell_option(None)(_LOG(_JSON(wired)))))


def json_option(verb: Verb) -> Verb:
    """Give a verb `as_json`."""
    return _JSON(verb)


def _cell_option(default: CellName | None) -> Callable[[Verb], Verb]:
    return click.option("--cell", type=CellType(), default=default, help=f"The cell.  [default: {DEFAULT_CELL}]")
