"""What operators say of one remediation: checked against the folded log, recorded with who and why."""

import getpass
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import click

from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import Position, RemediationId, subjects
from remediation_orchestrator.events.identity import named_by, position
from remediation_orchestrator.events.subjects import OperatorFact
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation
from remediation_orchestrator.orchestrator.views import Chronicle, near

from .connection import Broker, Verb, broker_options, json_option
from .output import RefusedError, json_line, line
from .publishing import event_of, store
from .reading import read_log
from .running import run

Saying = Callable[[Remediation, str, str], OperatorFact]
Following = Callable[[Projection, Remediation], str]


def _filled(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("must say something", ctx=context, param=parameter)
    return value


def _user() -> str:
    """The user's name, or their number where nobody has given them a name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


reason_option = click.option("--reason", required=True, callback=_filled, help="Why; recorded with who.")
by_option = click.option("--by", default=_user, callback=_filled, help="Who.  [default: the user's name]")


def operator_options(verb: Verb) -> Verb:
    """Give a verb what every operator's fact needs; it takes a `Broker` first."""

    return reason_option(by_option(json_option(broker_options(verb))))


def operate(
    broker: Broker, name: str, *, reason: str, by: str, as_json: bool, fact: Saying, follows: Following
) -> None:
    """Say something of one remediation, if it is there and `follows` does not refuse; tell what will follow."""
    run(_operate(broker, name, reason, by, as_json, fact, follows))


def the_remediation(known: Mapping[RemediationId, Remediation], name: str) -> Remediation:
    """The remediation that is named. Raises RefusedError where there is none."""
    wanted = named_by(name)
    found = known.get(wanted) if wanted else None
    if found is None:
        close = ", ".join(near(known, name))
        raise RefusedError(f"{name}: no such remediation{f'; near it: {close}' if close else ''}")
    return found


async def publish(
    log: JetStreamLog, fact: OperatorFact, remediation: str, follows: str, *, as_json: bool
) -> Position:
    """Store an operator's fact, and say where it stands and what will follow."""
    event = event_of(log.cell, "operator/cli", fact, remediation)
    place = position(await store(log, subjects.operator(log.cell, fact), event))
    if as_json:
        json_line({"position": place, "type": f"{type(fact).__name__}.v1", "data": fact, "follows": follows})
    else:
        line(f"{place}: {follows}")
    return place


async def _operate(
    broker: Broker, name: str, reason: str, by: str, as_json: bool, fact: Saying, follows: Following
) -> None:
    async with broker.reading() as log:
        chronicle = Chronicle()
        view = (await read_log(log, chronicle)).fold.view
        remediation = the_remediation(chronicle.known(view), name)
        if view.has_forgotten(remediation, datetime.now(UTC)):
            raise RefusedError(f"{remediation.id} is {remediation.phase}, {_why_forgotten(view, remediation)}")
        text = follows(view, remediation)
        await publish(log, fact(remediation, by, reason), remediation.id, text, as_json=as_json)


def _why_forgotten(view: Projection, one: Remediation) -> str:
    """Why nothing can be said of a remediation any more, and what can be done instead."""
    history = view.history(one.fingerprint)
    newer = history.active or history.ended
    if newer is not None and newer != one.id:
        return f"and {newer} came after it on the same problem"
    return "and so long ago that it is forgotten: its next signal is judged anew"
