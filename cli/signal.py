"""`ro signal`: say that a problem is there, or over. Checked before it is published, stored when it says so."""

import asyncio
from contextlib import aclosing
from typing import cast

import click
from msgspec import Struct
from msgspec.structs import asdict

from remediation_orchestrator.bus.port import EventLog
from remediation_orchestrator.events import (
    CellName,
    Duplicate,
    Fingerprint,
    Position,
    Recorded,
    RoutingDecided,
    SignalReceived,
    decode,
    subjects,
)
from remediation_orchestrator.events.facts import Severity
from remediation_orchestrator.events.stored import MESSAGE_BYTES_MAX
from remediation_orchestrator.orchestrator.routing.words import describe_decided

from .support.awaiting import SECONDS, UndecidedError
from .support.connection import Broker, broker_options, json_option
from .support.output import BadInputError, json_line, line
from .support.publishing import event_of, messages_of, store
from .support.running import run
from .support.signal_input import (
    AnySignal,
    parse_pair,
    parse_target,
    parse_value,
    read_alertmanager,
    read_input,
    read_signals,
    signal_of,
)


class Published(Struct, frozen=True):
    """A signal that is stored."""

    position: Position
    type: str
    name: str
    target: str
    fingerprint: Fingerprint


@click.command("signal")
@click.option("--name", help="What is wrong, such as KubePodCrashLooping.")
@click.option("--target", metavar="TARGET", help="[cluster/][namespace/][Kind/]name")
@click.option("--target-name", help="The target's name, where it contains a slash.")
@click.option("--namespace", help="The target's namespace.")
@click.option("--kind", help="The target's kind.")
@click.option("--cluster", help="The target's cluster.")
@click.option("--within", "within", metavar="TARGET", multiple=True, help="In what it stands; may be given again.")
@click.option("--severity", help=f"One of {', '.join(Severity)}, or a word of your own.")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="May be given again.")
@click.option("--resolves", is_flag=True, help="This source will tell when the problem is over.")
@click.option("--resolved", is_flag=True, help="The problem is over, or, with --alert, that alert of it.")
@click.option("--workflow", help="Run this workflow, without an analysis.")
@click.option("--parameter", "parameters", metavar="KEY=VALUE", multiple=True, help="For it; may be given again.")
@click.option("--starts-at", metavar="TIME", help="When it began, such as 2026-11-21T10:00:00Z.")
@click.option("--fingerprint", help="Which problem it is; else derived from target and name.")
@click.option("--alert", help="The source's own id of what fires: a problem is over when all of them are.")
@click.option("--source", default="cli", show_default=True, help="Who says so: one word.")
@click.option(
    "--file", "path", metavar="FILE", help="A JSON object, a JSON array or JSON Lines; - for standard input."
)
@click.option(
    "--from", "sender", type=click.Choice(["alertmanager"]), help="The file is a webhook body of this system."
)
@click.option("--wait", "seconds", type=SECONDS, metavar="SECONDS", help="Wait for the verdict.")
@json_option
@broker_options
def verb(
    broker: Broker,
    source: str,
    path: str | None,
    sender: str | None,
    seconds: float | None,
    as_json: bool,
    **said: object,
) -> None:
    """Publish signals: from options, or from a file."""
    signals = _signals(broker.cell, source, path, sender, said)
    events = [event_of(broker.cell, f"signal/{source}", signal) for signal in signals]
    for number, event in enumerate(events, start=1):
        if len(event) > MESSAGE_BYTES_MAX:
            raise BadInputError(
                f"signal {number}: {len(event):,} bytes, and a fact has at most {MESSAGE_BYTES_MAX:,}"
            )
    run(_publish(broker, subjects.signal(broker.cell, source), signals, events, seconds, as_json))


def _signals(
    cell: CellName, source: str, path: str | None, sender: str | None, said: dict[str, object]
) -> list[AnySignal]:
    given = [name for name, value in said.items() if value]
    try:
        subject = subjects.signal(cell, source)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--source") from error
    if path is None:
        if sender is not None:
            raise click.UsageError("--from needs --file")
        return [signal_of(_described(said), subject)]
    if given:
        raise click.UsageError(f"--file says it all: --{given[0].replace('_', '-')} cannot be given beside it")
    body = read_input(path)
    name = "standard input" if path == "-" else path
    found = read_alertmanager(body, name) if sender else read_signals(body, name, subject)
    if not found:
        raise BadInputError(f"{name}: there is no signal in it")
    return found


def _described(said: dict[str, object]) -> dict[str, object]:
    """The bare signal that the options describe."""
    signal: dict[str, object] = {
        key: said[key]
        for key in ("name", "severity", "fingerprint", "alert", "starts_at", "resolves")
        if said[key]
    }
    if not said["name"]:
        raise click.UsageError("--name is missing (or --file)")
    signal["target"] = _target(said)
    signal["within"] = [_target_of("--within", text) for text in cast(tuple[str, ...], said["within"])]
    signal["labels"] = dict(_pairs("--label", said["labels"]))
    signal["status"] = "resolved" if said["resolved"] else "firing"
    parameters = {key: parse_value(value) for key, value in _pairs("--parameter", said["parameters"])}
    if said["workflow"]:
        signal["workflow"] = {"id": said["workflow"], "parameters": parameters}
    elif parameters:
        raise click.UsageError("--parameter needs --workflow")
    return signal


def _target(said: dict[str, object]) -> dict[str, object]:
    parts = {key: said[key] for key in ("cluster", "namespace", "kind") if said[key]}
    text = cast(str | None, said["target"])
    if text is None:
        if not said["target_name"]:
            raise click.UsageError("--target is missing (or --target-name)")
        return parts | {"name": said["target_name"]}
    if parts or said["target_name"]:
        raise click.UsageError("--target says it all: give it, or --target-name with its parts")
    return _target_of("--target", text)


def _target_of(option: str, text: str) -> dict[str, object]:
    try:
        return asdict(parse_target(text))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def _pairs(option: str, texts: object) -> list[tuple[str, str]]:
    try:
        return [parse_pair(text) for text in cast(tuple[str, ...], texts)]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


async def _publish(
    broker: Broker,
    subject: str,
    signals: list[AnySignal],
    events: list[bytes],
    seconds: float | None,
    as_json: bool,
) -> None:
    async with broker.log() as log:
        waiting: set[Position] = set()
        left = iter(signals)
        start = await log.last_sequence() + 1
        last = 0
        for message in messages_of(events):
            last = await store(log, subject, message.payload, last)
            for position in message.positions(last):
                signal = next(left)
                _say(position, signal, as_json)
                if isinstance(signal, SignalReceived):
                    waiting.add(position)
        if seconds is not None and waiting:
            await _wait(log, start, waiting, seconds, as_json)


def _say(position: Position, signal: AnySignal, as_json: bool) -> None:
    stored = Published(
        position, f"{type(signal).__name__}.v1", signal.name, str(signal.target), Fingerprint(signal.fingerprint)
    )
    if as_json:
        json_line(stored)
    else:
        line(f"{position}: {signal.name} on {signal.target}{_over(signal)}")


def _over(signal: AnySignal) -> str:
    """What is said of the end, which is the problem's only if nothing else fires for it."""
    if isinstance(signal, SignalReceived):
        return ""
    return f": its alert {signal.alert} is said to be over" if signal.alert else " is said to be over"


async def _wait(log: EventLog, start: int, waiting: set[Position], seconds: float, as_json: bool) -> None:
    """Follow the log until each signal has its verdict. Raises UndecidedError when time is up."""
    try:
        async with asyncio.timeout(seconds), aclosing(log.read(start, follow=True)) as messages:
            async for message in messages:
                for record in decode(message):
                    event = record.event if isinstance(record, Recorded) else None
                    if isinstance(event, RoutingDecided) and event.because.position in waiting:
                        waiting.discard(event.because.position)
                        _say_verdict(event, as_json)
                if not waiting:
                    return
    except TimeoutError as error:
        raise UndecidedError(f"no verdict within {seconds:g} s on {', '.join(sorted(waiting))}") from error


def _say_verdict(decided: RoutingDecided, as_json: bool) -> None:
    if as_json:
        leads = {"analysis": decided.analysis, "execution": decided.execution}
        verdict = {"position": decided.signal, "remediation": decided.remediation, "verdict": decided.verdict}
        json_line({**verdict, **{name: value for name, value in leads.items() if value is not None}})
        return
    on = "" if isinstance(decided.verdict, Duplicate) else f" ({decided.remediation})"
    remaining: float | None = getattr(decided.verdict, "remaining", None)
    left = "" if remaining is None else f", {remaining:.0f} s remain"
    line(f"{decided.signal}: {describe_decided(decided)}{left}{on}")
