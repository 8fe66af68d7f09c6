"""`ro orchestrator`: one orchestrator of a cell, active or standing by."""

import asyncio
from pathlib import Path

import click

from .connection import Broker, broker_options
from .services import ORCHESTRATOR_SECONDS, begin, load_policy, run_orchestrator, until_stopped


@click.command("orchestrator")
@click.option(
    "--policy",
    "policy_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The policy of a log that has none yet; afterwards `ro policy adopt` is the way.",
)
@broker_options
def verb(broker: Broker, policy_path: Path | None) -> None:
    """Decide for a cell, or stand by while another does."""
    policy = load_policy(policy_path)
    url = broker.url()

    async def serve() -> None:
        stopping = await begin(url)
        service = run_orchestrator(url, broker.cell, policy, stopping)
        await until_stopped(stopping, service, within=ORCHESTRATOR_SECONDS)

    asyncio.run(serve())
