"""Why: every check that a verdict went through, in order, with its numbers and the records that made them.

The checks, their answers and their words are the core's own."""

from collections.abc import Iterable
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
)
from remediation_orchestrator.orchestrator.routing import checks
from remediation_orchestrator.orchestrator.routing.fold import Fold, Observer
from remediation_orchestrator.orchestrator.routing.policy import Policy
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation

from .chronicle import Chronicle
from .evidence import Evidence, Sources
from .views import unjudged

# What is gathered of a problem that another remediation is at.
BESIDE = frozenset({"policy", "fingerprint", "target", "within", "words", "workflow", "active"})


class CheckAnswer(StrEnum):
    """What a check said."""

    OBJECTS = "objects"
    PASSES = "passes"
    SILENT = "does not apply"
    NOT_REACHED = "not reached"
    NOT_READ = "not read"


class CheckLine(Struct, frozen=True):
    """One check: what it read, what it answered, and the records behind it.

    `would` is what a check behind the first objection would have said, where what it reads was known."""

    check: str
    key: str
    answer: CheckAnswer
    read: str
    because: list[Position]
    would: CheckAnswer | None = None


class Explanation(Struct, frozen=True):
    """One verdict, in full."""

    position: Position
    decided: RoutingDecided
    policy: str
    lines: list[CheckLine]


class Explainer(Observer):
    """Folds a log and keeps the verdicts on one signal, with what stood behind them.

    What is named is the signal, by its position or its remediation; or one of the verdicts, by its own position,
    its frame's, or the run that it let begin."""

    def __init__(self, signal: Position, named: str = "") -> None:
        self.fold = Fold(self)
        self.chronicle = Chronicle()
        self.explanations: list[Explanation] = []
        self.named: Explanation | None = None
        """The one verdict that was named."""
        self._signal = signal
        self._name = named or signal
        self._evidence = Evidence()

    def fact(self, record: Recorded | Undecodable, *, fits: bool) -> None:
        """A fact has been folded."""
        self.chronicle.fact(record, fits=fits)
        if fits and isinstance(record, Recorded):
            self._evidence.see_fact(self.fold.view, record)

    def decision(self, record: Recorded | Undecodable) -> None:
        """A decision is next: explain it, if it is about the signal that is asked for."""
        self.chronicle.decision(record)
        if not isinstance(record, Recorded):
            return
        if isinstance(record.event, RoutingDecided):
            self._verdict(record.position, record.event)
        self._evidence.see_decision(record)

    def _verdict(self, place: Position, decided: RoutingDecided) -> None:
        names = self._name in (place, place.partition("-")[0], decided.execution)
        if names and self.named is None:
            self._signal = decided.signal
        if decided.signal != self._signal:
            return
        sources = self._evidence.sources(self.fold.view, decided)
        self.explanations.append(explain(place, decided, self.fold.view.policy, sources))
        if names and self.named is None:
            self.named = self.explanations[-1]

    def forgotten(self, remediation: Remediation) -> None:
        """The projection has let go of a remediation."""
        self.chronicle.forgotten(remediation)

    def about(self) -> Remediation | None:
        """The remediation that its signal opened, counts on, or would open."""
        view = self.fold.view
        if self.explanations:
            return self.chronicle.known(view).get(self.explanations[-1].decided.remediation)
        return next((one for one in unjudged(view) if one.signal == self._signal), None)


def explanations(messages: Iterable[StoredMessage], signal: Position) -> list[Explanation]:
    """Explain every verdict on the signal at a position, in order."""
    explainer = Explainer(signal)
    for message in messages:
        explainer.fold.take(message)
    return explainer.explanations


def explain(position: Position, decided: RoutingDecided, policy: Policy, sources: Sources) -> Explanation:
    """Explain one verdict by its situation and the policy that judged it."""
    lines: list[CheckLine] = []
    objected = False
    for check in checks.CHECKS:
        answer = _answer(check, decided.situation, policy)
        shown = CheckAnswer.NOT_REACHED if objected and answer is not CheckAnswer.NOT_READ else answer
        lines.append(
            CheckLine(
                check=check.name,
                key=", ".join(check.keys) or "-",
                answer=shown,
                read=_read(check, decided.situation, policy, answer),
                because=[place for value in check.reads for place in sources.get(value, ())],
                would=answer if shown is CheckAnswer.NOT_REACHED else None,
            )
        )
        objected = objected or answer is CheckAnswer.OBJECTS
    return Explanation(position, decided, policy.digest, lines)


def why_not(view: Projection, chronicle: Chronicle, target: Target) -> list[Remediation]:
    """The newest remediation of each problem of a target, the oldest first."""
    about = sorted(
        (one for one in chronicle.known(view).values() if one.target == target), key=lambda one: one.order
    )
    return list({one.fingerprint: one for one in about}.values())


def _answer(check: checks.Check, situation: Situation, policy: Policy) -> CheckAnswer:
    if not was_read(check, situation):
        return CheckAnswer.NOT_READ
    if not check.applies(situation) or check.lacks(policy):
        return CheckAnswer.SILENT
    return CheckAnswer.OBJECTS if check.objection(situation, policy) is not None else CheckAnswer.PASSES


def was_read(check: checks.Check, situation: Situation) -> bool:
    """Whether a situation has what a check reads: of a problem that another remediation is at, no more is read."""
    return situation.active is None or set(check.reads) <= BESIDE


def _read(check: checks.Check, situation: Situation, policy: Policy, answer: CheckAnswer) -> str:
    if answer is CheckAnswer.NOT_READ:
        return f"not read, because {situation.active} is at this problem"
    if not check.applies(situation):
        return "no workflow is known yet"
    lacking = check.lacks(policy)
    return f"the policy has no {lacking}" if lacking else check.sentence(situation, policy)
