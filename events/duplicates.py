"""Duplicates in a row: in a storm one record of a frame says what else would be a record for each signal.

This is how verdicts are written, and nothing more: `decode` gives back each by itself, in its place among the
others, so whoever folds a log or asks it questions never sees this record."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from .decisions import Because, Cause, Decision, Duplicate, RoutingDecided, Situation, Stage
from .identity import Fingerprint, Position, RemediationId, Target, Words, Zoned

# So a record stays below a quarter of a frame even where all its names are as long as names may be.
SIGNALS_MAX = 1_000
PROBLEMS_BYTES_MAX = 64 * 1024


class Problem(Struct, frozen=True, omit_defaults=True, gc=False):
    """What the verdicts on signals of one problem have in common."""

    fingerprint: Fingerprint
    target: Target
    of: RemediationId
    stage: Stage
    words: Words | None = None
    workflow: str | None = None
    within: tuple[Target, ...] = ()

    def situation(self, now: datetime, policy: str) -> Situation:
        """All that was read of a signal of this problem."""
        return situation_beside(
            now, policy, self.fingerprint, self.target, self.of, (self.words, self.workflow), self.within
        )


class DuplicatesDecided(Struct, frozen=True, gc=False):
    """First verdicts on signals in a row, all Duplicate: of each signal its position, and which problem it is."""

    now: Zoned
    policy: str
    """Digest of the policy that judged."""
    problems: Annotated[list[Problem], Meta(max_length=SIGNALS_MAX)]
    signals: Annotated[
        list[tuple[Position, Annotated[int, Meta(ge=0)]]], Meta(min_length=1, max_length=SIGNALS_MAX)
    ]

    def __post_init__(self) -> None:
        if max(index for _, index in self.signals) >= len(self.problems):
            raise ValueError("a signal names a problem that is not there")

    def singly(self) -> Iterator[RoutingDecided]:
        """Each verdict by itself, in the order in which they were made."""
        situations = [one.situation(self.now, self.policy) for one in self.problems]
        for signal, index in self.signals:
            yield _verdict(signal, self.problems[index], situations[index])


StoredDecision = Decision | DuplicatesDecided


def gather_duplicates(decisions: Iterable[Decision]) -> Iterator[tuple[Decision, StoredDecision]]:
    """What is stored, in order: a decision and itself, or the first of duplicates in a row and a record of all."""
    row = _Row()
    for decision in decisions:
        if row.takes(decision):
            continue
        yield from row.end()
        row = _Row()
        if not row.takes(decision):
            yield decision, decision
    yield from row.end()


class _Row:
    """Duplicates that come one right after the other, as many as one record holds."""

    def __init__(self) -> None:
        self._first: RoutingDecided | None = None
        self._problems: dict[Problem, tuple[int, Situation]] = {}
        self._signals: list[tuple[Position, int]] = []
        self._bytes = 0

    def takes(self, decision: Decision) -> bool:
        """Add a decision, if `singly` would give back exactly this one and there is room for it."""
        if not isinstance(decision, RoutingDecided) or not isinstance(decision.verdict, Duplicate):
            return False
        first = self._first or decision
        now, policy = first.situation.now, first.situation.policy
        about = decision.situation
        of, stage = decision.verdict.of, decision.stage
        problem = Problem(about.fingerprint, about.target, of, stage, about.words, about.workflow, about.within)
        index, situation = self._problems.get(problem) or (len(self._problems), problem.situation(now, policy))
        if len(self._signals) == SIGNALS_MAX or _verdict(decision.signal, problem, situation) != decision:
            return False
        if index == len(self._problems):
            self._bytes += len(msgspec.json.encode(problem))
            if self._bytes > PROBLEMS_BYTES_MAX and self._signals:
                return False
            self._problems[problem] = index, situation
        self._first = first
        self._signals.append((decision.signal, index))
        return True

    def end(self) -> Iterator[tuple[Decision, StoredDecision]]:
        """Return what is stored of them. One alone is stored as any decision is."""
        if self._first is None:
            return
        if len(self._signals) == 1:
            yield self._first, self._first
            return
        about = self._first.situation
        yield self._first, DuplicatesDecided(about.now, about.policy, list(self._problems), self._signals)


def situation_beside(
    now: datetime,
    policy: str,
    fingerprint: Fingerprint,
    target: Target,
    active: RemediationId,
    said: tuple[Words | None, str | None],
    within: tuple[Target, ...],
) -> Situation:
    """All that a check reads of a problem that another remediation is at."""
    words, workflow = said
    return Situation(
        now=now,
        policy=policy,
        fingerprint=fingerprint,
        target=target,
        words=words,
        within=within,
        workflow=workflow,
        active=active,
    )


def _verdict(signal: Position, problem: Problem, situation: Situation) -> RoutingDecided:
    return RoutingDecided(
        signal=signal,
        remediation=problem.of,
        attempt=1,
        because=Because(Cause.SIGNAL, signal),
        stage=problem.stage,
        verdict=Duplicate(problem.of),
        situation=situation,
    )
