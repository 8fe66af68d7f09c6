"""`ro clear`: an operator has looked, and forgives a problem its failures or a target its half-done runs."""

import click
from msgspec import Struct

from remediation_orchestrator.events import BlockCleared, Fingerprint, Reason, RemediationId, Target
from remediation_orchestrator.orchestrator.queries.views import Chronicle
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation

from .support.connection import Broker
from .support.naming import the_fingerprint, the_remediation
from .support.operating import Operator, operator_options, tell
from .support.output import RefusedError
from .support.reading import read_log
from .support.running import run
from .support.signal_input import parse_target

OF_THE_FINGERPRINT = {Reason.EXHAUSTED_RETRIES, Reason.CONSECUTIVE_FAILURES, Reason.EXPONENTIAL_BACKOFF}


class Asked(Struct, frozen=True):
    """What is to be cleared, as it was said."""

    name: str | None
    fingerprint: str | None
    target: str | None
    workflow: str | None


class Cleared(Struct, frozen=True):
    """What is to be cleared, as the log knows it."""

    fingerprint: Fingerprint | None = None
    target: Target | None = None
    workflow: str | None = None


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
        fold = (await read_log(log, chronicle)).fold
        view = fold.view
        remediation: RemediationId | None = None
        if asked.name is not None:
            found = the_remediation(chronicle.known(view), asked.name)
            remediation, cleared = found.id, _what_refuses(view, chronicle, found)
        else:
            cleared = _what_is_named(view, chronicle, asked)
        who, why = operator.by, operator.reason
        fact = BlockCleared(cleared.fingerprint, cleared.target, cleared.workflow, by=who, reason=why)
        await tell(log, fold, operator, fact, _follows(view, cleared, remediation), remediation or "")


def _what_refuses(view: Projection, chronicle: Chronicle, one: Remediation) -> Cleared:
    """What the newest verdict on a remediation names. Raises RefusedError where a clear would change nothing."""
    objection = chronicle.objection(one)
    if objection is None:
        raise RefusedError(f"{one.id} is {one.phase}: nothing refuses or blocks it")
    if objection.reason in OF_THE_FINGERPRINT:
        return Cleared(fingerprint=one.fingerprint)
    if objection.reason is Reason.PREVIOUS_EXECUTION_FAILED and one.workflow is not None:
        return Cleared(target=one.target, workflow=one.workflow.id)
    holder = view.holder(one.target)
    if objection.reason is Reason.RESOURCE_BUSY and holder is not None and holder.lost:
        return Cleared(target=one.target)
    of = f" of {objection.of}" if objection.of else ""
    raise RefusedError(f"{one.id} is {one.phase} for {objection.reason}{of}, which no clear can change")


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


def _follows(view: Projection, cleared: Cleared, remediation: RemediationId | None) -> str:
    """What a clear will change; a remediation that has ended needs a retry, or its next signal."""
    said: list[str] = []
    if cleared.fingerprint is not None:
        history = view.history(cleared.fingerprint)
        left = sum(one.fingerprint == cleared.fingerprint for one in view.half_done.values())
        runs = f" and {left} half-done runs" if left else ""
        said.append(f"{history.failures} failures in a row{runs} are forgotten of {cleared.fingerprint[:12]}")
    if cleared.target is not None:
        keys = [key for key in view.half_done if key[0] == cleared.target and cleared.workflow in (None, key[1])]
        said.append(f"{len(keys)} half-done runs are forgotten on {cleared.target}")
        holder = view.holder(cleared.target)
        if holder is not None and holder.lost:
            said.append(f"{cleared.target} is released from {holder.execution}")
    known = view.remediations.get(remediation) if remediation is not None else None
    if known is not None and known.phase.ended:
        said.append(f"`ro retry {remediation}` or its next signal has it judged again")
    elif remediation is not None and known is None:
        said.append("its next signal is judged anew")
    return "; ".join(said)
