"""`ro cancel`: an operator's RemediationCancelled."""

import click

from remediation_orchestrator.events import Phase, RemediationCancelled
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation

from .support.connection import Broker
from .support.operating import Operator, operate, operator_options
from .support.output import RefusedError


@click.command("cancel")
@click.argument("name", metavar="ID")
@operator_options
def verb(broker: Broker, operator: Operator, name: str) -> None:
    """End a remediation."""
    operate(broker, operator, name, fact=_fact, follows=_follows)


def _fact(remediation: Remediation, by: str, reason: str) -> RemediationCancelled:
    return RemediationCancelled(remediation.id, by, reason)


def _follows(view: Projection, remediation: Remediation) -> str:
    if remediation.phase.ended:
        raise RefusedError(f"{remediation.id} has ended already ({remediation.phase}): there is nothing to cancel")
    run = view.runs.get(remediation.execution) if remediation.execution else None
    if remediation.phase is not Phase.EXECUTING or run is None:
        return f"{remediation.id} ends here"
    if run.started:
        return f"{remediation.id} ends here; {run.execution} is told to stop and holds {run.target} until it has"
    return f"{remediation.id} ends here; {run.execution} is revoked, unless an executor begins it first"
