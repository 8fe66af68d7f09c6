"""What people and programs see: tables and colours, or one JSON object a line, and one line for a failure.

Whatever comes from the log is made plain before it reaches a terminal: a signal's name may hold anything."""

import gc
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

# A pipe has no width of its own, and a table in it is for `grep`, not for wrapping.
PIPE_WIDTH = 10_000

STYLES = {
    "Completed": "green",
    "Proceed": "green",
    "Executing": "cyan",
    "Analyzing": "cyan",
    "Pending": "cyan",
    "Verifying": "cyan",
    "AwaitingApproval": "magenta",
    "Blocked": "yellow",
    "Block": "yellow",
    "Failed": "red",
    "TimedOut": "red",
    "Refuse": "red",
    "Skipped": "dim",
    "Skip": "dim",
    "Duplicate": "dim",
    "Cancelled": "dim",
}

Cell = str | int | None


class RefusedError(click.ClickException):
    """The answer is "no": not found, refused, nothing to do. One line for a person."""

    exit_code = 1


class BadInputError(click.ClickException):
    """What was given cannot be taken: one line for each thing that is wrong."""

    exit_code = 2


def plain(text: str) -> str:
    """Return text in which nothing can move a cursor, change a colour or begin a line."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def line(text: str) -> None:
    """Write a line for people on standard output."""
    click.echo(plain(text))


def json_line(value: object) -> None:
    """Write one JSON object on a line of standard output."""
    click.echo(msgspec.json.encode(value))


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Write a table; on a terminal the known words have their colours."""
    console = _console()
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(_cell(value) for value in row))
    console.print(shown)


def fields(pairs: Iterable[tuple[str, Cell]]) -> None:
    """Write names and their values, leaving out what has none."""
    console = _console()
    shown = Table(box=None, pad_edge=False, show_header=False)
    shown.add_column(style="dim", no_wrap=True)
    shown.add_column(overflow="fold")
    for name, value in pairs:
        if value not in (None, ""):
            shown.add_row(name, _cell(value))
    console.print(shown)


def moment(at: datetime | None) -> str:
    """Write a time to the second, as UTC."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}Z"


def span(duration: timedelta) -> str:
    """Write a duration as a person would say it: `41s`, `5m12s`, `3h05m`, `2d04h`."""
    seconds = max(int(duration.total_seconds()), 0)
    minutes, hours, days = seconds // 60, seconds // 3_600, seconds // 86_400
    if not minutes:
        return f"{seconds}s"
    if not hours:
        return f"{minutes}m{seconds % 60:02}s"
    return f"{hours}h{minutes % 60:02}m" if not days else f"{days}d{hours % 24:02}h"


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Show on a terminal that something takes its time; say nothing in a pipe.

    What is read and kept of a log has no cycles, so meanwhile nobody walks over all of it to look for some."""
    gc.disable()
    try:
        with Console(stderr=True).status(what) if sys.stderr.isatty() else nullcontext():
            yield
    finally:
        gc.enable()


def _console() -> Console:
    terminal = sys.stdout.isatty()
    return Console(file=sys.stdout, width=None if terminal else PIPE_WIDTH, highlight=False, emoji=False)


def _cell(value: Cell) -> Text:
    text = "" if value is None else plain(str(value))
    return Text(text, style=STYLES.get(text, ""))
