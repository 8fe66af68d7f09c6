"""`ro approve`: an operator's ApprovalGranted."""

import click

from remediation_orchestrator.events import ApprovalGranted, Phase
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation

from .connection import Broker
from .operating import operate, operator_options
from .output import RefusedError


@click.command("approve")
@click.argument("name", metavar="ID")
@operator_options
def verb(broker: Broker, name: str, reason: str, by: str, as_json: bool) -> None:
    """Let a remediation that waits for an approval be judged for its run."""
    operate(broker, name, reason=reason, by=by, as_json=as_json, fact=ApprovalGranted, follows=_follows)


def _follows(view: Projection, remediation: Remediation) -> str:
    if remediation.phase is not Phase.AWAITING_APPROVAL:
        raise RefusedError(f"{remediation.id} is {remediation.phase} and awaits no approval")
    return f"{remediation.id} is judged for its run, by the whole list of checks"
