"""Why: every check that a verdict went through, in order, with its numbers and the records that made them.

The answer of each check is asked of the check itself; the words around it only say what it read."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
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

from .evidence import Evidence, Sources
from .routing.backoff import backoff
from .routing.checks import CHECKS, Check, failures
from .routing.durations import format_duration
from .routing.fold import Fold, Observer
from .routing.policy import Policy
from .routing.state import Remediation


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
    for check, key, read, evidence in _CHECKS:
        answer = _answer(check, key, decided.situation, policy)
        lines.append(
            Line(
                check=check.__name__.removeprefix("check_"),
                key=key,
                answer=Answer.NOT_REACHED if objected else answer,
                read=read(decided.situation, policy),
                because=evidence(sources),
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
        return f"It is judged again at {_time(until)}, or when it is cleared or the policy changes."
    return "It is judged again when the target is released and its turn has come."


def _answer(check: Check, key: str, situation: Situation, policy: Policy) -> Answer:
    if "W" in key and situation.workflow is None:
        return Answer.SILENT
    return Answer.OBJECTS if check(situation, policy) is not None else Answer.PASSES


# -- what each check read, in words --------------------------------------------------------------------


def _scope(situation: Situation, policy: Policy) -> str:
    return f"the scope excludes {len(policy.scope.exclude)} patterns; the target is {situation.target}"


def _active(situation: Situation, policy: Policy) -> str:
    return (
        f"{situation.active} is at this problem" if situation.active else "no other remediation is at this problem"
    )


def _age(situation: Situation, policy: Policy) -> str:
    if situation.resolves or situation.occurred_at is None:
        return "its source says when it is over"
    age = situation.now - situation.occurred_at - situation.queued
    limit = policy.routing.signal_max_age
    return f"newest occurrence {_span(age)} ago (queueing left out), at most {_span(limit)}"


def _previous(situation: Situation, policy: Policy) -> str:
    if situation.previous_failure is None:
        return f"no run of {situation.workflow} left the target half-changed"
    run = f"the run of {situation.workflow} for {situation.previous_failure}"
    return f"{run} failed half-way, and nobody has cleared it"


def _count(situation: Situation, policy: Policy) -> str:
    return f"{_failures(situation, policy)}, limit {policy.routing.retry_limit}"


def _rest(situation: Situation, policy: Policy) -> str:
    rules = policy.routing
    return (
        f"{_failures(situation, policy)}, threshold {rules.consecutive_failure_threshold}, "
        f"then {_span(rules.consecutive_failure_cooldown)} of rest"
    )


def _wait(situation: Situation, policy: Policy) -> str:
    counted = failures(situation, policy)
    wait = backoff(policy.routing, situation.fingerprint, counted)
    return (
        f"{_failures(situation, policy)}, so {_span(wait)} after the last" if counted else "no failures in a row"
    )


def _cooldown(situation: Situation, policy: Policy) -> str:
    return _since(situation.completed_at, situation.now, policy.routing.signal_cooldown, "this problem")


def _workflow_cooldown(situation: Situation, policy: Policy) -> str:
    what = f"{situation.workflow} on this target"
    return _since(situation.workflow_completed_at, situation.now, policy.routing.workflow_cooldown, what)


def _queue(situation: Situation, policy: Policy) -> str:
    held = f"held by {situation.held_by}" if situation.held_by else "the target is free"
    first = f", {situation.queue_first} waits first" if situation.queue_first else ""
    return f"{held}, {situation.queue_ahead} ahead in its queue{first}"


def _failures(situation: Situation, policy: Policy) -> str:
    if not situation.failures or situation.last_failure_at is None:
        return "no failures in a row"
    forgotten = "" if failures(situation, policy) else " (forgotten)"
    return f"{situation.failures} failures in a row{forgotten}, the last at {_time(situation.last_failure_at)}"


def _since(moment: datetime | None, now: datetime, cooldown: timedelta | None, what: str) -> str:
    if moment is None:
        return f"no run has completed for {what}"
    return f"a run completed for {what} {_span(now - moment)} ago, cooldown {_span(cooldown)}"


def _span(duration: timedelta | None) -> str:
    return "not set" if duration is None else format_duration(duration)


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Read = Callable[[Situation, Policy], str]
_WORDS: tuple[tuple[str, Read, Callable[[Sources], list[Position]]], ...] = (
    ("T", _scope, lambda sources: sources.policy),
    ("F", _active, lambda sources: sources.active),
    ("-", _age, lambda sources: sources.occurrence),
    ("T, W", _previous, lambda sources: sources.previous_failure),
    ("F", _count, lambda sources: sources.failures),
    ("F", _rest, lambda sources: sources.failures),
    ("F", _wait, lambda sources: sources.failures),
    ("F", _cooldown, lambda sources: sources.completed),
    ("T, W", _workflow_cooldown, lambda sources: sources.workflow_completed),
    ("T", _queue, lambda sources: sources.holder),
)
_CHECKS = tuple((check, *words) for check, words in zip(CHECKS, _WORDS, strict=True))
