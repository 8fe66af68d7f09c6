"""`ro gateway`: the HTTP door of a cell. `ro gateway explain`: what a body would become, and by which rule."""

import contextlib
import ipaddress
import socket
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from remediation_orchestrator.bus.port import EventLog
from remediation_orchestrator.events.identity import fingerprint_of
from remediation_orchestrator.gateway.access import OPEN, Authenticator
from remediation_orchestrator.gateway.bodies import Received, Source
from remediation_orchestrator.gateway.door import Door
from remediation_orchestrator.gateway.items import Found, Item, LeftOut, Refused, WebhookError
from remediation_orchestrator.gateway.sources import Rules, items_for
from remediation_orchestrator.web.server import address_of

from .support.connection import Broker, broker_options, json_option
from .support.door_options import read_access, rules_options, tokens_option
from .support.door_process import until_abandoned
from .support.groups import VerbGroup
from .support.output import BadInputError, RefusedError, json_line, line
from .support.running import run
from .support.services import begin, run_gateway, take_address
from .support.signal_input import read_input
from .support.tables import fields

PORT = 9095


@click.group("gateway", cls=VerbGroup, invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(min=0, max=65_535), default=PORT, show_default=True, help="0: a free one."
)
@tokens_option
@click.option("--open", "is_open", is_flag=True, help="Take bodies from anybody who reaches the address.")
@click.option("--rate", type=click.FloatRange(min=0.001), metavar="N", help="Bodies a second, for each sender.")
@click.option("--listening", type=click.IntRange(min=0), hidden=True, help="For `ro up`: see `door_process`.")
@rules_options
@broker_options
@click.pass_context
def verb(
    context: click.Context,
    broker: Broker,
    host: str,
    port: int,
    tokens_file: Path | None,
    is_open: bool,
    rate: float | None,
    listening: int | None,
    sources: dict[str, Source],
    rules: Rules,
) -> None:
    """Take signals over HTTP: Alertmanager, Grafana, Kubernetes events, CloudEvents, and any JSON by a mapping."""
    if context.invoked_subcommand is not None:
        return
    guard = _guard(host, tokens_file, is_open, sources)
    url = broker.url()

    def make(log: EventLog) -> Door:
        return Door(log, sources, rules, guard, rate)

    async def serve() -> None:
        stopping = await begin(url)
        given = listening is not None
        with socket.socket(fileno=listening) if given else take_address(host, port) as where:
            ready = f"ready: {address_of(where)}"
            async with until_abandoned(stopping) if given else contextlib.nullcontext():
                await run_gateway(url, broker.cell, make, where, stopping, lambda: line(ready))

    run(serve())


@verb.command("explain")
@click.option("--file", "path", metavar="BODY", required=True, help="A body as it is sent; - for standard input.")
@click.option("--source", "name", default="alertmanager", show_default=True, help="Whose body it is.")
@click.option("--content-type", "media_type", default="application/json", show_default=True)
@rules_options
@json_option
def explain(
    path: str, name: str, media_type: str, sources: dict[str, Source], rules: Rules, as_json: bool
) -> None:
    """Show what a body would become, and by which rule; nothing is sent."""
    source = sources.get(name)
    if source is None:
        raise click.BadParameter(f"one of {', '.join(sources)}, not {name!r}", param_hint="--source")
    if media_type not in source.media_types:
        raise click.BadParameter(f"one of {', '.join(sorted(source.media_types))}", param_hint="--content-type")
    body = read_input(path)
    try:
        items = items_for(source, Received(media_type, {}, body), rules, datetime.now(UTC))
    except WebhookError as error:
        shown = "standard input" if path == "-" else path
        raise BadInputError("\n".join(f"{shown}: {one}" for one in error.lines)) from error
    for item in items:
        _show(item, as_json)
    if any(isinstance(item, Refused) for item in items):
        raise RefusedError("what is no signal would be stored, and rejected in the log by name")


def _show(item: Item, as_json: bool) -> None:
    match item:
        case LeftOut():
            json_line({"where": item.where, "left_out": item.why}) if as_json else line(item.line())
        case Refused():
            shown = f"{item.where}: no signal: {'; '.join(item.lines)}"
            json_line({"where": item.where, "rejected": item.lines}) if as_json else line(shown)
        case Found():
            _show_signal(item, as_json)


def _show_signal(item: Found, as_json: bool) -> None:
    signal, target = item.signal, item.signal.target
    fingerprint = signal.fingerprint or fingerprint_of(target, signal.name)
    if as_json:
        said = msgspec.to_builtins(msgspec.structs.replace(signal, fingerprint=fingerprint))
        json_line({"where": item.where, "type": f"{type(signal).__name__}.v1", "signal": said, "by": item.by})
        return
    line(f"{item.where}: {type(signal).__name__}.v1")
    values = {"name": signal.name, "cluster": target.cluster, "namespace": target.namespace, "kind": target.kind}
    values |= {"target": target.name, "severity": signal.severity}
    values |= {"environment": signal.environment, "priority": signal.priority}
    rows = {
        part: f"{value}  ({item.by[part]})" if part in item.by else value
        for part, value in values.items()
        if value
    }
    rows |= {"runner-up": item.by.get("runner-up", ""), "fingerprint": fingerprint, "alert": signal.alert}
    fields((f"  {part}", value) for part, value in rows.items())


def _guard(host: str, tokens_file: Path | None, is_open: bool, sources: dict[str, Source]) -> Authenticator:
    """Who may send. Raises BadInputError where anybody could, and nobody has said that this is meant."""
    if tokens_file is not None:
        return Authenticator(read_access(tokens_file, sources))
    if not is_open and not _is_loopback(host):
        raise BadInputError(f"whoever reaches {host} could start repairs: give --tokens FILE, or say --open")
    return Authenticator(OPEN)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
