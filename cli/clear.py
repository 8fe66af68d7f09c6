"""`ro clear`: an operator has looked, and forgives a problem its failures or a target its half-done runs."""

from collections.abc import Iterator
from datetime import datetime

import click
from msgspec import Struct

from remediation_orchestrator.events import BlockCleared, Phase, RemediationId, Target
from remediation_orchestrator.orchestrator.queries.chronicle import Chronicle
from remediation_orchestrator.orchestrator.queries.obstacles import (
    FINGERPRINT_DIGITS,
    Cleared,
    is_clearable,
    obstacle,
)
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation
from remediation_orchestrator.orchestrator.routing.words import times

from .support.connection import Broker, as_given
from .support.naming import the_fingerprint, the_remediation
from .support.operating import Operator, operator_options, tell
from .support.output import RefusedError
from .support.reading import read_log
from .support.running import run
from .support.signal_input import parse_target


class Asked(Struct, frozen=True):
    """What is to be cleared, as it was said."""

    name: str | None
    fingerprint: str | None
    target: str | None
    workflow: str | None


@click.command("clear")
@click.argument("name", metavar="[ID]", required=False)
@click.option("--fingerprint", help="Forget this problem's failures; as much of it as is unique.")
@click.option("--target", metavar="TARGET", help="Forget the failed runs there: [cluster/][namespace/][Kind/]name")
@click.option("--workflow", help="Of the target, only this workflow's.")
@operator_options
def verb(
    broker: Broker,
    operator: Operator,
    name: str | None,
    fingerprint: str | None,
    target: str | None,
    workflow: str | None,
) -> None:
    """Clear what stands in the way: of remediation ID what refuses or blocks it, or what the options name."""
    asked = Asked(name, fingerprint, target, workflow)
    if (name is None) == (fingerprint is None and target is None):
        raise click.UsageError("give an ID, or --fingerprint or --target or both")
    if workflow is not None and target is None:
        raise click.UsageError("--workflow needs --target")
    run(_clear(broker, operator, asked))


async def _clear(broker: Broker, operator: Operator, asked: Asked) -> None:
    async with broker.reading() as log:
        chronicle = Chronicle()
        read = await read_log(log, chronicle)
        fold, view, now = read.fold, read.fold.view, read.now
        remediation: RemediationId | None = None
        if asked.name is not None:
            found = the_remediation(view, chronicle, asked.name)
            remediation, cleared = found.id, _what_stands_in_its_way(view, found, now)
        else:
            cleared = _what_is_named(view, chronicle, asked)
        who, why = operator.by, operator.reason
        fact = BlockCleared(cleared.fingerprint, cleared.target, cleared.workflow, by=who, reason=why)
        await tell(log, fold, operator, fact, _follows(view, cleared, remediation, now), remediation or "")


def _what_stands_in_its_way(view: Projection, one: Remediation, now: datetime) -> Cleared:
    """What refuses or blocks it now and a clear takes away. Raises RefusedError where that is nothing."""
    waits = one.phase is Phase.BLOCKED or one.phase.ended
    found = obstacle(view, one, now) if waits else None
    if found is None or found.objection is None:
        raise RefusedError(f"{one.id} is {one.phase}: nothing refuses or blocks it")
    if found.clear is None:
        of = f" of {found.of}" if found.of else ""
        raise RefusedError(
            f"{one.id} is {one.phase}, and {found.objection}{of} is nothing that a clear can change"
        )
    return found.clear


def _what_is_named(view: Projection, chronicle: Chronicle, asked: Asked) -> Cleared:
    return Cleared(
        the_fingerprint(view, chronicle, asked.fingerprint) if asked.fingerprint is not None else None,
        _the_target(view, chronicle, asked.target) if asked.target is not None else None,
        asked.workflow,
    )


def _the_target(view: Projection, chronicle: Chronicle, text: str) -> Target:
    """The target that is meant, as it is printed or as it is typed. Raises RefusedError where nobody knows it."""
    known = {one.target for one in chronicle.known(view).values()} | set(view.holders)
    printed = [one for one in known if str(one) == text]
    if len(printed) == 1:
        return printed[0]
    try:
        typed = parse_target(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--target") from error
    if typed not in known:
        raise RefusedError(f"{text}: no such target")
    return typed


def _follows(view: Projection, cleared: Cleared, remediation: RemediationId | None, now: datetime) -> str:
    """What a clear will change, or that it is nothing; what has ended needs a retry, or its next signal."""
    said = [*_forgotten_of_the_problem(view, cleared), *_forgotten_of_the_target(view, cleared, now)]
    if not said:
        what = " and ".join(str(one) for one in (cleared.fingerprint, cleared.target) if one is not None)
        return f"nothing was held against {what}: this changes nothing"
    known = view.remediations.get(remediation) if remediation is not None else None
    if known is not None and known.phase.ended:
        said.append(f"`{as_given(f'ro retry {remediation}')}` or its next signal has it judged again")
    elif remediation is not None and known is None:
        said.append("its next signal is judged anew")
    return "; ".join(said)


def _forgotten_of_the_problem(view: Projection, cleared: Cleared) -> Iterator[str]:
    if cleared.fingerprint is None:
        return
    history = view.history(cleared.fingerprint)
    left = sum(one.fingerprint == cleared.fingerprint for one in view.half_done.values())
    whats = [times(history.failures, "failure") + " in a row"] * bool(history.failures)
    whats += [times(left, "half-done run")] * bool(left)
    if whats:
        yield f"forgotten of {cleared.fingerprint[:FINGERPRINT_DIGITS]}: {' and '.join(whats)}"


def _forgotten_of_the_target(view: Projection, cleared: Cleared, now: datetime) -> Iterator[str]:
    if cleared.target is None:
        return
    keys = [key for key in view.half_done if key[0] == cleared.target and cleared.workflow in (None, key[1])]
    if keys:
        yield f"forgotten on {cleared.target}: {times(len(keys), 'half-done run')}"
    holder = view.holder(cleared.target)
    if holder is not None and is_clearable(view, holder, now):
        yield f"{cleared.target} is released from {holder.execution}"
