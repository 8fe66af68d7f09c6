"""The outbox: what stored decisions promise and the log does not show yet.

A decision puts its commands here, their records take them away. A crash between the two leaves them, and whoever
leads next sends them. A command is derived from the decision that owes it and from nothing else: the same record,
the same command."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from remediation_orchestrator.events import (
    AnalyzeSignal,
    Block,
    CancelWorkflow,
    Command,
    CreateWorkflow,
    Decision,
    DecisionFrame,
    Duplicate,
    ExecutionId,
    LogArchived,
    Notify,
    OrchestratorStarted,
    Outcome,
    PhaseChanged,
    PolicyRejected,
    Position,
    Proceed,
    Refuse,
    RoutingDecided,
    ShadowDecided,
    SignalRejected,
    Skip,
    TargetReleased,
    VerificationEnded,
    WorkflowRevoked,
)
from remediation_orchestrator.events.identity import position

from .state import Owed


class Errand(StrEnum):
    """What can be owed: a command of one of four kinds, or the fact that nobody may begin a run any more."""

    WORKFLOW = "workflow"
    ANALYZE = "analyze"
    CANCEL = "cancel"
    NOTIFY = "notify"
    REVOKE = "revoke"


class OwedKey(NamedTuple):
    """What is owed, by kind and id; a command's are the last two words of its subject."""

    errand: Errand
    name: str


class Outbox:
    """All that is owed, in the order of being promised."""

    def __init__(self) -> None:
        self.owed: dict[OwedKey, Owed] = {}

    def restore(self, rows: Iterable[tuple[OwedKey, Owed]]) -> None:
        """Know some of what was written down."""
        self.owed.update(rows)

    def promise(self, decision: RoutingDecided, at: Position | None) -> None:
        """A verdict owes what it lets happen."""
        for key in promises(decision):
            self.owed[key] = Owed(decision, at)

    def notify(self, change: PhaseChanged, at: Position | None) -> None:
        """A change of phase that needs a person is to be told to one."""
        if change.outcome is Outcome.MANUAL_REVIEW_REQUIRED:
            self.owed[_notice(change)] = Owed(change, at)

    def end_run(self, run: ExecutionId, change: PhaseChanged, at: Position | None, *, started: bool) -> None:
        """A run is to be ended: cancelled if it has begun, else revoked instead of commanded."""
        self.owed.pop(OwedKey(Errand.WORKFLOW, run), None)
        self.owed[OwedKey(Errand.CANCEL if started else Errand.REVOKE, run)] = Owed(change, at)

    def begin_run(self, run: ExecutionId) -> None:
        """A run has begun: its command is not needed any more, and what could not be revoked is cancelled."""
        self.owed.pop(OwedKey(Errand.WORKFLOW, run), None)
        revocation = self.owed.pop(OwedKey(Errand.REVOKE, run), None)
        if revocation is not None:  # The executor was first.
            self.owed[OwedKey(Errand.CANCEL, run)] = revocation

    def forget_run(self, run: ExecutionId) -> None:
        """Nothing is owed for a run any more."""
        for errand in (Errand.WORKFLOW, Errand.REVOKE, Errand.CANCEL):
            self.owed.pop(OwedKey(errand, run), None)

    def forget_analysis(self, analysis: str) -> None:
        """Nobody waits for an analysis any more."""
        self.owed.pop(OwedKey(Errand.ANALYZE, analysis), None)

    def strike_off(self, key: tuple[str, str]) -> None:
        """What was owed is in the log."""
        self.owed.pop(key, None)  # type: ignore[call-overload]  # A key is a pair of words, and equal to them.

    def confirm(self, sequence: int, frame: Iterable[Decision]) -> None:
        """A frame is stored: what its decisions owe has a position now."""
        for index, decision in enumerate(frame):
            for key in promises(decision):
                owed = self.owed.get(key)
                if owed is not None and owed.decision is decision:
                    self.owed[key] = Owed(decision=owed.decision, position=position(sequence, index))

    def take_commands(self) -> list[tuple[OwedKey, Owed]]:
        """Take away all commands: for whoever thinks a log through, and sends nothing."""
        taken = [(key, owed) for key, owed in self.owed.items() if key.errand is not Errand.REVOKE]
        for key, _ in taken:
            del self.owed[key]
        return taken

    def to_revoke(self) -> list[ExecutionId]:
        """The runs that nobody may begin any more."""
        return [ExecutionId(key.name) for key in self.owed if key.errand is Errand.REVOKE]


def promises(decision: Decision) -> list[OwedKey]:
    """Return what a decision may owe; a run that is to be ended is revoked or cancelled, as it stands then."""
    match decision:
        case RoutingDecided():
            return _promises_of(decision)
        case PhaseChanged():
            keys = [_notice(decision)] if decision.outcome is Outcome.MANUAL_REVIEW_REQUIRED else []
            if decision.execution is not None:
                keys += [OwedKey(Errand.REVOKE, decision.execution), OwedKey(Errand.CANCEL, decision.execution)]
            return keys
        case DecisionFrame() | OrchestratorStarted() | ShadowDecided() | TargetReleased() | VerificationEnded():
            return []
        case SignalRejected() | PolicyRejected() | LogArchived():
            return []


def _promises_of(decided: RoutingDecided) -> list[OwedKey]:
    match decided.verdict:
        case Duplicate() | Block() | Skip():
            return []
        case Refuse():
            return [_notice(decided)]
        case Proceed():
            if decided.execution is not None:
                return [OwedKey(Errand.WORKFLOW, decided.execution)]
            return [] if decided.analysis is None else [OwedKey(Errand.ANALYZE, decided.analysis)]


def _notice(decision: RoutingDecided | PhaseChanged) -> OwedKey:
    return OwedKey(Errand.NOTIFY, f"{decision.remediation}-{decision.attempt}")


def command_of(kind: str, decision: RoutingDecided | PhaseChanged, at: Position) -> Command:
    """Return the command of this kind that the decision at this position owes."""
    if isinstance(decision, PhaseChanged):
        return _cancel(decision, at) if kind == Errand.CANCEL else _notify_of_end(decision, at)
    if kind == Errand.NOTIFY:
        return _notify_of_refusal(decision, at)
    return _create(decision, at) if kind == Errand.WORKFLOW else _analyze(decision, at)


def revocation_of(decision: PhaseChanged) -> WorkflowRevoked:
    """Return the fact by which a run that has not begun is over, because its remediation is."""
    assert decision.execution is not None
    return WorkflowRevoked(decision.execution, reason=decision.phase)


def _create(decision: RoutingDecided, at: Position) -> CreateWorkflow:
    assert decision.execution is not None
    assert decision.workflow is not None
    assert decision.start_before is not None
    assert decision.deadline is not None
    return CreateWorkflow(
        execution=decision.execution,
        remediation=decision.remediation,
        fingerprint=decision.situation.fingerprint,
        target=decision.situation.target,
        workflow=decision.workflow,
        start_before=decision.start_before,
        deadline=decision.deadline,
        decided_at=at,
    )


def _analyze(decision: RoutingDecided, at: Position) -> AnalyzeSignal:
    assert decision.analysis is not None
    assert decision.deadline is not None
    return AnalyzeSignal(
        analysis=decision.analysis,
        remediation=decision.remediation,
        fingerprint=decision.situation.fingerprint,
        signal=decision.signal,
        name=decision.name,
        severity=decision.severity,
        target=decision.situation.target,
        deadline=decision.deadline,
        decided_at=at,
        failures=decision.situation.failures,
        tried=decision.tried,
    )


def _cancel(decision: PhaseChanged, at: Position) -> CancelWorkflow:
    assert decision.execution is not None
    return CancelWorkflow(decision.execution, decision.remediation, decided_at=at, reason=decision.phase)


def _notify_of_refusal(decision: RoutingDecided, at: Position) -> Notify:
    assert isinstance(decision.verdict, Refuse)
    return Notify(
        remediation=decision.remediation,
        fingerprint=decision.situation.fingerprint,
        target=decision.situation.target,
        attempt=decision.attempt,
        outcome=Outcome.MANUAL_REVIEW_REQUIRED,
        decided_at=at,
        reason=decision.verdict.reason,
    )


def _notify_of_end(decision: PhaseChanged, at: Position) -> Notify:
    assert decision.target is not None
    return Notify(
        remediation=decision.remediation,
        fingerprint=decision.fingerprint,
        target=decision.target,
        attempt=decision.attempt,
        outcome=decision.outcome or Outcome.MANUAL_REVIEW_REQUIRED,
        decided_at=at,
    )
