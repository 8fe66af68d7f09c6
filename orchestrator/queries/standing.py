"""What is said of a remediation as it stands, and all that it is said from."""

from datetime import datetime
from functools import cached_property

from msgspec import Struct

from remediation_orchestrator.events import (
    Block,
    PhaseChanged,
    Refuse,
    RoutingDecided,
    Skip,
)
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation
from remediation_orchestrator.orchestrator.routing.words import said

from .chronicle import Chronicle
from .obstacles import Obstacle, obstacle


class Act(Struct, frozen=True):
    """Something that a person can do: what to type, and what that does."""

    command: str
    does: str


class Present(Struct, frozen=True, kw_only=True):
    """What is so: what it is, since when, until when, what ends that, and what a person can do."""

    word: str | None = None
    """Why it is in its phase: the check that objects, what it came to, or what ended it."""
    what: str
    since: datetime | None = None
    until: datetime | None = None
    ends: str
    acts: tuple[Act, ...] = ()
    over: bool = False
    """Whether it has ended: `since` is the moment at which it did."""
    needs_person: bool = False
    """Whether nothing goes on until a person has done something."""

    def sentence(self, name: str) -> str:
        """Say what is so, since when, until when, and what ends it."""
        since = f", {'at' if self.over else 'since'} {said(self.since)}" if self.since else ""
        until = f", until {said(self.until)}" if self.until else ""
        return f"{name} {self.what}{since}{until}. {self.ends}"


class Standing(Struct, frozen=True, dict=True):
    """A remediation, the moment, and what put it where it is."""

    view: Projection
    chronicle: Chronicle
    one: Remediation
    now: datetime
    verdict: RoutingDecided | None
    """The verdict that did."""
    change: PhaseChanged | None
    """Or the change of phase, be it not recorded yet."""

    @property
    def since(self) -> datetime | None:
        """When it came to be where it is; None where this log does not say."""
        if self.change is not None:
            return self.change.now
        return self.verdict.situation.now if self.verdict is not None else None

    @property
    def objection(self) -> Block | Skip | Refuse | None:
        """What the verdict that put it there has against it."""
        verdict = self.verdict.verdict if self.verdict is not None else None
        return verdict if isinstance(verdict, Block | Skip | Refuse) else None

    @cached_property
    def obstacle(self) -> Obstacle:
        """What would stand in its way if it were judged now."""
        return obstacle(self.view, self.one, self.now)

    def clear(self) -> tuple[Act, ...]:
        """Clear what stands in its way, where a person can."""
        clearing = self.obstacle.clear
        if clearing is None:
            return ()
        does = (
            f"to say that {clearing.target} is fit for a run" if clearing.target else "to forgive it its failures"
        )
        return (Act(clearing.command, does),)

    def cancel(self) -> Act:
        """End it."""
        return Act(f"ro cancel {self.one.id} --reason WHY", "to end it")

    @property
    def late(self) -> bool:
        """Whether its phase has come to its time limit, and nobody has said so yet."""
        return self.one.until is not None and self.now > self.one.until

    @property
    def or_over(self) -> str:
        """What else ends a wait, where its source says when the problem is over."""
        return ", or its source says that it is over" if self.one.resolves else ""

    @property
    def ends_if_over(self) -> str:
        """The same, of a wait that something else comes of than its end."""
        return "; it ends when its source says that it is over" if self.one.resolves else ""
