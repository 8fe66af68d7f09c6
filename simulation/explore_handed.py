"""What a worker sees to before it hands a run over to be begun: the supervisor looks again, and is no excuse."""

import asyncio
import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from remediation_orchestrator.events import Recorded, RoutingDecided, StoredMessage, decode
from remediation_orchestrator.events.codec import attributes_of
from remediation_orchestrator.executor.engine import Run, Stop
from remediation_orchestrator.executor.program import Program

from .clock import MIDNIGHT
from .explore_ports import ACK_WAIT, ExploredDelivery

if TYPE_CHECKING:
    from .explore_stage import ExploredStage

# Where the broker's clock is set, its stamps are no measure. The frame's own time is: it was under way so long.
FRAME_SECONDS = 6.0
# Below any delay there is, above what a float loses.
EXACTLY = 1e-3


def environment_of(run: Run) -> Mapping[str, str]:
    """What a script is told of its run."""
    assert isinstance(run.plan, Program)
    return run.plan.environment


def handed_over(stage: "ExploredStage", run: Run, stop: Stop, delivery: ExploredDelivery) -> Iterator[str]:
    """A run is begun only while it may be, with no later limits than its command says, and not when cancelled."""
    execution, now = environment_of(run)["RO_EXECUTION"], asyncio.get_running_loop().time()
    if now > _lapses(delivery) + EXACTLY:
        yield f"{execution} begins at {now}, and its claim has lapsed at {_lapses(delivery)}"
    if stop.wished.is_set():
        yield f"{execution} was cancelled before it began, and begins"
    if now > run.start_by:
        yield f"{execution} begins at {now}, and was to begin before {run.start_by}"
    allowed = _limits(stage, execution)
    for name, limit, most in zip(("start_by", "deadline"), (run.start_by, run.deadline), allowed, strict=True):
        if limit > most:
            yield f"{execution} is given until {limit} for its {name}, and has until {most}"


def _lapses(delivery: ExploredDelivery) -> float:
    """Until when a delivery is surely its executor's: what was answered after that proves nothing."""
    surely = delivery.made_at + ACK_WAIT / 2
    for asked, answered in delivery.confirmed:
        if answered <= surely:
            surely = asked + ACK_WAIT / 2
    return surely


def _limits(stage: "ExploredStage", execution: str) -> tuple[float, float]:
    """Until when it may begin and go on, in the seconds of the world."""
    late = framed = 0.0
    found: tuple[float, float] = (0.0, 0.0)
    for message, stored in zip(stage.cell.messages, stage.stored_at, strict=False):
        for record in decode(message):
            event = record.event if isinstance(record, Recorded) else None
            if isinstance(event, RoutingDecided) and event.execution == execution:
                now = event.situation.now
                if message.recorded_at < now:  # Time stands still where the broker's clock was set back before.
                    return math.inf, math.inf
                begins = stored + FRAME_SECONDS if stage.world.clock_steps else _seconds(now) + EXACTLY
                limits = (event.start_before or now, event.deadline or now)
                framed = stored
                found = begins + (limits[0] - now).total_seconds(), begins + (limits[1] - now).total_seconds()
        if message.subject.endswith(f".workflow.{execution}"):
            late = max(late, stored - _sent(stage, message, framed))
    return found[0] + late, found[1] + late


def _sent(stage: "ExploredStage", command: StoredMessage, framed: float) -> float:
    """When a command was sent: as it says, or soon after its frame where what it says is no measure."""
    said = attributes_of(command.payload)
    return framed if said is None or stage.world.clock_steps else _seconds(said.time)


def _seconds(moment: datetime) -> float:
    return (moment - MIDNIGHT) / timedelta(seconds=1)
