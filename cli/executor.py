"""`ro executor`: one executor, with the catalog's analyser beside it."""

from pathlib import Path

import click

from remediation_orchestrator.web.health import Health

from .support.connection import Broker, broker_options
from .support.executor_options import WORKFLOWS, slots_option
from .support.health import answering, health_option
from .support.running import run
from .support.services import EXECUTOR_SECONDS, Work, begin, run_executor, until_stopped


@click.command("executor")
@click.option("--workflows", metavar="DIR", type=WORKFLOWS, required=True, help="The workflow catalog.")
@slots_option
@click.option("--no-analyser", is_flag=True, help="Leave the choice of workflows to other analysers.")
@click.option(
    "--ack-wait",
    type=click.FloatRange(min=1),
    hidden=True,  # For `ro chaos`. A consumer that is there already keeps its own.
    help="Seconds after which an unconfirmed command is somebody else's, for a cell without executors so far.",
)
@health_option
@broker_options
def verb(
    broker: Broker,
    workflows: Path,
    slots: int,
    no_analyser: bool,
    ack_wait: float | None,
    address: tuple[str, int] | None,
) -> None:
    """Run workflows, and choose them from the catalog's rules."""
    url = broker.url()

    async def serve() -> None:
        health = Health("executor")
        async with answering(health, address):
            stopping = await begin(url)
            work = Work(workflows, slots=slots, analyses=not no_analyser, ack_wait=ack_wait)
            service = run_executor(url, broker.cell, work, stopping, health=health)
            await until_stopped(stopping, service, within=EXECUTOR_SECONDS)

    run(serve())
