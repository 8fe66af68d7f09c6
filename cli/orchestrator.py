"""`ro orchestrator`: one orchestrator of a cell, active or standing by."""

import asyncio
from pathlib import Path

import click

from .connection import Broker, broker_options
from .records import log_to_stderr
from .services import load_policy, run_orchestrator, stop_on_signals


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
    log_to_stderr()

    async def serve() -> None:
        await run_orchestrator(url, broker.cell, policy, stop_on_signals())

    asyncio.run(serve())
