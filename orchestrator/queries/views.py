"""What a folded log says about its remediations and fingerprints. Pure questions; nothing here reads or writes.

What is so now is `present`'s to say; a verdict on what would happen next is the checks' own."""

import heapq
from collections.abc import Iterator, Mapping
from datetime import datetime

from msgspec import Struct

from remediation_orchestrator.events import (
    ExecutionId,
    Fingerprint,
    Phase,
    Reason,
    RemediationId,
    SignalReceived,
    Target,
)
from remediation_orchestrator.events.identity import position_key, signal_named_by, signal_of
from remediation_orchestrator.orchestrator.routing.backoff import count_remembered
from remediation_orchestrator.orchestrator.routing.decisions import open_remediation
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation

from .chronicle import Chronicle
from .obstacles import Obstacle, obstacle
from .present import standing, told
from .standing import Present

NEAR_MAX = 3


class RemediationView(Struct, frozen=True, kw_only=True):
    """A remediation as it stands."""

    id: RemediationId
    name: str
    severity: str
    environment: str
    priority: str
    target: Target
    within: tuple[Target, ...]
    team: str
    fingerprint: Fingerprint
    phase: Phase
    reason: str | None
    """Why it is in this phase, in a word: the check that objects, the outcome, or what ended it."""
    of: RemediationId | None
    until: datetime | None
    attempts: int
    runs: int
    workflow: str | None
    execution: ExecutionId | None
    opened_at: datetime
    occurred_at: datetime
    present: Present
    """What is so of it, since when, until when, what ends that, and what a person can do."""

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return not self.phase.ended


class FingerprintView(Struct, frozen=True, kw_only=True):
    """What a problem has been through, and when it may run again."""

    fingerprint: Fingerprint
    failures: int
    last_failure_at: datetime | None
    next_allowed_at: datetime | None
    """When nothing objects any more; null where that is not known, or only a person can help."""
    objection: Reason | None
    """What objects now."""
    next_allowed: str
    """Both in words."""
    ends: str
    """What takes away what objects."""
    clear: str | None
    """What a person can type to take it away now."""
    completed_at: datetime | None
    completed_by: RemediationId | None
    active: RemediationId | None
    firing: list[str]
    """The alerts that are known to fire for it, what was heard of longest ago first."""
    remediations: list[RemediationView]


def remediations(view: Projection, chronicle: Chronicle, now: datetime) -> list[RemediationView]:
    """All remediations, the oldest first, and the signals at the tail that nobody has judged yet."""
    known = sorted(chronicle.known(view).values(), key=lambda one: one.order)
    return [remediation_view(view, chronicle, one, now) for one in [*known, *unjudged(view)]]


def remediation_view(view: Projection, chronicle: Chronicle, one: Remediation, now: datetime) -> RemediationView:
    """One remediation as it stands at a moment."""
    found = standing(view, chronicle, one, now)
    shown = told(found)
    return RemediationView(
        id=one.id,
        name=one.words.name,
        severity=one.words.severity,
        environment=one.words.environment,
        priority=one.words.priority,
        target=one.target,
        within=one.within,
        team=one.words.team,
        fingerprint=one.fingerprint,
        phase=one.phase,
        reason=shown.word,
        of=found.objection.of if found.objection is not None else None,
        until=shown.until,
        attempts=one.attempts,
        runs=one.runs,
        workflow=one.workflow.id if one.workflow else None,
        execution=one.execution,
        opened_at=chronicle.opened.get(one.id, one.occurred_at),
        occurred_at=one.occurred_at,
        present=shown,
    )


def fingerprints(view: Projection, chronicle: Chronicle | None = None) -> list[Fingerprint]:
    """Every fingerprint that is remembered, or with a chronicle that was heard of."""
    known = view.remediations if chronicle is None else chronicle.known(view)
    seen = dict.fromkeys(one.fingerprint for one in known.values())
    return list(seen | dict.fromkeys(view.histories) | dict.fromkeys(one.fingerprint for one in unjudged(view)))


def fingerprints_like(view: Projection, text: str, chronicle: Chronicle | None = None) -> list[Fingerprint]:
    """The fingerprint that is meant, or all that begin so."""
    all_of_them = fingerprints(view, chronicle)
    return [one for one in all_of_them if one == text] or [one for one in all_of_them if one.startswith(text)]


def fingerprint_view(
    view: Projection, chronicle: Chronicle, fingerprint: Fingerprint, now: datetime
) -> FingerprintView:
    """Return what a fingerprint has been through, as of now."""
    history = view.history(fingerprint)
    known = [one for one in chronicle.known(view).values() if one.fingerprint == fingerprint]
    known.sort(key=lambda one: one.order)
    of_it = [*known, *(one for one in unjudged(view) if one.fingerprint == fingerprint)]
    forgotten = chronicle.completed.get(fingerprint, (None, None))
    completed_at, completed_by = (
        (history.completed_at, history.completed_by) if history.completed_at is not None else forgotten
    )
    found = problem_obstacle(view, chronicle, (known or of_it)[-1], now)
    return FingerprintView(
        fingerprint=fingerprint,
        failures=count_remembered(history.failures, history.last_failure_at, now, view.policy.routing),
        last_failure_at=history.last_failure_at,
        next_allowed_at=now if found.objection is None else found.until,
        objection=found.objection,
        next_allowed=found.says,
        ends=found.ends,
        clear=found.clear.command if found.clear else None,
        completed_at=completed_at,
        completed_by=completed_by,
        active=history.active,
        firing=view.retention.firing_of(fingerprint, now),
        remediations=[remediation_view(view, chronicle, one, now) for one in of_it],
    )


def problem_obstacle(view: Projection, chronicle: Chronicle, newest: Remediation, now: datetime) -> Obstacle:
    """Return what stands in a problem's way: as for its newest remediation, unless one is at work on it."""
    active = view.active(newest.fingerprint)
    if active is not None and active.phase is not Phase.BLOCKED:
        shown = told(standing(view, chronicle, active, now))
        return Obstacle(
            objection=Reason.DUPLICATE_IN_PROGRESS,
            of=active.id,
            says=f"{active.id} is at it ({active.phase})",
            ends=shown.ends,
        )
    return obstacle(view, active or newest, now)


def near(known: Mapping[RemediationId, Remediation], text: str) -> list[RemediationId]:
    """Those whose place in the log is nearest to the one that was named, else the newest."""
    places = [(position_key(signal_of(name)), name) for name in known]
    signal = signal_named_by(text)
    if signal is None:
        return [name for _, name in heapq.nlargest(NEAR_MAX, places)]
    wanted = position_key(signal)[0]
    return [name for _, name in heapq.nsmallest(NEAR_MAX, places, key=lambda one: abs(one[0][0] - wanted))]


def unjudged(view: Projection) -> Iterator[Remediation]:
    """Return what the signals would open that have no verdict yet."""
    for occurrence in view.unjudged.values():
        if isinstance(occurrence.event, SignalReceived):
            yield open_remediation(occurrence, occurrence.event)
