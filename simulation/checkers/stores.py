"""A log that is not whole is not led, and archiving loses nothing: the store itself tells what became of it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from remediation_orchestrator.events import DecisionFrame, LogArchived, Recorded, StoredMessage, decode
from remediation_orchestrator.orchestrator.snapshots import read_head
from remediation_orchestrator.simulation.faults import Fault
from remediation_orchestrator.simulation.orchestrators import PACE
from remediation_orchestrator.simulation.store import Damage, Purge

from .reading import sequence_of

if TYPE_CHECKING:
    from remediation_orchestrator.simulation.world import Day

# Whoever leads looks so often, and what it has sent is under way for as long as the slowest append.
UNSEEN_SECONDS = PACE.look + 20.0


def check_nobody_leads_what_is_not_whole(day: "Day") -> Iterator[str]:
    """Who leads a log of which something goes stops within a look, and nobody begins to lead it."""
    for damage in day.store.damages:
        if damage.kind != Fault.BITS_FLIPPED:  # Who has read it before, and knows what it said, may go on.
            for at, message in damage.stored:
                yield from _frame_on(day, damage, at, message)
    for process, sequence, at in day.diary.led_over:
        yield f"{process} has read {sequence} with a flipped bit, and decides at {at}"


def _frame_on(day: "Day", damage: Damage, at: float, message: StoredMessage) -> Iterator[str]:
    record = decode(message)[0] if message.payload else None
    if not isinstance(record, Recorded) or not isinstance(record.event, DecisionFrame) or day.is_stray(message):
        return
    writer = record.event.orchestrator
    begun = max([damage.begun, *_thawed(day, writer, damage.begun, at)])
    if at > begun + UNSEEN_SECONDS:
        yield f"{writer} stores {message.sequence} {at - damage.begun:.0f} s after: {damage.kind}"


def _thawed(day: "Day", process: str, since: float, until: float) -> list[float]:
    """When a process went on that had been stopped meanwhile, or could ask the broker again."""
    stopped = [one for one in day.diary.troubles if one.process == process or one.what == "broker away"]
    return [one.ended for one in stopped if since <= one.ended <= until]


def check_nothing_is_lost_by_archiving(day: "Day") -> Iterator[str]:
    """What is taken away stands in a file that the chain names, and behind it in a projection that is kept."""
    archived = [record for record in day.records if isinstance(record.event, LogArchived)]
    for name, segment in day.segments.items():
        first, last = segment.messages[0].sequence, segment.messages[-1].sequence
        if segment.messages != day.messages[first - 1 : last]:
            yield f"{name} does not say what the log said from {first} to {last}"
    for purge in day.store.purges:
        holding = {day.segments[one].digest for one in purge.files if _holds(day, one, purge)}
        where = f"the records {purge.first} to {purge.through} were taken away"
        if not holding:
            yield f"{where}, and stand in no file"
        named = {
            one.event.segment
            for one in archived
            if isinstance(one.event, LogArchived) and sequence_of(one) <= purge.stored
        }
        if holding and not holding & named:
            yield f"{where}, and the chain does not say so"
        if purge.kept is None or read_head(purge.kept).through < purge.through:
            yield f"{where}, and no projection is kept from which the rest goes on"


def _holds(day: "Day", name: str, purge: Purge) -> bool:
    segment = day.segments.get(name)
    return segment is not None and (
        segment.messages[0].sequence <= purge.first and segment.messages[-1].sequence >= purge.through
    )
