"""`ro policy shadow`: a policy beside the one in force, judged with it and without effect."""

from pathlib import Path

import click
import msgspec

from remediation_orchestrator.events import PolicyShadowed
from remediation_orchestrator.events.identity import DEFAULT_CELL, position
from remediation_orchestrator.orchestrator.queries.shadow import Shadow, Shadows
from remediation_orchestrator.orchestrator.routing.policy import Policy

from .support.connection import Broker, LogSource, reading_options
from .support.files import FILE
from .support.operating import by_option, publish, told, wait_option
from .support.output import RefusedError, json_line, line
from .support.reading import read_into, read_log
from .support.running import run
from .support.services import load_policy
from .support.tables import table


@click.command("shadow")
@click.argument("path", metavar="[FILE]", required=False, type=FILE)
@click.option("--off", is_flag=True, help="Take the policy in shadow away.")
@click.option("--report", "reports", is_flag=True, help="Count what policies in shadow have said otherwise.")
@click.option("--reason", default="", help="Why; recorded with who. Required, but for --report.")
@by_option
@wait_option
@reading_options
def verb(
    source: LogSource,
    path: Path | None,
    off: bool,
    reports: bool,
    reason: str,
    by: str,
    seconds: float,
    as_json: bool,
) -> None:
    """Put a policy file in shadow: its verdicts are recorded where they differ, and nothing follows from them."""
    if (path is not None) + off + reports != 1:
        raise click.UsageError("give either FILE, or --off, or --report")
    if reports:
        run(_report(source, as_json))
        return
    if source.file is not None:
        raise click.UsageError("an exported log is only read: --log goes with --report alone")
    if not reason.strip():
        raise click.UsageError("missing option '--reason'")
    policy = None if path is None else load_policy(path)
    fact = PolicyShadowed(None if policy is None else policy.document(), by=by, reason=reason)
    broker = Broker(source.nats, source.data_dir, source.cell or DEFAULT_CELL)
    run(_put(broker, fact, policy, seconds, as_json))


async def _put(broker: Broker, fact: PolicyShadowed, policy: Policy | None, seconds: float, as_json: bool) -> None:
    async with broker.reading() as log:
        fold = (await read_log(log)).fold
        view = fold.view
        if policy is None and view.shadow is None:
            raise RefusedError("no policy is in shadow")
        if policy is not None and policy.digest == view.policy.digest:
            raise RefusedError(f"this policy is in force already, digest {policy.digest}")
        if policy is not None and view.shadow is not None and policy.digest == view.shadow.digest:
            raise RefusedError(f"this policy is in shadow already, digest {policy.digest}")
        stored, found = await publish(log, fold, fact, seconds)
    place, digest = position(stored), policy.digest if policy else None
    text = f"{place}: in shadow, digest {digest}" if digest else f"{place}: no policy is in shadow any more"
    told(found, {"position": place, "type": "PolicyShadowed.v1", "digest": digest}, text, as_json=as_json)


async def _report(source: LogSource, as_json: bool) -> None:
    shadows = Shadows()
    async with source.log() as log:
        await read_into(shadows.fold, log, live=source.file is None)
    if not shadows.found:
        raise RefusedError("no policy has ever been in shadow")
    for one in shadows.found:
        if as_json:
            json_line(msgspec.to_builtins(one))
        else:
            _show(one)


def _show(one: Shadow) -> None:
    stands = "" if one.standing else ", not any more"
    line(f"{one.policy[:12]} in shadow since {one.since}{stands}: {one.differing} of {one.judged} verdicts differ")
    if one.differences:
        table(
            ("DECIDED", "IN SHADOW", "VERDICTS", "FIRST", "LAST"),
            [(each.recorded, each.shadow, each.verdicts, each.first, each.last) for each in one.differences],
        )
