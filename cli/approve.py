"""`ro approve`: an operator's ApprovalGranted, for the plan that was seen and no other."""

import click

from remediation_orchestrator.events import ApprovalGranted
from remediation_orchestrator.orchestrator.queries.history import PLAN_DIGITS
from remediation_orchestrator.orchestrator.routing.effects import asked_plan
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation

from .support.connection import Broker
from .support.operating import Operator, operate, operator_options
from .support.output import RefusedError


def _enough(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """An empty variable in a shell names no plan, nor do a few digits."""
    if value is not None and len(value) < PLAN_DIGITS:
        raise click.BadParameter(f"at least {PLAN_DIGITS} digits, as in `ro show`", ctx=context, param=parameter)
    return value


@click.command("approve")
@click.argument("name", metavar="ID")
@click.option(
    "--plan", "seen", metavar="DIGITS", callback=_enough, help="Only if this is the plan, as in `ro show`."
)
@operator_options
def verb(broker: Broker, operator: Operator, name: str, seen: str | None) -> None:
    """Let a remediation that waits for an approval be judged for its run."""

    def follows(_view: Projection, remediation: Remediation) -> str:
        return _follows(remediation, seen)

    operate(broker, operator, name, fact=_fact, follows=follows)


def _fact(remediation: Remediation, by: str, reason: str) -> ApprovalGranted:
    return ApprovalGranted(remediation.id, asked_plan(remediation), by, reason)


def _follows(remediation: Remediation, seen: str | None) -> str:
    plan = asked_plan(remediation)
    if not plan or remediation.workflow is None:
        raise RefusedError(f"{remediation.id} is {remediation.phase} and awaits no approval")
    if not plan.startswith(seen or ""):
        raise RefusedError(f"{remediation.id} asks for plan {plan[:PLAN_DIGITS]}, not for {seen}: see `ro show`")
    what = f"{remediation.workflow.id} on {remediation.target} (plan {plan[:PLAN_DIGITS]})"
    return f"{remediation.id} is judged for {what}, by the whole list of checks"
