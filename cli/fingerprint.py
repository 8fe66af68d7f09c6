"""`ro fingerprint`: what a problem has been through, and when it may run again."""

import click

from remediation_orchestrator.orchestrator.queries.views import Chronicle, FingerprintView, fingerprint_view

from .support.connection import Source, reading_options
from .support.naming import the_fingerprint
from .support.output import fields, json_line, line, moment, span, table
from .support.reading import Read, read


@click.command("fingerprint")
@click.argument("text", metavar="FINGERPRINT")
@reading_options
def verb(source: Source, text: str, as_json: bool) -> None:
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
    if allowed is None:
        said = "never, until cleared or forgotten" if shown.objection != "UnmanagedResource" else "never"
    elif allowed <= found.now:
        said = "now"
    else:
        said = f"{moment(allowed)} (in {span(allowed - found.now)})"
    fields(
        (
            ("fingerprint", shown.fingerprint),
            ("failures in a row", shown.failures),
            ("last failure", moment(shown.last_failure_at)),
            ("next allowed", f"{said}, {shown.objection}" if shown.objection else said),
            ("last completion", moment(shown.completed_at)),
            ("completed by", shown.completed_by),
            ("active", shown.active),
        )
    )
    line("")
    columns = ("ID", "NAME", "TARGET", "PHASE", "REASON", "ATTEMPTS", "RUNS", "OPENED")
    table(
        columns,
        [
            (
                one.id,
                one.name,
                str(one.target),
                one.phase,
                one.reason,
                one.attempts,
                one.runs,
                moment(one.opened_at),
            )
            for one in shown.remediations
        ],
    )
