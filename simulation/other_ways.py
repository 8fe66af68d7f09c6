"""When another way is to be tried, and what whoever looks for it is told, counted again by hand."""

from collections.abc import Iterator

from remediation_orchestrator.events import Position, RoutingDecided, Stage

from .failures import Failures
from .known import KnownRemediation

# As the contract says: so many are remembered.
TRIED_MAX = 10


def other_ways(
    failures: Failures, known: KnownRemediation | None, decided: RoutingDecided, place: Position
) -> Iterator[str]:
    """What an analysis has named is judged until enough of its runs have not helped, and then forgotten."""
    situation = decided.situation
    if known is None or situation.active is not None:
        return
    known.asking = False
    again = failures.is_tried_out(situation.fingerprint, situation.now, known.misses)
    if known.chosen and (decided.stage is Stage.SIGNAL) is not again:
        yield f"{place} judges at stage {decided.stage} what has not helped {known.misses} times"
    if decided.stage is Stage.SIGNAL:
        known.unhears()


def misled(failures: Failures, decided: RoutingDecided, place: Position) -> Iterator[str]:
    """Whoever is to analyse is told what has not helped."""
    tried = failures.tried(decided.situation.fingerprint, decided.situation.now)[-TRIED_MAX:]
    if list(decided.tried) != (tried if decided.analysis is not None else []):
        yield f"{place} says that {decided.tried} was tried, and counted is {tried}"
