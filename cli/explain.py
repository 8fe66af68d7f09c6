"""`ro explain`: why a signal was, or was not, acted upon: every check in order, with its numbers."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches

import click
import msgspec
from msgspec import Struct

from remediation_orchestrator.bus.port import ReadableLog
from remediation_orchestrator.events import Position, Target
from remediation_orchestrator.events.identity import signal_named_by
from remediation_orchestrator.orchestrator.queries.chronicle import Chronicle
from remediation_orchestrator.orchestrator.queries.explain import CheckLine, Explainer, Explanation, why_not
from remediation_orchestrator.orchestrator.queries.place import target_present
from remediation_orchestrator.orchestrator.queries.present import present
from remediation_orchestrator.orchestrator.queries.standing import Present
from remediation_orchestrator.orchestrator.queries.views import near
from remediation_orchestrator.orchestrator.routing.words import describe_decided

from .support.connection import LogSource, reading_options
from .support.output import BadInputError, RefusedError, json_line, line, moment
from .support.presence import show_present
from .support.reading import read_into, read_log
from .support.running import run
from .support.tables import Cell, table

OPTIONAL = ("RECORDS", "KEY")


class Told(Struct, frozen=True):
    """What is so now of something, and the verdicts on it, in order, with what each check read then."""

    name: str
    present: Present
    explanations: list[Explanation]
    named: Explanation | None = None
    """The one of them that was asked for."""


@click.command("explain")
@click.argument("identifier", metavar="ID", required=False)
@click.option("--attempt", type=click.IntRange(min=1), help="This verdict; by default the newest.")
@click.option("--why-not", "target", metavar="TARGET", help="Why nothing happens to this target.")
@reading_options
def verb(
    source: LogSource, identifier: str | None, attempt: int | None, target: str | None, as_json: bool
) -> None:
    """Say what is so now of a remediation (rr-…), and why it was decided.

    A run (wfe-…) and a record's position name their own verdict; a signal's position, the newest on it."""
    if (identifier is None) == (target is None):
        raise BadInputError("give either an ID or --why-not TARGET")
    for number, one in enumerate(run(_told(source, identifier, target))):
        chosen = [each for each in one.explanations if attempt in (None, each.decided.attempt)]
        if one.explanations and not chosen:
            raise RefusedError(
                f"{one.name} has no attempt {attempt}; it has {one.explanations[-1].decided.attempt}"
            )
        newest = one.named if one.named is not None and attempt is None else None
        shown = newest or (chosen[-1] if chosen else None)
        if as_json:
            verdict = {} if shown is None else msgspec.to_builtins(shown, builtin_types=(datetime, timedelta))
            json_line({"about": one.name, "present": one.present, **verdict})
        else:
            if number:
                line("")
            show_present(one.name, one.present)
            if shown is not None:
                _show(shown)


async def _told(source: LogSource, identifier: str | None, target: str | None) -> list[Told]:
    async with source.log() as log:
        live = source.file is None
        if identifier is not None:
            return [await _about(log, _signal_of(identifier), identifier, live=live)]
        chronicle = Chronicle()
        read = await read_log(log, chronicle, live=live)
        view = read.fold.view
        known = {one.target for one in chronicle.known(view).values()} | set(view.holders)
        place = _target_named(target or "", known)
        its = Told(str(place), target_present(view, place, read.now), [])
        of_it = [await _about(log, one.signal, one.id, live=live) for one in why_not(view, chronicle, place)]
        return [its, *of_it]


async def _about(log: ReadableLog, signal: Position, name: str, *, live: bool) -> Told:
    """A signal's remediation, the verdicts on the signal, and what is so of it now."""
    explainer = Explainer(signal, name)
    read = await read_into(explainer.fold, log, live=live)
    one, view = explainer.about(), explainer.fold.view
    if one is None:
        raise RefusedError(f"{name}: no verdict on it{_near(near(explainer.chronicle.known(view), name))}")
    if explainer.named is None and name.startswith("wfe-"):
        raise RefusedError(f"{name}: {one.id} has no such run")
    now = present(view, explainer.chronicle, one, read.now)
    return Told(one.id, now, explainer.explanations, explainer.named)


def _signal_of(identifier: str) -> Position:
    signal = signal_named_by(identifier)
    if signal is None:
        raise BadInputError(f"{identifier} is neither rr-…, nor wfe-…, nor a position")
    return signal


def _target_named(text: str, targets: set[Target]) -> Target:
    fitting = [one for one in targets if text in (str(one), one.name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise BadInputError(f"{text} may be any of {', '.join(sorted(map(str, fitting)))}")
    raise RefusedError(f"{text}: no such target{_near(get_close_matches(text, map(str, targets)))}")


def _near(names: Sequence[str]) -> str:
    return f"; near it: {', '.join(names)}" if names else ""


def _show(one: Explanation) -> None:
    decided = one.decided
    situation = decided.situation
    place = f" {decided.because.position}" if decided.because.position else ""
    line("")
    line(
        f"Attempt {decided.attempt}, at {moment(situation.now)}, because {decided.because.kind}{place}: "
        f"{describe_decided(decided)}. Recorded at {one.position}; policy {one.policy[:12]}."
    )
    line(f"Target {situation.target}, fingerprint {situation.fingerprint}. What each check read then:")
    table(
        ("CHECK", "KEY", "ANSWER", "WHAT IT READ", "RECORDS"),
        [_row(check) for check in one.lines],
        optional=OPTIONAL,
    )


def _row(check: CheckLine) -> tuple[Cell, ...]:
    answer = check.answer + (f" (would be: {check.would})" if check.would else "")
    return check.check, check.key, answer, check.read, ", ".join(check.because)
