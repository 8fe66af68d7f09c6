"""What is said of a remediation that has not ended."""

from remediation_orchestrator.events import Cause, Reason
from remediation_orchestrator.orchestrator.routing.effects import asked_plan, current_run
from remediation_orchestrator.orchestrator.routing.state import HeldRun, JudgeTask
from remediation_orchestrator.orchestrator.routing.verification import Verifying
from remediation_orchestrator.orchestrator.routing.words import said, times

from .obstacles import release_of, whose
from .standing import Act, Present, Standing

# Enough to tell the plans of one remediation apart, and few enough to be typed.
PLAN_DIGITS = 12

LEADER = Act("ro orchestrator", "to have one, where none runs")
"""What helps where something is to be decided that has not been."""

EXECUTOR = "ro executor --workflows DIR"
ANALYSER = Act(EXECUTOR, "to have an analyser, where none runs")

FREED = {
    Cause.ANALYSED: "its analysis has named a workflow",
    Cause.APPROVED: "a person has approved its plan",
    Cause.FAILED: "its run has failed",
    Cause.INEFFECTIVE: "its repair has not helped",
    Cause.RELEASED: "nobody began its run in time",
}
"""Why a remediation is to be judged that waits for nothing else."""


def pending(it: Standing) -> Present:
    """It has no verdict yet, or was freed to be judged again."""
    task = it.view.tasks.get((JudgeTask, it.one.id))
    why = FREED.get(task.because.kind) if isinstance(task, JudgeTask) else None
    return Present(
        word="not judged yet",
        what=f"waits to be judged again: {why}" if why else "waits for its first verdict",
        since=None if why else it.one.occurred_at,
        ends="An orchestrator judges it, at once where one leads.",
        acts=(LEADER,),
    )


def analyzing(it: Standing) -> Present:
    """An analyser is asked."""
    return Present(
        what=f"waits for an analysis to name a workflow for {it.one.words.name} on {it.one.target}",
        since=it.since,
        until=it.one.until,
        ends=_limit(
            it, f"An analyser's answer ends it{it.or_over}; else it has timed out, which counts as a failure."
        ),
        acts=(LEADER if it.late else ANALYSER, it.cancel()),
    )


def awaiting_approval(it: Standing) -> Present:
    """A person is asked."""
    one, plan = it.one, asked_plan(it.one)[:PLAN_DIGITS]
    wanted = one.workflow.id if one.workflow else "a workflow"
    return Present(
        word="plan " + plan,
        what=f"waits for a person to approve {wanted} on {one.target} (plan {plan})",
        since=it.since,
        until=one.until,
        ends=_limit(it, f"A person's word ends it{it.or_over}; else it has timed out, and no failure is counted."),
        acts=(LEADER,)
        if it.late
        else (
            Act(f"ro approve {one.id} --plan {plan} --reason WHY", "to have it judged for its run"),
            Act(f"ro reject {one.id} --reason WHY", "to end it; no failure is counted"),
        ),
        needs_person=not it.late,
    )


def executing(it: Standing) -> Present:
    """A run is decided; somebody may have begun it."""
    run = current_run(it.view, it.one)
    if run is not None:
        return _running(it, run) if run.started else _not_begun(it, run)
    return Present(
        what=f"executes {it.one.execution}, of which nothing is known any more",
        since=it.since,
        ends="A person ends it.",
        acts=(it.cancel(),),
        needs_person=True,
    )


def _not_begun(it: Standing, run: HeldRun) -> Present:
    late = it.now > run.start_before
    begins = f"An executor begins it{it.or_over}; else it is revoked, and judged again: no failure."
    return Present(
        word="not begun",
        what=f"is to run {run.workflow} on {run.target}: nobody has begun {run.execution} yet",
        since=it.since,
        until=run.start_before,
        ends="Its time to begin is over: it is to be revoked, and judged again." if late else begins,
        acts=(
            LEADER if late else Act(EXECUTOR, f"to have an executor that has {run.workflow}, where none does"),
            it.cancel(),
        ),
    )


def _running(it: Standing, run: HeldRun) -> Present:
    start = it.chronicle.starts.get(it.one.id)
    begun = start if start is not None and start.execution == run.execution else None
    by = f", begun by {begun.executor}" if begun is not None and begun.executor else ""
    over = " Its source has said that it is over: it is not run again." if it.one.resolved else ""
    late = f"Its time is over: it has timed out, and {run.execution} is to be told to stop."
    ends = "The run's end ends it; else it has timed out, which counts as a failure."
    cancel = Act(f"ro cancel {it.one.id} --reason WHY", f"to end it, and have {run.execution} told to stop")
    return Present(
        what=f"runs {run.workflow} on {run.target} as {run.execution}{by}",
        since=begun.at if begun is not None else it.since,
        until=run.deadline,
        ends=(late if it.now > run.deadline else ends) + over,
        acts=(LEADER, cancel) if it.now > run.deadline else (cancel,),
    )


def verifying(it: Standing) -> Present:
    """Its run has completed, and is to show that it has helped."""
    one, known = it.one, it.one.verifying
    assert known is not None
    by = one.workflow.id if one.workflow else "its workflow"
    what = f"is to show that {by} has helped {one.target}, where it completed as {known.execution}"
    if known.result is not None or it.now >= known.due:
        ends = "It is to be recorded now whether it has: no orchestrator has done so yet."
    else:
        ends = _shown(known)
    return Present(what=what, since=known.since, until=one.until, ends=ends, acts=(it.cancel(),))


def _shown(known: Verifying) -> str:
    if not known.resolves:
        again = f"If its problem fires after {said(known.settled)}, it has not helped, which is a failure"
        return f"{again}; else {'it has' if known.silence is not None else 'nobody knows whether it has'}."
    if known.over_since is None:
        return "It has helped if its source says by then that it is over; else it has not, which is a failure."
    return "Its source has said that it is over: if nothing fires until then, it has helped."


def blocked(it: Standing) -> Present:
    """It waits for a moment, or in its target's line."""
    until = it.one.until
    if until is None:
        return _in_line(it)
    reason = it.objection.reason if it.objection is not None else None
    asked = (JudgeTask, it.one.id) in it.view.tasks or it.now >= until
    then = f"It is judged again then, or when a policy is adopted{it.ends_if_over}."
    return Present(
        word=reason,
        what=_why_it_waits(it, reason),
        since=it.since,
        until=until,
        ends="It is to be judged again now: no orchestrator has done so yet." if asked else then,
        acts=(*((LEADER,) if asked else ()), *it.clear(), it.cancel()),
    )


def _why_it_waits(it: Standing, reason: Reason | None) -> str:
    count = it.view.history(it.one.fingerprint).failures
    failures = times(count, "failure")
    match reason:
        case Reason.CONSECUTIVE_FAILURES | Reason.EXPONENTIAL_BACKOFF if not count:
            return "waits, and its failures are forgotten"
        case Reason.CONSECUTIVE_FAILURES:
            return f"rests after {failures} in a row; then one run may try"
        case Reason.EXPONENTIAL_BACKOFF:
            return f"waits after {failures} in a row, longer after each"
        case Reason.RECENTLY_REMEDIATED:
            of = it.objection.of if it.objection is not None else None
            whose_repair = "its own repair" if of == it.one.id else f"the repair by {of}" if of else "a repair"
            return f"waits to see whether {whose_repair} lasts"
        case _:
            return "waits"


def _in_line(it: Standing) -> Present:
    one = it.one
    holder = it.view.holder(one.target)
    first, ahead = it.view.targets.ahead(one.id, one.target)
    held = f"which {whose(holder, one)} holds" if holder is not None else "which nobody holds"
    released = (
        release_of(it.view, holder, it.now)
        if holder is not None
        else f"The line is to be served, {first or one.id} first."
    )
    obstacle = it.obstacle
    return Present(
        word=Reason.RESOURCE_BUSY,
        what=f"waits in line for {one.target}, {held}: place {ahead + 1}",
        since=one.queued_since or it.since,
        ends=f"{released} It is judged again then, in its turn{it.ends_if_over}.",
        acts=(*it.clear(), it.cancel()),
        needs_person=obstacle.person,
    )


def _limit(it: Standing, ends: str) -> str:
    """Say what ends a phase with a time limit, or that it is over and nobody has said so yet."""
    return "Its time is over: it has timed out as soon as an orchestrator says so." if it.late else ends
