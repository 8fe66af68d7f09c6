"""How the present is shown: a sentence, and what a person can do, with the command to type."""

import click

from remediation_orchestrator.orchestrator.queries.standing import Present
from remediation_orchestrator.orchestrator.queries.views import RemediationView

from .output import line, plain
from .tables import Cell, Toned


def show_present(name: str, present: Present) -> None:
    """Write what is so of something. A command stands on a line of its own, so that it can be taken as it is."""
    line(present.sentence(name))
    for act in present.acts:
        click.echo(plain(f"  {act.command}   # {act.does}"))


def phase_of(one: RemediationView) -> Cell:
    """Its phase, in the colour of what has to be looked at where that is so."""
    return Toned(one.phase, "AwaitingApproval") if one.present.needs_person else one.phase
