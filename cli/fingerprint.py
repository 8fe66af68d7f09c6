"""`ro fingerprint`: what a problem has been through, and when it may run again."""

import click

from remediation_orchestrator.orchestrator.queries.chronicle import Chronicle
from remediation_orchestrator.orchestrator.queries.history import ALERT_CHARACTERS
from remediation_orchestrator.orchestrator.queries.views import (
    FingerprintView,
    RemediationView,
    fingerprint_view,
)
from remediation_orchestrator.orchestrator.routing.words import spoken

from .support.connection import LogSource, reading_options
from .support.naming import the_fingerprint
from .support.output import json_line, line, moment
from .support.presence import phase_of, show_present
from .support.reading import Read, read
from .support.tables import Cell, fields, table

# As many as one line says.
ALERTS_SHOWN = 4


@click.command("fingerprint")
@click.argument("text", metavar="FINGERPRINT")
@reading_options
def verb(source: LogSource, text: str, as_json: bool) -> None:
    """Show a fingerprint's failures and its next allowed time; as much of it as is unique is enough."""
    chronicle = Chronicle()
    found = read(source, chronicle)
    shown = fingerprint_view(
        found.fold.view, chronicle, the_fingerprint(found.fold.view, chronicle, text), found.now
    )
    if as_json:
        json_line(shown)
    else:
        _print(shown, found)


def _print(shown: FingerprintView, found: Read) -> None:
    allowed = shown.next_allowed_at
    wait = f" (in {spoken(allowed - found.now)})" if allowed is not None and allowed > found.now else ""
    fields(
        (
            ("fingerprint", shown.fingerprint),
            ("failures in a row", shown.failures),
            ("last failure", moment(shown.last_failure_at)),
            ("next allowed", shown.next_allowed + wait),
            ("what objects", shown.objection),
            ("what ends that", shown.ends if shown.objection else None),
            ("what to type", shown.clear),
            ("last completion", moment(shown.completed_at)),
            ("completed by", shown.completed_by),
            ("active", shown.active),
            ("firing", _alerts(shown.firing)),
        )
    )
    line("")
    newest = shown.remediations[-1]
    show_present(newest.id, newest.present)
    line("")
    columns = ("ID", "NAME", "TARGET", "PHASE", "REASON", "ATTEMPTS", "RUNS", "OPENED")
    table(columns, [_row(one) for one in shown.remediations], optional=("NAME", "ATTEMPTS", "RUNS"))


def _alerts(firing: list[str]) -> str | None:
    """The alerts that fire, as many as one reads."""
    if not firing:
        return None
    more = f" and {len(firing) - ALERTS_SHOWN} more" if len(firing) > ALERTS_SHOWN else ""
    return ", ".join(one[:ALERT_CHARACTERS] for one in firing[:ALERTS_SHOWN]) + more


def _row(one: RemediationView) -> tuple[Cell, ...]:
    opened = moment(one.opened_at)
    return one.id, one.name, str(one.target), phase_of(one), one.reason, one.attempts, one.runs, opened
