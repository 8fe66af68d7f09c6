"""Where a service answers for its health: `--health`, and a server of pages for as long as it runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from .connection import Verb
from .output import BadInputError

if TYPE_CHECKING:
    from remediation_orchestrator.web.health import Health

LOCAL = "127.0.0.1"
# A few who ask now and then. A service needs its files for its own work.
CONNECTIONS_MAX = 64


class AddressType(click.ParamType[tuple[str, int]]):
    """Where to answer: a port of this machine alone, or an address with its port."""

    name = "address"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Part it at its last colon."""
        if isinstance(value, tuple):
            return value
        host, _, port = value.rpartition(":")
        if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
            self.fail(f"{value!r} is neither a port nor an address with a port", param, ctx)
        return host.strip("[]") or LOCAL, int(port)


def health_option(verb: Verb) -> Verb:
    """Give a verb `address`: where it answers, or is asked, for its health."""
    return click.option(
        "--health",
        "address",
        metavar="[HOST:]PORT",
        type=AddressType(),
        envvar="RO_HEALTH",
        show_envvar=True,
        help=f"Where /livez, /readyz and /metrics are answered; without a host, on {LOCAL} alone.",
    )(verb)


@asynccontextmanager
async def answering(health: "Health", address: tuple[str, int] | None) -> AsyncIterator[None]:
    """Answer there for as long as the block lasts; nowhere, where no address is given."""
    if address is None:
        yield
        return
    # Only here: they bring an HTTP server, which whoever asks for health should not wait for.
    from remediation_orchestrator.web.app import application
    from remediation_orchestrator.web.health import pages
    from remediation_orchestrator.web.server import AddressError, listen, serve

    try:
        listening = listen(*address)
    except AddressError as error:
        raise BadInputError(f"--health {error}") from error
    stopping = asyncio.Event()
    with listening:
        task = asyncio.create_task(serve(application(pages(health)), listening, stopping, maximum=CONNECTIONS_MAX))
        try:
            yield
        finally:
            stopping.set()
            await task
