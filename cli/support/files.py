"""How a verb takes a file from the command line: as its path. Whether it can be read is said where it is."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import click

Verb: TypeAlias = Callable[..., None]
FILE = click.Path(path_type=Path)


def file_option(name: str, to: str, what: str, *, multiple: bool = False) -> Callable[[Verb], Verb]:
    """An option that names a file, or several, handed to a verb as `to`; `what` is its help."""
    return click.option(name, to, metavar="FILE", type=FILE, multiple=multiple, help=what)
