"""`ro retry`: an operator's RetryRequested."""

import click

from remediation_orchestrator.events import Phase, RetryRequested
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation

from .support.connection import Broker
from .support.operating import Operator, operate, operator_options


@click.command("retry")
@click.argument("name", metavar="ID")
@operator_options
def verb(broker: Broker, operator: Operator, name: str) -> None:
    """Judge a remediation again, as a new occurrence of its signal."""
    operate(broker, operator, name, fact=_fact, follows=_follows)


def _fact(remediation: Remediation, by: str, reason: str) -> RetryRequested:
    return RetryRequested(remediation.id, by, reason)


def _follows(view: Projection, remediation: Remediation) -> str:
    active = view.history(remediation.fingerprint).active
    if active == remediation.id and remediation.phase is not Phase.BLOCKED:
        return f"{remediation.id} is at work ({remediation.phase}): this counts as a duplicate"
    if active is not None and active != remediation.id:
        return f"{active} is at this problem: this counts as a duplicate of it"
    return f"{remediation.id} is judged again, by the whole list of checks"
