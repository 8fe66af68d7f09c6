"""What the door counts, for Prometheus. Labels are bounded: configured sources, and statuses that are answered."""

from collections import Counter
from collections.abc import Sequence

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, Histogram

from .items import Found, Item, LeftOut, Refused

# A body that comes for no source of ours.
NO_SOURCE = "none"
# From a frame at rest to an election of the broker.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

_OUTCOMES: dict[type, str] = {Found: "signal", Refused: "refused", LeftOut: "left_out"}


class Metrics:
    """The door's counters, in a registry of their own: two doors in one process do not mix theirs."""

    def __init__(self, sources: Sequence[str]) -> None:
        self._sources = frozenset(sources)
        self.registry = CollectorRegistry()
        self._answers = prometheus_client.Counter(
            "ro_gateway_answers", "Answers to bodies.", ["source", "status"], registry=self.registry
        )
        self._items = prometheus_client.Counter(
            "ro_gateway_items", "Items of stored bodies.", ["source", "outcome"], registry=self.registry
        )
        self._seconds = Histogram(
            "ro_gateway_answer_seconds",
            "From a body's first byte to its answer.",
            ["source"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.requests = Gauge("ro_gateway_requests", "Requests in hand.", registry=self.registry)
        self.held_bytes = Gauge("ro_gateway_held_bytes", "Bytes of bodies in hand.", registry=self.registry)

    def answered(self, source: str, status: int, seconds: float) -> None:
        """Count an answer."""
        name = source if source in self._sources else NO_SOURCE
        self._answers.labels(name, status).inc()
        self._seconds.labels(name).observe(seconds)

    def stored(self, source: str, items: Sequence[Item], *, duplicate: bool) -> None:
        """Count what a body held."""
        counts = Counter(_OUTCOMES[type(item)] for item in items)
        if duplicate:
            counts = Counter(duplicate=counts.total() - counts["left_out"], left_out=counts["left_out"])
        for outcome, count in counts.items():
            if count:
                self._items.labels(source, outcome).inc(count)
