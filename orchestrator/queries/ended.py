"""What is said of a remediation that has ended: what it came to, what its run still does, what would follow."""

from remediation_orchestrator.events import Cause, FailurePhase, Outcome, Reason
from remediation_orchestrator.orchestrator.routing.state import HeldRun

from .obstacles import release_of
from .standing import Act, Present, Standing

NEEDS_LOOKING = frozenset({Outcome.NO_WORKFLOW, Outcome.MANUAL_REVIEW_REQUIRED})
"""What it may come to that a person has to look at."""


def completed(it: Standing) -> Present:
    """Repaired, or found not to be repaired by anything."""
    outcome = it.change.outcome if it.change is not None else None
    one, looking = it.one, outcome in NEEDS_LOOKING
    match outcome:
        case Outcome.REMEDIATED:
            by = one.workflow.id if one.workflow else "a workflow"
            helped = it.change is not None and it.change.because.kind is Cause.VERIFIED
            as_found = ", and has helped" if helped else ""
            what = f"is over: {by} has completed on {one.target} as {one.execution}{as_found}"
        case Outcome.UNVERIFIED:
            by = one.workflow.id if one.workflow else "a workflow"
            what = f"is over: {by} has completed on {one.target} as {one.execution}; nobody knows if it helped"
        case Outcome.NO_ACTION_REQUIRED:
            what = "is over: its analysis has found that nothing has to be done"
        case Outcome.NO_WORKFLOW:
            what = "is over, and nothing was done: no workflow fits it"
        case Outcome.MANUAL_REVIEW_REQUIRED:
            what = "is over, and nothing was done: it is critical, and no workflow fits it"
        case Outcome.INCONCLUSIVE | None:
            what = "is over"
    return _over(it, what, outcome, looking=looking)


def failed(it: Standing) -> Present:
    """Refused, or an analysis, a person or a run said no."""
    phase = it.change.failure_phase if it.change is not None else None
    one = it.one
    if it.change is not None and it.change.outcome is Outcome.INCONCLUSIVE:
        by = one.workflow.id if one.workflow else "a workflow"
        return _over(it, f"has failed: {by} has completed on {one.target}, and has not helped", it.change.outcome)
    match phase:
        case FailurePhase.AI_ANALYSIS:
            return _over(it, "has failed: its analysis could not answer", phase)
        case FailurePhase.APPROVAL:
            return _over(it, "has failed: a person has rejected it", phase)
        case FailurePhase.WORKFLOW_EXECUTION:
            by = one.workflow.id if one.workflow else "a workflow"
            return _over(it, f"has failed: {by} has failed on {one.target} as {one.execution}", phase)
        case None:
            reason = it.objection.reason if it.objection is not None else None
            return _over(it, f"was refused{_for(it, reason)}", reason)


def timed_out(it: Standing) -> Present:
    """Nobody answered, or a run took too long."""
    phase = it.change.failure_phase if it.change is not None else None
    match phase:
        case FailurePhase.AI_ANALYSIS:
            what = "has timed out: no analysis came in time"
        case FailurePhase.APPROVAL:
            what = "has timed out: no person answered in time"
        case FailurePhase.WORKFLOW_EXECUTION:
            what = f"has timed out: {it.one.execution} took too long on {it.one.target}"
        case None:
            what = "has timed out"
    return _over(it, what, phase)


def skipped(it: Standing) -> Present:
    """Left out, with nothing held against it."""
    reason = it.objection.reason if it.objection is not None else None
    return _over(it, f"was left out{_for(it, reason)}", reason)


def cancelled(it: Standing) -> Present:
    """Its source, or a person, has ended it."""
    cause = it.change.because.kind if it.change is not None else None
    match cause:
        case Cause.RESOLVED:
            return _over(it, "is over: its source has said so, and nothing was running", "resolved")
        case Cause.CANCELLED:
            return _over(it, "was ended by a person", "cancelled")
        case _:
            return _over(it, "was cancelled", "cancelled")


def _for(it: Standing, reason: Reason | None) -> str:
    of = it.objection.of if it.objection is not None else None
    run = "its own run" if of == it.one.id else f"a run for {of}" if of else "a run"
    match reason:
        case None:
            return ""
        case Reason.UNMANAGED_RESOURCE:
            return ": the policy's scope excluded it"
        case Reason.STALE_SIGNAL:
            return ": its signal was too old to act upon"
        case Reason.EXHAUSTED_RETRIES:
            return ": too many runs had failed in a row"
        case Reason.PREVIOUS_EXECUTION_FAILED:
            return f": {run} had left {it.one.target} half-changed"
        case Reason.INEFFECTIVE_CHAIN:
            return f": too many repairs of {it.one.target} in a row had not helped"
        case Reason.RECENTLY_REMEDIATED:
            return f": {run} had repaired it a short while before"
        case _:
            return f": {reason}"


def _over(it: Standing, what: str, word: str | None, *, looking: bool = False) -> Present:
    """It has ended. What its problem would meet now is asked of the checks, not of what was once said."""
    history = it.view.history(it.one.fingerprint)
    newer = history.active or history.ended
    left = it.view.runs.get(it.one.execution) if it.one.execution is not None else None
    lasting = f"{_resolved(it)}{f'{_left(it, left)} ' if left is not None else ''}"
    if newer not in (None, it.one.id):
        after = f"{newer} came after it on the same problem."
        return Present(
            word=word,
            what=what,
            over=True,
            since=it.since,
            ends=lasting + after,
            acts=(Act(f"ro explain {newer}", "to see where that stands"),),
        )
    retry = Act(f"ro retry {it.one.id} --reason WHY", "to have it judged again, as a new signal would be")
    mends = (
        (Act("ro executor --workflows DIR", "to offer a workflow that fits, before a retry"),) if looking else ()
    )
    gone = it.view.retention.has_forgotten(it.one, it.now)
    return Present(
        word=word,
        what=what,
        over=True,
        since=it.since,
        ends=f"{lasting}{_next(it)}",
        acts=(*it.clear(), *mends, *(() if gone else (retry,))),
        needs_person=(looking or it.obstacle.person) and not gone,
    )


def _next(it: Standing) -> str:
    """Say what its next signal meets."""
    found = it.obstacle
    if found.objection is None:
        return "Its next signal is judged anew."
    if found.objection is Reason.UNMANAGED_RESOURCE:
        return f"Its next signal is left out: {found.why}."
    if found.objection is Reason.RESOURCE_BUSY:
        return f"Its next signal waits in line: {found.why}."
    if not found.person:
        return f"Its next signal may lead to a run {found.says} ({found.objection})."
    refused = it.objection is not None and it.objection.reason is found.objection
    why = ", too" if refused else f", because {found.why}"
    return f"Its next signal is refused{why}, until {found.ends[0].lower()}{found.ends[1:]}"


def _resolved(it: Standing) -> str:
    """What its source has said while its run went on: whatever came of the run, the problem is over."""
    fires_again = it.one.fingerprint in it.view.occurrences.waiting
    return "Its source has said that it is over. " if it.one.resolved and not fires_again else ""


def _left(it: Standing, run: HeldRun) -> str:
    """Say what a run still does that was its last."""
    if not run.started:
        return f"{run.execution}, which nobody has begun, is to be revoked: that releases {run.target}."
    return f"{run.execution} {'was lost' if run.lost else 'is told to stop'}: {release_of(it.view, run, it.now)}"
