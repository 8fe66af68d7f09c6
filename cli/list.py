"""`ro list`: what is going on."""

import click

from remediation_orchestrator.events import Phase
from remediation_orchestrator.orchestrator.queries.views import Chronicle, RemediationView, remediations

from .support.connection import Source, reading_options
from .support.output import Cell, json_line, line, moment, span, table
from .support.reading import Read, read

COLUMNS = ("ID", "NAME", "TARGET", "PHASE", "REASON", "UNTIL", "ATTEMPTS", "AGE")


@click.command("list")
@click.option("--active", is_flag=True, help="Only those that have not ended.")
@click.option(
    "--phase",
    "phases",
    type=click.Choice([phase.value for phase in Phase], case_sensitive=False),
    multiple=True,
    help="Only those in this phase; may be given again.",
)
@click.option("--target", metavar="TEXT", help="Only those whose target contains this text.")
@reading_options
def verb(source: Source, active: bool, phases: tuple[str, ...], target: str | None, as_json: bool) -> None:
    """Show the remediations, the oldest first."""
    chronicle = Chronicle()
    found = read(source, chronicle)
    rows = [
        one
        for one in remediations(found.fold.view, chronicle)
        if (one.active or not active)
        and (not phases or one.phase in phases)
        and (target is None or target in str(one.target))
    ]
    if found.shut_at is not None:
        click.echo(f"ro: the log is {found.shut_at:.0%} full: it takes no signals until there is room", err=True)
    if as_json:
        for one in rows:
            json_line(one)
    elif rows:
        table(COLUMNS, [_row(one, found) for one in rows])
    else:
        line("no remediations" if not (active or phases or target) else "no such remediations")


def _row(one: RemediationView, found: Read) -> tuple[Cell, ...]:
    reason = f"{one.reason} of {one.of}" if one.of else one.reason
    age = span(found.now - one.opened_at)
    return one.id, one.name, str(one.target), one.phase, reason, moment(one.until), one.attempts, age
