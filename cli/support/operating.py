"""What operators say of one remediation: checked against the folded log, recorded with who and why, decided on."""

import functools
import getpass
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import click
from msgspec import Struct

from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import (
    Duplicate,
    OperatorFact,
    Refuse,
    RetryRequested,
    RoutingDecided,
    Skip,
    subjects,
)
from remediation_orchestrator.events.identity import position
from remediation_orchestrator.orchestrator.queries.chronicle import Chronicle
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation

from .awaiting import ANSWER_SECONDS, SECONDS, Answer, UndecidedError, answers
from .connection import Broker, Verb, broker_options, json_option
from .naming import the_remediation
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


def _person(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if subjects.WHO.fullmatch(value) is None:
        raise click.BadParameter(f"{value!r} is not {subjects.WHO_IS}", ctx=context, param=parameter)
    return value


def user() -> str:
    """The user's name as a subject can hold it, with `-` for what it cannot; `unknown` where there is none."""
    try:
        return re.sub(r"[^A-Za-z0-9_-]", "-", getpass.getuser())[:64] or "unknown"
    except (OSError, KeyError):
        return "unknown"


reason_option = click.option("--reason", required=True, callback=_filled, help="Why; recorded with who.")
by_option = click.option(
    "--by", default=user, callback=_person, metavar="WHO", help="Who you are.  [default: the user's name]"
)
wait_option = click.option(
    "--wait",
    "seconds",
    type=SECONDS,
    metavar="SECONDS",
    default=ANSWER_SECONDS,
    show_default=True,
    help="How long to wait for the decision that answers it.",
)


class Operator(Struct, frozen=True):
    """Who says something, why, and how they are answered."""

    by: str
    reason: str
    seconds: float
    as_json: bool


def operator_options(verb: Verb) -> Verb:
    """Give a verb what every operator's fact needs; it takes a `Broker` and an `Operator` first."""

    @functools.wraps(verb)
    def wired(broker: Broker, by: str, reason: str, seconds: float, as_json: bool, **rest: object) -> None:
        verb(broker, Operator(by, reason, seconds, as_json), **rest)

    return reason_option(by_option(wait_option(json_option(broker_options(wired)))))


def operate(broker: Broker, operator: Operator, name: str, *, fact: Saying, follows: Following) -> None:
    """Say something of one remediation, if it is there and `follows` does not refuse; tell what came of it."""
    run(_operate(broker, operator, name, fact, follows))


async def publish(
    log: JetStreamLog, fold: Fold, fact: OperatorFact, seconds: float, remediation: str = "", *, asks: bool = False
) -> tuple[int, list[Answer] | UndecidedError]:
    """Store an operator's fact, and wait for what answers it: the decisions, or that nobody has decided yet.

    Raises RefusedError where it was decided that nothing follows from it."""
    event = event_of(log.cell, "operator/cli", fact, remediation)
    place = await store(log, subjects.operator(log.cell, fact), event)
    try:
        return place, await answers(log, fold, place, seconds, asks=asks)
    except UndecidedError as error:
        return place, error


async def tell(
    log: JetStreamLog,
    fold: Fold,
    operator: Operator,
    fact: OperatorFact,
    follows: str,
    remediation: str = "",
    *,
    asks: bool = False,
) -> None:
    """Publish an operator's fact; say where it stands and what was decided. Raises UndecidedError."""
    stored, found = await publish(log, fold, fact, operator.seconds, remediation, asks=asks)
    place, decided = position(stored), [] if isinstance(found, UndecidedError) else found
    said = {"position": place, "type": f"{type(fact).__name__}.v1", "data": fact, "follows": follows}
    document = {**said, "decided": [one.document() for one in decided]}
    told(found, document, f"{place}: {follows}", *(one.line() for one in decided), as_json=operator.as_json)


def told(found: list[Answer] | UndecidedError, document: Mapping[str, object], *lines: str, as_json: bool) -> None:
    """Tell programs what is stored, and people what is decided.

    Raises UndecidedError where nothing is yet, and RefusedError where it only counts on what goes on already, or
    a retry is not let through."""
    if as_json:
        json_line(document)
    if isinstance(found, UndecidedError):
        raise found
    is_retry = document["type"] == f"{RetryRequested.__name__}.v1"
    for one in found:
        if isinstance(one.decision, RoutingDecided) and isinstance(one.decision.verdict, Duplicate):
            of = one.decision.verdict.of
            raise RefusedError(
                f"{document['position']}: recorded, and counted on {of}, which is at this problem already"
            )
        if (
            is_retry
            and isinstance(one.decision, RoutingDecided)
            and isinstance(one.decision.verdict, Refuse | Skip)
        ):
            raise RefusedError(f"{document['position']}: recorded, and not tried again: {one.line()}")
    if not as_json:
        for text in lines:
            line(text)


async def _operate(broker: Broker, operator: Operator, name: str, fact: Saying, follows: Following) -> None:
    async with broker.reading() as log:
        chronicle = Chronicle()
        fold = (await read_log(log, chronicle)).fold
        view = fold.view
        remediation = the_remediation(view, chronicle, name)
        if view.retention.has_forgotten(remediation, datetime.now(UTC)):
            raise RefusedError(f"{remediation.id} is {remediation.phase}, {_why_forgotten(view, remediation)}")
        text = follows(view, remediation)
        said = fact(remediation, operator.by, operator.reason)
        await tell(log, fold, operator, said, text, remediation.id, asks=True)


def _why_forgotten(view: Projection, one: Remediation) -> str:
    """Why nothing can be said of a remediation any more, and what can be done instead."""
    history = view.history(one.fingerprint)
    newer = history.active or history.ended
    if newer is not None and newer != one.id:
        return f"and {newer} came after it on the same problem"
    return "and so long ago that it is forgotten: its next signal is judged anew"
