"""`ro policy`: check a policy file, show the policy in force, put another in its place."""

import sys
from pathlib import Path

import click
import yaml
from msgspec import Struct

from remediation_orchestrator.events import PolicyAdopted
from remediation_orchestrator.events.identity import position
from remediation_orchestrator.orchestrator.policy_file import PolicyFile
from remediation_orchestrator.orchestrator.routing.policy import Policy
from remediation_orchestrator.orchestrator.routing.words import times

from .shadow import verb as shadow_verb
from .support.connection import Broker, LogSource, json_option, reading_options
from .support.files import FILE
from .support.groups import VerbGroup
from .support.operating import Operator, operator_options, publish, told
from .support.output import RefusedError, json_line, line
from .support.policy_changes import PolicyChange, changes
from .support.reading import read, read_log
from .support.running import run
from .support.services import load_policy, read_policy
from .support.tables import table


@click.group("policy", cls=VerbGroup)
def verb() -> None:
    """Check, show and adopt policies, or put one in shadow."""


verb.add_command(shadow_verb)


@verb.command("check")
@click.argument("file", metavar="FILE", type=FILE)
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
def show(source: LogSource, as_json: bool) -> None:
    """Show the policy in force; it can be edited and adopted."""
    view = read(source).fold.view
    if as_json:
        json_line({"digest": view.policy.digest, "adopted": view.adopted, "policy": view.policy.document()})
        return
    origin = "" if view.adopted else ": the defaults, because none was adopted yet"
    line(f"# digest {view.policy.digest}{origin}")
    click.echo(yaml.safe_dump(view.policy.document(), sort_keys=False, allow_unicode=True), nl=False)


@verb.command("adopt")
@click.argument("file", metavar="[FILE]", required=False, type=FILE)
@click.option("--shadow", is_flag=True, help="The policy in shadow, in place of a file.")
@click.option("--yes", "sure", is_flag=True, help="Do not ask. Nobody is asked either where no person sits there.")
@operator_options
def adopt(broker: Broker, operator: Operator, file: Path | None, shadow: bool, sure: bool) -> None:
    """Put a policy file, or the policy in shadow, in force; all that is blocked is judged again by it.

    It shows first, key by key, what changes: what a file leaves out takes its default."""
    if (file is None) is not shadow:
        raise click.UsageError("give either FILE or --shadow")
    given = None if file is None else read_policy(file)
    adoption = run(_look(broker, given))
    found = list(adoption.changes)
    if not operator.as_json:
        table(["KEY", "IN FORCE", "THEN", ""], [one.row() for one in found])
    if not sure and is_asked() and not click.confirm("Adopt it?", err=True):
        raise RefusedError("nothing was adopted")
    run(_adopt(broker, operator, adoption))


def is_asked() -> bool:
    """Whether a person sits in front of it."""
    return sys.stdin.isatty()


class _Adoption(Struct, frozen=True):
    """What is to be adopted, and in place of what."""

    policy: Policy
    replaces: str | None
    changes: list[PolicyChange]
    blocked: int


async def _look(broker: Broker, given: PolicyFile | None) -> _Adoption:
    """What an adoption would change. Raises RefusedError where there is nothing to adopt."""
    async with broker.reading() as log:
        view = (await read_log(log)).fold.view
    policy = view.shadow if given is None else given.policy
    if policy is None:
        raise RefusedError("no policy is in shadow")
    if view.adopted and view.policy.digest == policy.digest:
        raise RefusedError(f"this policy is in force already, digest {policy.digest}")
    replaces = view.policy.digest if view.adopted else None
    found = list(changes(view.policy, policy, None if given is None else given.said))
    return _Adoption(policy, replaces, found, len(view.blocked()))


async def _adopt(broker: Broker, operator: Operator, adoption: _Adoption) -> None:
    """Publish it. Raises RefusedError where what it replaces is not in force any more."""
    async with broker.log() as log:
        fold = (await read_log(log)).fold
        view = fold.view
        if (view.policy.digest if view.adopted else None) != adoption.replaces:
            raise RefusedError("another policy has been adopted meanwhile: look at what would change now")
        fact = PolicyAdopted(adoption.policy.document(), adoption.replaces, operator.by, operator.reason)
        stored, found = await publish(log, fold, fact, operator.seconds)
    place, digest = position(stored), adoption.policy.digest
    said = {"position": place, "type": "PolicyAdopted.v1", "digest": digest, "replaces": adoption.replaces}
    text = (
        f"{place}: adopted, digest {digest}; {times(adoption.blocked, 'blocked remediation')} to be judged again"
    )
    told(found, {**said, "changes": adoption.changes}, text, as_json=operator.as_json)
