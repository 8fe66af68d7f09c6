"""`ro policy`: check a policy file, show the policy in force, put another in its place."""

from pathlib import Path

import click
import msgspec
import yaml

from remediation_orchestrator.events import PolicyAdopted, subjects
from remediation_orchestrator.events.identity import position
from remediation_orchestrator.orchestrator.routing.policy import Policy

from .connection import Broker, Source, broker_options, json_option, reading_options
from .operating import by_option, reason_option
from .output import RefusedError, json_line, line
from .publishing import event_of, store
from .reading import read, read_log
from .running import run
from .services import load_policy
from .shadow import verb as shadow_verb

FILE = click.argument("file", metavar="FILE", type=click.Path(path_type=Path))


@click.group("policy")
def verb() -> None:
    """Check, show and adopt policies, or put one in shadow."""


verb.add_command(shadow_verb)


@verb.command("check")
@FILE
@json_option
def check(file: Path, as_json: bool) -> None:
    """Say whether a policy file could be adopted, and with --json what it means in full."""
    policy = load_policy(file)
    if as_json:
        json_line({"digest": policy.digest, "policy": policy.document()})
    else:
        line(f"{file}: good, digest {policy.digest}")


@verb.command("show")
@reading_options
def show(source: Source, as_json: bool) -> None:
    """Show the policy in force; it can be edited and adopted."""
    view = read(source).fold.view
    if as_json:
        json_line({"digest": view.policy.digest, "adopted": view.adopted, "policy": view.policy.document()})
        return
    origin = "" if view.adopted else ": the defaults, because none was adopted yet"
    line(f"# digest {view.policy.digest}{origin}")
    document = msgspec.json.decode(msgspec.json.encode(view.policy.document()))
    click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)


@verb.command("adopt")
@click.argument("file", metavar="FILE", required=False, type=click.Path(path_type=Path))
@click.option("--shadow", is_flag=True, help="The policy in shadow, in place of a file.")
@reason_option
@by_option
@json_option
@broker_options
def adopt(broker: Broker, file: Path | None, shadow: bool, reason: str, by: str, as_json: bool) -> None:
    """Put a policy file, or the policy in shadow, in force; all that is blocked is judged again by it."""
    if (file is None) is not shadow:
        raise click.UsageError("give either FILE or --shadow")
    run(_adopt(broker, None if file is None else load_policy(file), reason, by, as_json))


async def _adopt(broker: Broker, given: Policy | None, reason: str, by: str, as_json: bool) -> None:
    async with broker.log() as log:
        view = (await read_log(log)).fold.view
        policy = given or view.shadow
        if policy is None:
            raise RefusedError("no policy is in shadow")
        digest = policy.digest
        if view.adopted and view.policy.digest == digest:
            raise RefusedError(f"this policy is in force already, digest {digest}")
        replaces = view.policy.digest if view.adopted else None
        fact = PolicyAdopted(policy.document(), replaces, by, reason)
        event = event_of(log.cell, "operator/cli", fact)
        place = position(await store(log, subjects.operator(log.cell, fact), event))
    if as_json:
        json_line({"position": place, "type": "PolicyAdopted.v1", "digest": digest, "replaces": fact.replaces})
    else:
        blocked = len(view.blocked())
        line(f"{place}: adopted, digest {digest}; {blocked} blocked are judged again")
