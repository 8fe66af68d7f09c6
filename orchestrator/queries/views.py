"""What a folded log says about its remediations and fingerprints. Pure questions; nothing here reads or writes.

A verdict on what would happen next comes from the same checks that decide: there is no second judgement."""

import heapq
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from remediation_orchestrator.events import (
    Block,
    Cause,
    Duplicate,
    ExecutionId,
    Fingerprint,
    Outcome,
    Phase,
    PhaseChanged,
    Position,
    Recorded,
    Refuse,
    RemediationId,
    RoutingDecided,
    SignalReceived,
    Situation,
    Skip,
    Target,
    Undecodable,
    Verdict,
)
from remediation_orchestrator.events.identity import position_key, signal_of
from remediation_orchestrator.orchestrator.routing.backoff import counted
from remediation_orchestrator.orchestrator.routing.checks import decide
from remediation_orchestrator.orchestrator.routing.decisions import open_remediation
from remediation_orchestrator.orchestrator.routing.fold import Observer
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation, Tell

NEAR_MAX = 3


class RemediationView(Struct, frozen=True, kw_only=True):
    """A remediation as it stands."""

    id: RemediationId
    name: str
    severity: str
    environment: str
    priority: str
    target: Target
    fingerprint: Fingerprint
    phase: Phase
    reason: str | None
    """Why it is in this phase: the check that objected, the outcome, or what ended it."""
    of: RemediationId | None
    until: datetime | None
    attempts: int
    runs: int
    workflow: str | None
    execution: ExecutionId | None
    opened_at: datetime
    occurred_at: datetime

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
    """When nothing that the fingerprint has been through objects any more; null where only a person can help."""
    objection: str | None
    """What objects now."""
    completed_at: datetime | None
    completed_by: RemediationId | None
    active: RemediationId | None
    remediations: list[RemediationView]


class Chronicle(Observer):
    """Looks on while a log is folded, and keeps of each remediation what its projection does not, or lets go."""

    def __init__(self, *, keep: bool = True) -> None:
        self._keep = keep
        """Whether what the projection forgets is kept here; else it is forgotten here, too."""
        self.verdicts: dict[RemediationId, RoutingDecided] = {}
        """The newest verdict on each that is not a duplicate's."""
        self.changes: dict[RemediationId, PhaseChanged] = {}
        self.opened: dict[RemediationId, datetime] = {}
        self.completed: dict[Fingerprint, tuple[datetime, RemediationId]] = {}
        """When each problem was last remediated, and by which."""
        self.gone: dict[RemediationId, Remediation] = {}
        """What the projection has forgotten, as it was in the end."""
        self._signals: dict[Position, datetime] = {}

    def fact(self, record: Recorded | Undecodable, *, fits: bool) -> None:
        """Remember when a signal came until it has its verdict."""
        if isinstance(record, Recorded) and isinstance(record.event, SignalReceived):
            self._signals[record.position] = record.recorded_at

    def decision(self, record: Recorded | Undecodable) -> None:
        """Keep the newest verdict and the newest change."""
        event = record.event if isinstance(record, Recorded) else None
        if isinstance(event, PhaseChanged):
            self.changes[event.remediation] = event
            if event.outcome is Outcome.REMEDIATED:
                self.completed[event.fingerprint] = event.now, event.remediation
        elif isinstance(event, RoutingDecided):
            came = self._signals.pop(event.signal, None)
            if isinstance(event.verdict, Duplicate):
                return
            self.verdicts[event.remediation] = event
            if came is not None:
                self.opened[event.remediation] = came

    def forgotten(self, remediation: Remediation) -> None:
        """Keep it for whoever asks, or let it go as well."""
        if self._keep:
            self.gone[remediation.id] = remediation
            return
        for table in (self.verdicts, self.changes, self.opened):
            table.pop(remediation.id, None)

    def known(self, view: Projection) -> dict[RemediationId, Remediation]:
        """Every remediation that there was."""
        return {**self.gone, **view.remediations}

    def objection(self, remediation: Remediation) -> Block | Skip | Refuse | None:
        """What the newest verdict had against a remediation that stands where it put it."""
        verdict = self.verdicts[remediation.id].verdict if remediation.id in self.verdicts else None
        stands = {Block: Phase.BLOCKED, Skip: Phase.SKIPPED, Refuse: Phase.FAILED}
        if isinstance(verdict, Block | Skip | Refuse) and remediation.phase is stands[type(verdict)]:
            return verdict
        return None


def remediations(view: Projection, chronicle: Chronicle) -> list[RemediationView]:
    """All remediations, the oldest first, and the signals at the tail that nobody has judged yet."""
    known = sorted(chronicle.known(view).values(), key=lambda one: one.order)
    return [remediation_view(view, chronicle, one) for one in [*known, *_unjudged(view)]]


def remediation_view(view: Projection, chronicle: Chronicle, one: Remediation) -> RemediationView:
    """One remediation as it stands."""
    objection = chronicle.objection(one)
    return RemediationView(
        id=one.id,
        name=one.kind.name,
        severity=one.kind.severity,
        environment=one.kind.environment,
        priority=one.kind.priority,
        target=one.target,
        fingerprint=one.fingerprint,
        phase=one.phase,
        reason=objection.reason if objection else _reason(view, chronicle, one),
        of=objection.of if objection else None,
        until=None if one.phase.ended else one.until,
        attempts=one.attempts,
        runs=one.runs,
        workflow=one.workflow.id if one.workflow else None,
        execution=one.execution,
        opened_at=chronicle.opened.get(one.id, one.occurred_at),
        occurred_at=one.occurred_at,
    )


def fingerprints(view: Projection, chronicle: Chronicle | None = None) -> list[Fingerprint]:
    """Every fingerprint that is remembered, or with a chronicle that was heard of."""
    known = view.remediations if chronicle is None else chronicle.known(view)
    seen = dict.fromkeys(one.fingerprint for one in known.values())
    return list(seen | dict.fromkeys(view.histories) | dict.fromkeys(one.fingerprint for one in _unjudged(view)))


def fingerprints_like(view: Projection, text: str, chronicle: Chronicle | None = None) -> list[Fingerprint]:
    """The fingerprint that is meant, or all that begin so."""
    all_of_them = fingerprints(view, chronicle)
    return [one for one in all_of_them if one == text] or [one for one in all_of_them if one.startswith(text)]


def fingerprint_view(
    view: Projection, chronicle: Chronicle, fingerprint: Fingerprint, now: datetime
) -> FingerprintView:
    """What a fingerprint has been through, as of now."""
    history = view.history(fingerprint)
    rows = [one for one in remediations(view, chronicle) if one.fingerprint == fingerprint]
    forgotten = chronicle.completed.get(fingerprint, (None, None))
    completed_at, completed_by = (
        (history.completed_at, history.completed_by) if history.completed_at is not None else forgotten
    )
    first = decide(_situation(view, fingerprint, rows[-1].target, now), view.policy) if rows else None
    return FingerprintView(
        fingerprint=fingerprint,
        failures=counted(history.failures, history.last_failure_at, now, view.policy.routing),
        last_failure_at=history.last_failure_at,
        next_allowed_at=allowed_at(view, fingerprint, rows[-1].target, now) if rows else now,
        objection=getattr(first, "reason", None),
        completed_at=completed_at,
        completed_by=completed_by,
        active=history.active,
        remediations=rows,
    )


def near(known: Mapping[RemediationId, Remediation], text: str) -> list[RemediationId]:
    """Those whose place in the log is nearest to the one that was named, else the newest."""
    places = [(position_key(signal_of(name)), name) for name in known]
    try:
        wanted = position_key(text.removeprefix("rr-").removeprefix("wfe-").split("-r")[0])[0]
    except ValueError:
        return [name for _, name in heapq.nlargest(NEAR_MAX, places)]
    return [name for _, name in heapq.nsmallest(NEAR_MAX, places, key=lambda one: abs(one[0][0] - wanted))]


def _unjudged(view: Projection) -> Iterator[Remediation]:
    for occurrence in view.unjudged.values():
        if isinstance(occurrence.event, SignalReceived):
            yield open_remediation(occurrence, occurrence.event)


def _reason(view: Projection, chronicle: Chronicle, one: Remediation) -> str | None:
    """What a change of phase says of its reason, be it not recorded yet; and where nobody is at a run, that."""
    run = view.runs.get(one.execution) if one.phase is Phase.EXECUTING and one.execution else None
    if run is not None and not run.started:
        return "not begun"
    told = view.tasks.get((Tell, one.id))
    change = told.change if isinstance(told, Tell) else chronicle.changes.get(one.id)
    if change is None or change.phase is not one.phase:
        return None
    if one.phase is Phase.CANCELLED:
        return "resolved" if change.because.kind is Cause.RESOLVED else "cancelled"
    return change.outcome or change.failure_phase


def allowed_at(view: Projection, fingerprint: Fingerprint, target: Target, now: datetime) -> datetime | None:
    """Go from one objection's end to the next until there is none."""
    moment = now
    while True:
        verdict: Verdict = decide(_situation(view, fingerprint, target, moment), view.policy)
        if not isinstance(verdict, Block):
            return None if isinstance(verdict, Refuse | Skip) else moment
        assert verdict.until is not None
        assert verdict.until > moment
        moment = verdict.until


def _situation(view: Projection, fingerprint: Fingerprint, target: Target, now: datetime) -> Situation:
    """What the fingerprint itself brings to a judgement: no workflow, no lock, nobody at it."""
    history = view.retention.remembered(fingerprint, now)
    return Situation(
        now=now,
        policy=view.policy.digest,
        fingerprint=fingerprint,
        target=target,
        resolves=True,
        queued=timedelta(0),
        failures=history.failures,
        last_failure_at=history.last_failure_at,
        completed_at=history.completed_at,
        completed_by=history.completed_by,
    )
