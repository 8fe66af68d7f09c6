"""`ro list`: what is going on."""

import click

from remediation_orchestrator.events import Phase
from remediation_orchestrator.events.wording import plainly
from remediation_orchestrator.orchestrator.queries.chronicle import Chronicle
from remediation_orchestrator.orchestrator.queries.rejected import RejectedView, rejected
from remediation_orchestrator.orchestrator.queries.views import RemediationView, remediations
from remediation_orchestrator.orchestrator.routing.words import spoken

from .support.connection import LogSource, reading_options
from .support.output import json_line, line, moment, reading, remark
from .support.presence import phase_of
from .support.reading import Read, read
from .support.running import run
from .support.tables import Cell, table

COLUMNS = ("ID", "NAME", "TARGET", "PHASE", "REASON", "UNTIL", "ATTEMPTS", "AGE")
# What there may be no room for, the first first.
OPTIONAL = ("ATTEMPTS", "AGE", "NAME", "UNTIL")


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
@click.option("--needs-me", is_flag=True, help="Only those for which nothing goes on until a person acts.")
@click.option(
    "--rejected", "refused", is_flag=True, help="In their place, what was stored and could not be taken."
)
@reading_options
def verb(
    source: LogSource,
    active: bool,
    phases: tuple[str, ...],
    target: str | None,
    needs_me: bool,
    refused: bool,
    as_json: bool,
) -> None:
    """Show the remediations, the oldest first."""
    if refused:
        if active or phases or target is not None or needs_me:
            raise click.UsageError("--rejected shows no remediations: it goes with none of their options")
        _show_rejected(run(_rejected(source)), as_json)
        return
    chronicle = Chronicle()
    found = read(source, chronicle)
    rows = [
        one
        for one in remediations(found.fold.view, chronicle, found.now)
        if (one.active or not active)
        and (not phases or one.phase in phases)
        and (target is None or target in str(one.target))
        and (one.present.needs_person or not needs_me)
    ]
    if found.shut_at is not None:
        remark(f"the log is {found.shut_at:.0%} full: it takes no signals until there is room")
    if as_json:
        for one in rows:
            json_line(one)
    elif rows:
        table(COLUMNS, [_row(one, found) for one in rows], optional=OPTIONAL)
    else:
        line("no remediations" if not (active or phases or target or needs_me) else "no such remediations")


def _row(one: RemediationView, found: Read) -> tuple[Cell, ...]:
    reason = f"{one.reason} of {one.of}" if one.of else one.reason
    age = spoken(found.now - one.opened_at)
    phase = phase_of(one)
    return one.id, one.name, str(one.target), phase, reason, moment(one.until), one.attempts, age


async def _rejected(source: LogSource) -> list[RejectedView]:
    async with source.log() as log:
        with reading(f"reading the log of {log.cell}"):
            return [one async for message in log.read(await log.first_sequence()) for one in rejected(message)]


def _show_rejected(found: list[RejectedView], as_json: bool) -> None:
    if as_json:
        for one in found:
            json_line(one)
    elif found:
        rows = [
            (one.position, moment(one.recorded_at), one.subject, one.reason, plainly(one.message)) for one in found
        ]
        table(("POSITION", "TIME", "SUBJECT", "REASON", "WHAT"), rows, optional=("TIME", "REASON"))
    else:
        line("nothing was rejected")
