"""`ro show`: one remediation, all that the log says of it, in order."""

import click

from remediation_orchestrator.events import RemediationId
from remediation_orchestrator.events.identity import named_by
from remediation_orchestrator.orchestrator.queries.history import Entry, History, Locator, RunView, run_views
from remediation_orchestrator.orchestrator.queries.views import RemediationView, near, remediation_view, unjudged
from remediation_orchestrator.orchestrator.routing.words import spoken

from .support.connection import LogSource, reading_options
from .support.output import RefusedError, json_line, line, moment
from .support.presence import phase_of, show_present
from .support.reading import Read, read
from .support.tables import fields, table


@click.command("show")
@click.argument("name", metavar="ID")
@reading_options
def verb(source: LogSource, name: str, as_json: bool) -> None:
    """Show a remediation: ID is rr-..., wfe-..., or the position of one of its records."""
    wanted = named_by(name)
    if wanted is None:
        wanted = _located(source, name)
    history = History(wanted)
    found = read(source, history)
    view = found.fold.view
    known = history.chronicle.known(view)
    remediation = known.get(wanted) or next((one for one in unjudged(view) if one.id == wanted), None)
    if remediation is None:
        counted = f"; its signal was counted on {history.counted_on}" if history.counted_on else ""
        close = ", ".join(near(known, wanted))
        raise RefusedError(f"{name}: no such remediation{counted}{f'; near it: {close}' if close else ''}")
    shown = remediation_view(view, history.chronicle, remediation, found.now)
    runs = run_views(history.entries)
    if as_json:
        json_line({"remediation": shown, "runs": runs, "records": history.entries})
    else:
        _print(shown, runs, history.entries, found)


def _located(source: LogSource, name: str) -> RemediationId:
    try:
        locator = Locator(name)
    except ValueError as error:
        raise click.BadParameter(f"{name!r} is no rr-..., wfe-... or position", param_hint="ID") from error
    found = read(source, locator)
    if locator.found is None:
        close = ", ".join(near(locator.known(found.fold.view), name))
        raise RefusedError(f"{name}: no remediation has a record there{f'; near it: {close}' if close else ''}")
    return locator.found


def _print(shown: RemediationView, runs: list[RunView], entries: list[Entry], found: Read) -> None:
    reason = f"{shown.reason} of {shown.of}" if shown.of else shown.reason
    show_present(shown.id, shown.present)
    line("")
    fields(
        (
            ("remediation", shown.id),
            ("signal", shown.name),
            ("target", str(shown.target)),
            ("within", ", ".join(map(str, shown.within))),
            ("severity", shown.severity),
            ("environment", shown.environment),
            ("priority", shown.priority),
            ("team", shown.team),
            ("phase", phase_of(shown)),
            ("reason", reason),
            ("until", moment(shown.until)),
            ("workflow", shown.workflow),
            ("attempts", shown.attempts),
            ("opened", f"{moment(shown.opened_at)} ({spoken(found.now - shown.opened_at)} ago)"),
            ("fingerprint", shown.fingerprint),
        )
    )
    if runs:
        line("")
        columns = ("RUN", "WORKFLOW", "OUTCOME", "STARTED", "ENDED", "EXECUTOR", "SAID")
        table(columns, [_run(one) for one in runs], optional=("EXECUTOR", "ENDED", "WORKFLOW"))
    line("")
    table(
        ("POSITION", "TIME", "RECORD", "SAYS"),
        [(one.position, moment(one.recorded_at), one.type.removesuffix(".v1"), one.says) for one in entries],
        optional=("TIME",),
    )


def _run(one: RunView) -> tuple[str | None, ...]:
    said = (one.message or one.output or "").strip().splitlines()
    reason = f"{one.outcome} ({one.reason})" if one.reason else one.outcome
    return (
        one.execution,
        one.workflow,
        reason,
        moment(one.started_at),
        moment(one.ended_at),
        one.executor,
        said[-1] if said else "",
    )
