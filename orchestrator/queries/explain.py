"""Why: every check that a verdict went through, in order, with its numbers and the records that made them.

The checks, their answers and their words are the core's own."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from remediation_orchestrator.events import (
    Position,
    Recorded,
    RoutingDecided,
    Situation,
    StoredMessage,
    Target,
    Undecodable,
    Verdict,
)
from remediation_orchestrator.orchestrator.routing import checks
from remediation_orchestrator.orchestrator.routing.durations import written
from remediation_orchestrator.orchestrator.routing.fold import Fold, Observer
from remediation_orchestrator.orchestrator.routing.policy import Policy
from remediation_orchestrator.orchestrator.routing.state import Remediation

from .evidence import Evidence, Sources


class Answer(StrEnum):
    """What a check said."""

    OBJECTS = "objects"
    PASSES = "passes"
    SILENT = "does not apply"
    NOT_REACHED = "not reached"


class Line(Struct, frozen=True):
    """One check: what it read, what it answered, and the records behind it.

    `would` is what a check behind the first objection would have said."""

    check: str
    key: str
    answer: Answer
    read: str
    because: list[Position]
    would: Answer | None = None


class Explanation(Struct, frozen=True):
    """One verdict, in full."""

    position: Position
    decided: RoutingDecided
    policy: str
    lines: list[Line]
    next: str
    """When it would be allowed, or what would have to happen."""


class Explainer(Observer):
    """Folds a log and keeps the verdicts on one remediation, with what stood behind them."""

    def __init__(self, signal: Position) -> None:
        self.fold = Fold(self)
        self.explanations: list[Explanation] = []
        self._signal = signal
        self._evidence = Evidence()

    def fact(self, record: Recorded | Undecodable, *, fits: bool) -> None:
        """A fact has been folded."""
        if fits and isinstance(record, Recorded):
            self._evidence.see_fact(self.fold.view, record)

    def decision(self, record: Recorded | Undecodable) -> None:
        """A decision is next: explain it, if it is about the signal that is asked for."""
        if not isinstance(record, Recorded):
            return
        if isinstance(record.event, RoutingDecided) and record.event.signal == self._signal:
            sources = self._evidence.sources(self.fold.view, record.event)
            self.explanations.append(explain(record.position, record.event, self.fold.view.policy, sources))
        self._evidence.see_decision(record)


def explanations(messages: Iterable[StoredMessage], signal: Position) -> list[Explanation]:
    """Explain every verdict on the signal at a position, in order."""
    explainer = Explainer(signal)
    for message in messages:
        explainer.fold.take(message)
    return explainer.explanations


def explain(position: Position, decided: RoutingDecided, policy: Policy, sources: Sources) -> Explanation:
    """Explain one verdict by its situation and the policy that judged it."""
    lines: list[Line] = []
    objected = False
    for check in checks.CHECKS:
        answer = _answer(check, decided.situation, policy)
        lines.append(
            Line(
                check=check.name,
                key=", ".join(check.keys) or "-",
                answer=Answer.NOT_REACHED if objected else answer,
                read=check.sentence(decided.situation, policy),
                because=[place for value in check.reads for place in sources.get(value, ())],
                would=answer if objected else None,
            )
        )
        objected = objected or answer is Answer.OBJECTS
    return Explanation(position, decided, policy.digest, lines, what_next(decided.verdict, decided.situation))


def why_not(fold: Fold, target: Target) -> list[Remediation]:
    """The remediations that are about a target and have not ended, the oldest first."""
    about = [one for one in fold.view.remediations.values() if one.target == target and not one.phase.ended]
    return sorted(about, key=lambda one: one.order)


def what_next(verdict: Verdict, situation: Situation) -> str:
    """When a verdict would be another, or what would have to happen."""
    match type(verdict).__name__:
        case "Proceed":
            return (
                "It is to be run. Where no executor begins it in time it is revoked, and judged again: no failure."
                if situation.workflow
                else "It is analysed, and judged again when that has named a workflow."
            )
        case "Duplicate":
            return f"It counts on {getattr(verdict, 'of', '')}; it will be judged anew when that has ended."
        case "Refuse":
            return "Nothing until a person has looked: `ro clear`, then `ro retry`, or the next signal."
        case "Skip":
            return "The next signal is judged anew."
    until: datetime | None = getattr(verdict, "until", None)
    if until is not None:
        return f"It is judged again at {written(until)}, or when it is cleared or the policy changes."
    return "It is judged again when the target is released and its turn has come."


def _answer(check: checks.Check, situation: Situation, policy: Policy) -> Answer:
    if not check.applies(situation):
        return Answer.SILENT
    return Answer.OBJECTS if check.objection(situation, policy) is not None else Answer.PASSES
