"""What is so now of a remediation. Whatever a verb says of the present is said here.

It follows from the folded state and a moment: an old verdict only tells why something waits that still does."""

from collections.abc import Callable, Mapping
from datetime import datetime

from remediation_orchestrator.events import Block, Phase, Proceed, Refuse, Skip
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation, TellTask

from .alive import analyzing, awaiting_approval, blocked, executing, pending, verifying
from .chronicle import Chronicle
from .ended import cancelled, completed, failed, skipped, timed_out
from .standing import Present, Standing

SAID: Mapping[Phase, Callable[[Standing], Present]] = {
    Phase.PENDING: pending,
    Phase.ANALYZING: analyzing,
    Phase.AWAITING_APPROVAL: awaiting_approval,
    Phase.EXECUTING: executing,
    Phase.VERIFYING: verifying,
    Phase.BLOCKED: blocked,
    Phase.COMPLETED: completed,
    Phase.FAILED: failed,
    Phase.TIMED_OUT: timed_out,
    Phase.SKIPPED: skipped,
    Phase.CANCELLED: cancelled,
}
"""Every phase that a remediation can be in."""

LEADS: Mapping[type, frozenset[Phase]] = {
    Proceed: frozenset({Phase.ANALYZING, Phase.EXECUTING}),
    Block: frozenset({Phase.BLOCKED}),
    Skip: frozenset({Phase.SKIPPED}),
    Refuse: frozenset({Phase.FAILED}),
}
"""Where a verdict puts a remediation."""


def present(view: Projection, chronicle: Chronicle, one: Remediation, now: datetime) -> Present:
    """Say what is so of a remediation at a moment."""
    return told(standing(view, chronicle, one, now))


def told(found: Standing) -> Present:
    """The same, of what has been gathered."""
    return SAID[found.one.phase](found)


def standing(view: Projection, chronicle: Chronicle, one: Remediation, now: datetime) -> Standing:
    """A remediation, with what put it where it is: a change of phase, or a verdict with none behind it."""
    task = view.tasks.get((TellTask, one.id))
    change = task.change if isinstance(task, TellTask) else chronicle.changes.get(one.id)
    verdict = chronicle.verdicts.get(one.id)
    if change is not None and (
        change.phase is not one.phase or (verdict is not None and verdict.attempt > change.attempt)
    ):
        change = None
    if verdict is not None and (change is not None or one.phase not in LEADS[type(verdict.verdict)]):
        verdict = None
    return Standing(view, chronicle, one, now, verdict, change)
