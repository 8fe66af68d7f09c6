"""How the present is shown: a sentence, and what a person can do, with the command to type."""

import click

from remediation_orchestrator.orchestrator.queries.standing import Present
from remediation_orchestrator.orchestrator.queries.views import RemediationView

from .connection import as_given
from .output import line, plain
from .tables import Cell, Toned


def show_present(name: str, present: Present) -> None:
    """Write what is so of something, and what can be done; a command is one line, to be taken as it is."""
    line(present.sentence(name))
    for act in present.acts:
        line(f"  {act.does}:")
        click.echo(plain(f"    {as_given(act.command)}"))


def phase_of(one: RemediationView) -> Cell:
    """Its phase, in the colour of what has to be looked at where that is so."""
    return Toned(one.phase, "AwaitingApproval") if one.present.needs_person else one.phase
