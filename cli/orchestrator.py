"""`ro orchestrator`: one orchestrator of a cell, active or standing by."""

from datetime import timedelta
from pathlib import Path

import click

from remediation_orchestrator.web.health import Health

from .support.connection import Broker, broker_options
from .support.files import file_option
from .support.health import answering, health_option
from .support.log_options import LogShape, log_options
from .support.running import run
from .support.services import ORCHESTRATOR_SECONDS, begin, load_policy, run_orchestrator, until_stopped


@click.command("orchestrator")
@file_option(
    "--policy", "policy_path", "The policy of a log that has none yet; afterwards `ro policy adopt` is the way."
)
@click.option(
    "--lease",
    type=click.IntRange(min=1),
    hidden=True,  # For `ro chaos`.
    help="Seconds after which a silent orchestrator is replaced.",
)
@click.option(
    "--fold-digest",
    type=click.Path(path_type=Path, dir_okay=False),
    hidden=True,  # For `ro chaos`: it holds the live state against a fold of its own.
    help="A file for the digests of the live state, written on SIGUSR1.",
)
@log_options
@health_option
@broker_options
def verb(
    broker: Broker,
    policy_path: Path | None,
    lease: int | None,
    fold_digest: Path | None,
    shape: LogShape,
    address: tuple[str, int] | None,
) -> None:
    """Decide for a cell, or stand by while another does."""
    policy = None if policy_path is None else load_policy(policy_path)
    url = broker.url()

    async def serve() -> None:
        health = Health("orchestrator")
        async with answering(health, address):
            stopping = await begin(url)
            ttl = None if lease is None else timedelta(seconds=lease)
            service = run_orchestrator(
                url, broker.cell, policy, stopping, shape=shape, health=health, ttl=ttl, fold_digest=fold_digest
            )
            await until_stopped(stopping, service, within=ORCHESTRATOR_SECONDS)

    run(serve())
