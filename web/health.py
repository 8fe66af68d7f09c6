"""What a process says of itself over HTTP, for containers, clusters and people; the same paths everywhere.

`/livez` is answered by whoever still turns its event loop, `/readyz` by what the services say of themselves,
`/metrics` for Prometheus. It never repairs anything: to restart is for whoever asks."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Probe = Callable[[], Awaitable[str | None]]
"""Says in one line why a service is not ready; None where it is."""
Remark = Callable[[], str | None]
"""Says in one line what should be known of a service, ready or not; None where there is nothing."""

# Shorter than what those who ask usually wait for.
ANSWER_SECONDS = 4.0
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATHS = {
    "/livez": "The process answers.",
    "/readyz": "Its services are ready; 503 where not, with the reasons.",
    "/metrics": "Prometheus.",
}


class Health:
    """What the services of this process say of themselves. One that has said nothing yet is starting."""

    def __init__(self, *services: str) -> None:
        self._probes: dict[str, Probe | None] = dict.fromkeys(services)
        self._remarks: dict[str, Remark] = {}

    @property
    def services(self) -> list[str]:
        """Their names."""
        return list(self._probes)

    def ask(self, service: str, probe: Probe, remark: Remark | None = None) -> None:
        """From now on ask this service so."""
        self._probes[service] = probe
        if remark is not None:
            self._remarks[service] = remark

    @property
    def remarks(self) -> dict[str, str]:
        """What should be known of the services, ready or not."""
        return {service: said for service, remark in self._remarks.items() if (said := remark()) is not None}

    async def why_not_ready(self) -> dict[str, str]:
        """The services that are not ready, and why."""
        found = await asyncio.gather(*(_asked(probe) for probe in self._probes.values()))
        return {service: why for service, why in zip(self._probes, found, strict=True) if why is not None}


async def _asked(probe: Probe | None) -> str | None:
    if probe is None:
        return "it is starting"
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await probe()
    except TimeoutError:
        return "the broker does not answer"


def pages(health: Health, registry: CollectorRegistry | None = None) -> list[Route]:
    """The three pages. Beside what a registry counts stand the process and which service is ready."""
    registry = registry or CollectorRegistry()
    ProcessCollector(registry=registry)
    ready = Gauge("ro_ready", "Whether a service is ready.", ["service"], registry=registry)

    async def answer_live(_: Request) -> Response:
        return _json(200, {"live": True})

    async def answer_ready(_: Request) -> Response:
        why = await health.why_not_ready()
        said = {"ready": not why, "why": why} | ({"remarks": health.remarks} if health.remarks else {})
        return _json(503 if why else 200, said)

    async def answer_metrics(_: Request) -> Response:
        why = await health.why_not_ready()
        for service in health.services:
            ready.labels(service).set(service not in why)
        return Response(generate_latest(registry), media_type=METRICS_TYPE)

    return [
        Route("/livez", answer_live),
        Route("/readyz", answer_ready),
        Route("/metrics", answer_metrics),
    ]


def _json(status: int, said: object) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(msgspec.json.encode(said) + b"\n", status, headers, "application/json")
