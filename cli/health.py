"""Say over HTTP whether this process is alive and ready, for containers, clusters and people.

`/live` is answered by whoever still turns its event loop; `/ready` by what the services say of themselves.
It never repairs anything: to restart is for whoever asks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import click
import msgspec

from .connection import Verb
from .output import BadInputError

Probe = Callable[[], Awaitable[str | None]]
"""Says in one line why a service is not ready; None where it is."""

LOCAL = "127.0.0.1"
REQUEST_BYTES_MAX = 8 * 1024
# Shorter than what those who ask usually wait for.
ANSWER_SECONDS = 4.0


class Health:
    """What the services of this process say of themselves. One that has said nothing yet is starting."""

    def __init__(self, *services: str) -> None:
        self._probes: dict[str, Probe | None] = dict.fromkeys(services)

    def ask(self, service: str, probe: Probe) -> None:
        """From now on ask this service so."""
        self._probes[service] = probe

    async def why_not_ready(self) -> dict[str, str]:
        """The services that are not ready, and why."""
        found = await asyncio.gather(*(_asked(probe) for probe in self._probes.values()))
        return {service: why for service, why in zip(self._probes, found, strict=True) if why is not None}


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
        help=f"Where /live and /ready are answered; without a host, on {LOCAL} alone.",
    )(verb)


@asynccontextmanager
async def answering(health: Health, address: tuple[str, int] | None) -> AsyncIterator[None]:
    """Answer there for as long as the block lasts; nowhere, where no address is given."""
    if address is None:
        yield
        return
    try:
        server = await asyncio.start_server(partial(_answer, health), *address, limit=REQUEST_BYTES_MAX)
    except OSError as error:
        raise BadInputError(f"--health {address[0]}:{address[1]}: {error.strerror or error}") from error
    try:
        yield
    finally:
        server.close()


async def _asked(probe: Probe | None) -> str | None:
    if probe is None:
        return "it is starting"
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await probe()
    except TimeoutError:
        return "the broker does not answer"


async def _answer(health: Health, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(2 * ANSWER_SECONDS):
            request = await reader.readuntil(b"\r\n\r\n")
            status, body = await _page(health, request.split(b" ", 2)[1:2])
            head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Cache-Control: no-store\r\nConnection: close\r\n\r\n".encode() + body)
            await writer.drain()
    writer.close()


async def _page(health: Health, path: list[bytes]) -> tuple[str, bytes]:
    match path:
        case [b"/live"]:
            return "200 OK", b'{"live":true}\n'
        case [b"/ready"]:
            why = await health.why_not_ready()
            body = msgspec.json.encode({"ready": not why, "why": why}) + b"\n"
            return ("503 Service Unavailable" if why else "200 OK"), body
        case _:
            return "404 Not Found", b'{"pages":["/live","/ready"]}\n'
