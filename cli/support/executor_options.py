"""What an executor is told on the command line, by itself or beside everything else."""

from pathlib import Path

import click

WORKFLOWS = click.Path(exists=True, file_okay=False, path_type=Path)
SLOTS_DEFAULT = 4
slots_option = click.option(
    "--slots",
    type=click.IntRange(min=1, max=1_000),
    default=SLOTS_DEFAULT,
    show_default=True,
    help="How many workflows may run at once.",
)
