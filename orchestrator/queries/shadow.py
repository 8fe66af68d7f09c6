"""What the policies in shadow have said otherwise: counted, by what was decided and what they would have.

It looks on while a log is folded; what is recorded is all that it counts."""

from msgspec import Struct, field

from remediation_orchestrator.events import (
    Position,
    Recorded,
    RoutingDecided,
    ShadowDecided,
    Undecodable,
)
from remediation_orchestrator.orchestrator.routing.fold import Fold, Observer
from remediation_orchestrator.orchestrator.routing.words import name


class ShadowDifference(Struct):
    """One way in which a policy in shadow differs, how often, and where first and last."""

    recorded: str
    shadow: str
    first: Position
    last: Position
    verdicts: int = 0


class Shadow(Struct):
    """A policy's time in shadow."""

    policy: str
    since: Position
    """The fact that put it there."""
    standing: bool = True
    judged: int = 0
    differing: int = 0
    differences: list[ShadowDifference] = field(default_factory=list)


class Shadows(Observer):
    """Counts, for each time that a policy stood in shadow."""

    def __init__(self) -> None:
        self.fold = Fold(self)
        self.found: list[Shadow] = []
        self._decided: RoutingDecided | None = None

    def fact(self, record: Recorded | Undecodable, *, fits: bool) -> None:
        """A fact has been folded: another policy may stand in shadow, or none."""
        shadow = self.fold.view.shadow
        standing = self._standing()
        if standing is not None and (shadow is None or shadow.digest != standing.policy):
            standing.standing = False
            standing = None
        if standing is None and shadow is not None:
            self.found.append(Shadow(shadow.digest, record.position))

    def decision(self, record: Recorded | Undecodable) -> None:
        """Count a verdict, and what is said otherwise of it."""
        standing = self._standing()
        match record.event if isinstance(record, Recorded) else None:
            case RoutingDecided() as decided if standing is not None:
                standing.judged += 1
                self._decided = decided
            case ShadowDecided() as other if standing is not None and self._decided is not None:
                _count(standing, self._decided, other, record.position)
            case _:
                pass

    def _standing(self) -> Shadow | None:
        return self.found[-1] if self.found and self.found[-1].standing else None


def _count(standing: Shadow, decided: RoutingDecided, other: ShadowDecided, place: Position) -> None:
    standing.differing += 1
    recorded, shadow = name(decided.verdict), name(other.verdict)
    if recorded == shadow:
        shadow = f"{shadow}, otherwise"
    for one in standing.differences:
        if (one.recorded, one.shadow) == (recorded, shadow):
            one.verdicts, one.last = one.verdicts + 1, place
            return
    standing.differences.append(ShadowDifference(recorded, shadow, place, place, 1))
