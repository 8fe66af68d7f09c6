"""What a worker takes from outside, so that a simulation can give it its own."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from remediation_orchestrator.bus.port import EventLog

from .catalog import Catalog
from .engine import Engine

Look = Callable[[], Awaitable[str | None]]
"""Says why a log is not whole; None where nothing shows that. Raises LogError."""


async def believe() -> str | None:
    """Take a log for whole."""
    return None


async def always() -> datetime:
    """Since when deliveries are counted, where nothing ever begins to count anew."""
    return datetime.min.replace(tzinfo=UTC)


async def as_it_is() -> None:
    """Leave a catalog that does not change."""


@dataclass(frozen=True)
class Ports:
    """All of it. `engines`: those that are here, by the names that workflows have for them."""

    log: EventLog
    catalog: Callable[[], Catalog]
    engines: Mapping[str, Engine]
    monotonic: Callable[[], float]
    now: Callable[[], datetime]
    environment: Mapping[str, str]
    why_not_whole: Look = believe
    counted_since: Callable[[], Awaitable[datetime]] = always
    """Since when deliveries of commands are counted, by the broker's clock. Raises LogError."""
    retry_after: float = 0.5
    refresh: Callable[[], Awaitable[None]] = as_it_is
    """Brings the catalog up to date before it is asked."""
