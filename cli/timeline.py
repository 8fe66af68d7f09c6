"""`ro timeline`: the story of a remediation, a problem or a target, in order, and as a picture."""

from datetime import datetime
from pathlib import Path

import click

from remediation_orchestrator.events import RemediationId
from remediation_orchestrator.events.identity import named_by, position_key
from remediation_orchestrator.orchestrator.queries.chronicle import Chronicle
from remediation_orchestrator.orchestrator.queries.history import Locator
from remediation_orchestrator.orchestrator.queries.present import present
from remediation_orchestrator.orchestrator.queries.timeline import Bar, Step, Timeline, bars
from remediation_orchestrator.orchestrator.queries.views import fingerprints_like, near
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation

from .support.connection import LogSource, reading_options
from .support.naming import the_fingerprint
from .support.output import RefusedError, json_line, line, moment
from .support.picture import check_drawable, draw, say_duration
from .support.presence import show_present
from .support.reading import read
from .support.tables import table

AXIS_WIDTH = 24


@click.command("timeline")
@click.argument("name", metavar="ID|FINGERPRINT|TARGET")
@click.option("--svg", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Draw it, too.")
@click.option(
    "--last",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Of a problem or a target, so many remediations.",
)
@reading_options
def verb(source: LogSource, name: str, svg: Path | None, last: int, as_json: bool) -> None:
    """Tell a story in order: of rr-..., wfe-..., a record's position, a fingerprint, or a target."""
    if svg is not None:
        check_drawable()
    locator = _locator(name)
    chronicle = locator or Chronicle()
    view = read(source, chronicle).fold.view
    wanted = _wanted(view, chronicle, name, locator.found if locator else None)[-last:]
    timeline = Timeline(wanted)
    now = read(source, timeline).now
    steps = timeline.steps
    shown = bars(steps)
    if svg is not None:
        draw(svg, _title(wanted), steps, shown, now)
    newest = wanted[-1]
    standing = present(view, chronicle, newest, now)
    if as_json:
        json_line({"kind": "present", "remediation": newest.id, "present": standing})
        for row in (*steps, *shown):
            json_line(row)
    else:
        line(_title(wanted))
        show_present(newest.id, standing)
        _print(steps, shown, now)


def _locator(name: str) -> Locator | None:
    try:
        position_key(name)
    except ValueError:
        return None
    return Locator(name)


def _wanted(view: Projection, chronicle: Chronicle, name: str, located: RemediationId | None) -> list[Remediation]:
    """The remediations that a name is about, the oldest first. Raises RefusedError where there is none."""
    one = located or named_by(name)
    by_id = chronicle.known(view)
    if one in by_id:
        return [by_id[one]]
    if one is not None:
        raise RefusedError(f"{name}: no such remediation; near it: {', '.join(near(by_id, name)) or 'none'}")
    known = sorted(by_id.values(), key=lambda one: one.order)
    about = [one for one in known if str(one.target) == name] or [one for one in known if one.target.name == name]
    targets = {str(one.target) for one in about}
    if len(targets) > 1:
        raise RefusedError(f"{name} may be any of {', '.join(sorted(targets))}")
    if about:
        return about
    if not fingerprints_like(view, name, chronicle):
        raise RefusedError(f"{name}: no such remediation, fingerprint or target")
    fingerprint = the_fingerprint(view, chronicle, name)
    return [one for one in known if one.fingerprint == fingerprint]


def _title(wanted: list[Remediation]) -> str:
    if len(wanted) == 1:
        return f"{wanted[0].id}: {wanted[0].words.name} on {wanted[0].target}, {wanted[0].phase}"
    what = {one.words.name for one in wanted}
    where = {str(one.target) for one in wanted}
    return f"{len(wanted)} remediations of {', '.join(sorted(what))} on {', '.join(sorted(where))}"


def _print(steps: list[Step], shown: list[Bar], now: datetime) -> None:
    line("")
    table(
        ("POSITION", "TIME", "REMEDIATION", "RECORD", "SAYS"),
        [
            (one.position, moment(one.recorded_at), one.remediation, one.type.removesuffix(".v1"), one.says)
            for one in steps
        ],
        optional=("REMEDIATION", "TIME"),
    )
    if shown:
        line("")
        begin, end = shown[0].begin, max(bar.end or now for bar in shown)
        table(
            ("REMEDIATION", "WHAT", "LASTED", "", "SAYS"),
            [
                (one.remediation, one.what, say_duration(one, now), _axis(one, begin, end, now), _says(one))
                for one in shown
            ],
            optional=("REMEDIATION", ""),
        )


def _says(bar: Bar) -> str:
    return f"{bar.says}, {bar.outcome}" if bar.outcome else bar.says


def _axis(bar: Bar, begin: datetime, end: datetime, now: datetime) -> str:
    """Where a bar lies between the first beginning and the last end."""
    whole = max((end - begin).total_seconds(), 1e-6)
    first = min(int((bar.begin - begin).total_seconds() / whole * AXIS_WIDTH), AXIS_WIDTH - 1)
    last = min(int(((bar.end or now) - begin).total_seconds() / whole * AXIS_WIDTH), AXIS_WIDTH)
    width = max(last - first, 1)
    return "·" * first + "█" * width + "·" * (AXIS_WIDTH - first - width)
