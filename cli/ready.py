"""`ro ready`: ask a service on this machine whether it is ready, as a container's health check does."""

import http.client

import click
import msgspec
from msgspec import Struct

from .support.connection import json_option
from .support.health import LOCAL, health_option
from .support.output import BadInputError, RefusedError, json_line, line

# Longer than a service takes to ask its broker.
ASKING_SECONDS = 6.0
# Who answers on every address is asked on this one.
_EVERYWHERE = ("0.0.0.0", "::")


class Readiness(Struct, omit_defaults=True):
    """What a service says of itself."""

    ready: bool
    why: dict[str, str]
    remarks: dict[str, str] = {}


@click.command("ready")
@health_option
@json_option
def verb(address: tuple[str, int] | None, as_json: bool) -> None:
    """Ask a service that was started with --health whether it is ready."""
    if address is None:
        raise click.UsageError("--health (or RO_HEALTH) says whom to ask")
    found = _ask(*address)
    if as_json:
        json_line(found)
    if not found.ready:
        raise RefusedError(_told(found.why) or "not ready")
    if not as_json:
        line(f"ready; {_told(found.remarks)}" if found.remarks else "ready")


def _told(services: dict[str, str]) -> str:
    return "; ".join(f"{service}: {what}" for service, what in services.items())


def _ask(host: str, port: int) -> Readiness:
    asked = http.client.HTTPConnection(LOCAL if host in _EVERYWHERE else host, port, timeout=ASKING_SECONDS)
    try:
        asked.request("GET", "/readyz")
        return msgspec.json.decode(asked.getresponse().read(), type=Readiness)
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or error
        raise RefusedError(f"nobody answers at {host}:{port}: {why}") from error
    except msgspec.DecodeError as error:
        raise BadInputError(f"{host}:{port} is no service of ours: {error}") from error
    finally:
        asked.close()
