"""Who says something is known and not claimed: nothing follows from what is said in the name of another."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from remediation_orchestrator.events import PhaseChanged, PolicyRejected, RoutingDecided, SignalRejected

if TYPE_CHECKING:
    from remediation_orchestrator.simulation.world import Day


class _Data(msgspec.Struct, frozen=True):
    by: str = ""


class _Said(msgspec.Struct, frozen=True):
    data: _Data = _Data()


def check_nobody_speaks_for_another(day: "Day") -> Iterator[str]:
    """What an operator has published, and says that another says it, is rejected, and causes nothing."""
    causes, answered = dict[str, str](), set[str]()
    for record in day.records:
        match record.event:
            case RoutingDecided(because=because) | PhaseChanged(because=because) if because.position is not None:
                causes[because.position] = record.position
            case PolicyRejected(position=position):
                causes[position] = record.position
            case SignalRejected(position=position):
                answered.add(position)
            case _:
                pass
    for message in day.messages:
        if not _is_feigned(message.subject, message.payload):
            continue
        place = str(message.sequence)
        if place in causes:
            yield f"{causes[place]} follows from {place}, where somebody speaks as another"
        elif day.drained and place not in answered:
            yield f"{place} is not rejected, where somebody speaks as another"


def _is_feigned(subject: str, payload: bytes) -> bool:
    _, _, family, *rest = subject.split(".")
    if family != "operator":
        return False
    try:
        said = msgspec.json.decode(payload, type=_Said).data.by
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return rest[1:] != [said]
