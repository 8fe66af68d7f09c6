"""`ro explain`: why a signal was, or was not, acted upon: every check in order, with its numbers."""

from collections.abc import Sequence
from difflib import get_close_matches

import click

from remediation_orchestrator.events import Position, Target
from remediation_orchestrator.events.identity import position_key
from remediation_orchestrator.orchestrator.queries.explain import Answer, Explainer, Explanation, Line, why_not
from remediation_orchestrator.orchestrator.queries.views import Chronicle, near

from .support.connection import Source, reading_options
from .support.output import BadInputError, RefusedError, json_line, line, moment, table
from .support.reading import read_into, read_log
from .support.running import run

MARKS = {Answer.OBJECTS: "objects", Answer.PASSES: "passes", Answer.SILENT: "-", Answer.NOT_REACHED: "not reached"}


@click.command("explain")
@click.argument("identifier", metavar="ID", required=False)
@click.option("--attempt", type=click.IntRange(min=1), help="This verdict; by default the newest.")
@click.option("--why-not", "target", metavar="TARGET", help="Why nothing happens to this target.")
@reading_options
def verb(source: Source, identifier: str | None, attempt: int | None, target: str | None, as_json: bool) -> None:
    """Explain a verdict on a remediation (rr-…), a run (wfe-…) or a signal's position."""
    if (identifier is None) == (target is None):
        raise BadInputError("give either an ID or --why-not TARGET")
    found = run(_explain(source, identifier, target))
    if not found:
        raise RefusedError(f"nothing waits for {target}: whatever was about it has ended")
    chosen = [one for one in found if attempt in (None, one.decided.attempt)]
    if not chosen:
        raise RefusedError(f"{identifier} has no attempt {attempt}; it has {found[-1].decided.attempt}")
    for one in chosen if target is not None else chosen[-1:]:
        if as_json:
            json_line(one)
        else:
            _show(one)


async def _explain(source: Source, identifier: str | None, target: str | None) -> list[Explanation]:
    async with source.log() as log:
        if identifier is not None:
            explainer = Explainer(_signal_of(identifier))
            read = await read_into(explainer.fold, log)
            if not explainer.explanations:
                raise RefusedError(
                    f"{identifier}: no verdict on it{_near(near(read.fold.view.remediations, identifier))}"
                )
            return explainer.explanations
        chronicle = Chronicle()
        fold = (await read_log(log, chronicle)).fold
        known = {one.target for one in chronicle.known(fold.view).values()}
        newest: list[Explanation] = []
        for remediation in why_not(fold, _target_named(target or "", known)):
            explainer = Explainer(remediation.signal)
            await read_into(explainer.fold, log)
            newest += explainer.explanations[-1:]
        return newest


def _signal_of(identifier: str) -> Position:
    bare = identifier.removeprefix("rr-").removeprefix("wfe-").partition("-r")[0]
    try:
        position_key(bare)
    except ValueError as error:
        raise BadInputError(f"{identifier} is neither rr-…, nor wfe-…, nor a position") from error
    return Position(bare)


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
    verdict = type(decided.verdict).__name__
    reason = getattr(decided.verdict, "reason", None)
    line(
        f"{decided.remediation}, attempt {decided.attempt}, at {moment(decided.situation.now)}: "
        f"{verdict}{f' ({reason})' if reason else ''}"
    )
    line(f"target {decided.situation.target}, fingerprint {decided.situation.fingerprint}")
    line(f"because {decided.because.kind} {decided.because.position or ''}; decided at {one.position}")
    line(f"policy {one.policy[:12]}")
    table(("CHECK", "KEY", "ANSWER", "WHAT IT READ", "RECORDS"), [_row(check) for check in one.lines])
    line(one.next)


def _row(check: Line) -> tuple[str, str, str, str, str]:
    answer = MARKS[check.answer] + (f" (would: {MARKS[check.would]})" if check.would else "")
    return check.check, check.key, answer, check.read, ", ".join(check.because)
