"""What people and programs see: lines and colours, or one JSON object a line, and one line for a failure.

Whatever comes from the log is made plain before it reaches a terminal: a signal's name may hold anything."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime

import click
import msgspec
from rich.console import Console

from .wrapping import wrapped

STYLES = {
    "Completed": "green",
    "Proceed": "green",
    "Executing": "cyan",
    "Analyzing": "cyan",
    "Pending": "cyan",
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
    "NoWorkflow": "yellow",
    "ManualReviewRequired": "yellow",
}


class RefusedError(click.ClickException):
    """The answer is "no": not found, refused, nothing to do. One line for a person."""

    exit_code = 1


class BadInputError(click.ClickException):
    """What was given cannot be taken: one line for each thing that is wrong."""

    exit_code = 2


def plain(text: str) -> str:
    """Return text in which nothing can move a cursor, change a colour or begin a line."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def remark(text: str) -> None:
    """Say something of what is shown, on standard error; once, however often a verb comes to it."""
    context = click.get_current_context(silent=True)
    said: set[str] = set() if context is None else context.meta.setdefault(__name__, set())
    if text not in said:
        said.add(text)
        click.echo(f"ro: {plain(text)}", err=True)


def line(text: str) -> None:
    """Write a line for people on standard output; a terminal gets as many as it needs, broken between words."""
    shown = plain(text)
    width = Console(file=sys.stdout).width if sys.stdout.isatty() else None
    for part in [shown] if width is None or len(shown) <= width else wrapped(shown, width):
        click.echo(part)


def json_line(value: object) -> None:
    """Write one JSON object on a line of standard output."""
    click.echo(msgspec.json.encode(value))


def moment(at: datetime | None) -> str:
    """Write a time to the second, as UTC."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}Z"


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
