"""`ro reject`: an operator's ApprovalRejected."""

import click

from remediation_orchestrator.events import ApprovalRejected, Phase
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation

from .support.connection import Broker
from .support.operating import Operator, operate, operator_options
from .support.output import RefusedError


@click.command("reject")
@click.argument("name", metavar="ID")
@operator_options
def verb(broker: Broker, operator: Operator, name: str) -> None:
    """Refuse a remediation that waits for an approval its run."""
    operate(broker, operator, name, fact=_fact, follows=_follows)


def _fact(remediation: Remediation, by: str, reason: str) -> ApprovalRejected:
    return ApprovalRejected(remediation.id, by, reason)


def _follows(view: Projection, remediation: Remediation) -> str:
    if remediation.phase is not Phase.AWAITING_APPROVAL:
        raise RefusedError(f"{remediation.id} is {remediation.phase} and awaits no approval")
    return f"{remediation.id} has failed, and no failure is counted"
