"""What facts and decisions do to the projection alike: end a remediation, count a failure, let a run go.

Nothing here reads a record or judges; who calls it says what has happened."""

from datetime import datetime

from msgspec.structs import replace

from remediation_orchestrator.events import (
    Because,
    Cause,
    FailurePhase,
    Fingerprint,
    Outcome,
    Phase,
    PhaseChanged,
    Position,
    TriedRun,
)
from remediation_orchestrator.events.decisions import TRIED_MAX
from remediation_orchestrator.events.durations import ZERO, later
from remediation_orchestrator.events.identity import analysis_id, plan_of

from .backoff import count_remembered
from .lifecycle import Happening, enter
from .projection import Projection
from .schedule import minute_after
from .state import HeldRun, JudgeTask, Remediation, TellTask, VerifyTask, after
from .verification import Verifying


def current_run(view: Projection, remediation: Remediation) -> HeldRun | None:
    """The run that a remediation is executing."""
    if remediation.phase is not Phase.EXECUTING or remediation.execution is None:
        return None
    return view.runs.get(remediation.execution)


def find_executing(view: Projection, run: HeldRun) -> Remediation | None:
    """The remediation of a run, if it is still about this run."""
    remediation = view.remediations.get(run.remediation)
    if remediation is None or remediation.phase is not Phase.EXECUTING:
        return None
    return remediation if remediation.execution == run.execution else None


def resolve(view: Projection, fingerprint: Fingerprint, position: Position, at: datetime) -> bool:
    """Its source says that a problem is over: cancel what has not begun to run, and remember it of what has."""
    remediation = view.active(fingerprint)
    if remediation is None:
        return False
    if remediation.verifying is not None:
        return True  # It was taken as soon as it was said: what time settles meanwhile has to know of it.
    run = current_run(view, remediation)
    if run is not None and run.started:
        view.retention.know(replace(remediation, resolved=True))
    else:
        end_and_tell(view, remediation, Happening.RESOLVED, Because(Cause.RESOLVED, position), at)
    return True


def verify(view: Projection, remediation: Remediation, known: Verifying) -> None:
    """Know this of a remediation's repair, and have it recorded once a fact has settled it."""
    view.retention.know(replace(remediation, verifying=known, due=known.due))
    view.timers.wake(known.due, remediation.order, remediation.id)
    if known.result is not None:
        view.task_list.ask(VerifyTask(remediation.id))


def renew_occurrence(remediation: Remediation, at: datetime) -> Remediation:
    """A remediation with a new occurrence of its problem: its age begins again."""
    return replace(remediation, occurred_at=at, queued=ZERO, resolved=False)


def count_failure(view: Projection, fingerprint: Fingerprint, at: datetime, *tried: TriedRun) -> None:
    """Count one failure more, on those that are remembered: what lies about still is no count."""
    history = view.retention.remembered(fingerprint, at)
    before = count_remembered(history.failures, history.last_failure_at, at, view.policy.routing)
    known = (*(history.tried if before else ()), *tried)[-TRIED_MAX:]
    view.retention.record(fingerprint, replace(history, failures=before + 1, last_failure_at=at, tried=known))


def miss(view: Projection, remediation: Remediation, tried: TriedRun, at: datetime) -> Remediation:
    """A run has not helped: it counts as a failure, and is remembered for whoever analyses next."""
    count_failure(view, remediation.fingerprint, at, tried)
    missed = replace(remediation, misses=remediation.misses + 1)
    view.retention.know(missed)
    return missed


def tried_in_vain(view: Projection, fingerprint: Fingerprint, now: datetime) -> tuple[TriedRun, ...]:
    """The newest runs of a fingerprint that have not helped, since its failures were last 0."""
    history = view.retention.remembered(fingerprint, now)
    counted = count_remembered(history.failures, history.last_failure_at, now, view.policy.routing)
    return history.tried if counted else ()


def forgive(view: Projection, fingerprint: Fingerprint) -> None:
    """Forget a fingerprint's failures."""
    history = view.histories.get(fingerprint)
    if history is not None:
        view.retention.record(fingerprint, history.forgiven())


def judge_again(view: Projection, remediation: Remediation, happening: Happening, because: Because) -> None:
    """Nothing keeps a remediation from its run any more but a verdict, or it needs another: have it judged."""
    view.retention.know(enter(remediation, happening))
    view.task_list.ask(JudgeTask(remediation.id, because))


def end(view: Projection, remediation: Remediation, happening: Happening) -> None:
    """End a remediation: it waits for nothing any more, and its problem is free for another."""
    view.dequeue(remediation)
    view.task_list.drop(JudgeTask, remediation.id)
    view.task_list.drop(VerifyTask, remediation.id)
    view.outbox.forget_analysis(analysis_id(remediation.id, remediation.analyses))
    known = enter(remediation, happening, after(minute_after(later(view.newest, view.policy.memory))))
    if remediation.phase is Phase.AWAITING_APPROVAL:  # What nobody approved is not known any more.
        known = known.unanalysed()
    waited = remediation.waited(view.newest)  # A retry may have been asked for meanwhile, and counts from then.
    view.retention.retire(replace(known, queued=waited, queued_since=None))


def end_and_tell(
    view: Projection,
    remediation: Remediation,
    happening: Happening,
    because: Because,
    at: datetime,
    *,
    outcome: Outcome | None = None,
    failure_phase: FailurePhase | None = None,
) -> None:
    """End a remediation by a fact, and have readers told; a cancelled one's run is to be ended too."""
    unfinished = current_run(view, remediation)
    end(view, remediation, happening)
    change = change_of(view.remediations[remediation.id], because, at)
    view.task_list.tell(
        TellTask(
            replace(
                change,
                outcome=outcome,
                failure_phase=failure_phase,
                execution=unfinished.execution if unfinished and change.phase is Phase.CANCELLED else None,
            )
        )
    )


def end_untold(view: Projection, remediation: Remediation) -> None:
    """End a remediation that nobody will tell of any more: at once, and it leaves nothing behind."""
    run = current_run(view, remediation)
    end(view, remediation, Happening.NONE_FITS if run is None else Happening.RUN_COMPLETED)
    if run is not None:
        view.release(run, None)


def asked_plan(remediation: Remediation) -> str:
    """The plan that a person is asked for; "" where nobody is."""
    if remediation.phase is not Phase.AWAITING_APPROVAL or remediation.workflow is None:
        return ""
    return plan_of(remediation.workflow, remediation.target)


def change_of(remediation: Remediation, because: Because, at: datetime) -> PhaseChanged:
    """The change to tell of a remediation as it stands."""
    return PhaseChanged(
        remediation=remediation.id,
        fingerprint=remediation.fingerprint,
        phase=remediation.phase,
        because=because,
        now=at,
        attempt=remediation.attempts,
        target=remediation.target,
        plan=asked_plan(remediation),
    )


def let_go(view: Projection, run: HeldRun, position: Position) -> None:
    """A run is over: nothing is owed for it any more, and its target is released."""
    view.outbox.forget_run(run.execution)
    view.release(run, position)


def lose(view: Projection, run: HeldRun) -> None:
    """Nobody knows whether a run still touches its target: hold it until it cannot."""
    lost = replace(run, started=True, lost=True)
    view.targets.renew(lost)
    view.timers.wake(lost.released_at, lost.order, lost.execution)
    view.outbox.forget_run(run.execution)
