"""What is so now of a target: who holds it, who waits for it, what is not run there until a person clears it."""

from datetime import datetime

from remediation_orchestrator.events import Target
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.verification import is_chained
from remediation_orchestrator.orchestrator.routing.words import times

from .obstacles import Cleared, release_of
from .standing import Act, Present


def target_present(view: Projection, target: Target, now: datetime) -> Present:
    """Say what is so of a target at a moment."""
    run = view.holder(target)
    waiting = view.queues.get(target, ())
    half_done = [workflow for place, workflow in view.half_done if place == target]
    acts = [_clearing(target, one) for one in half_done]
    in_vain = [one.at for one in view.retention.remembered_chain(target, now)]
    chained = is_chained(in_vain, now, view.policy)
    if chained:
        acts.append(Act(Cleared(target=target).command, "to let it be repaired again"))
    return Present(
        what="is free: no run holds it" if run is None else f"is held by {run.execution} of {run.remediation}",
        ends=" ".join(
            [
                *([release_of(view, run, now)] if run is not None else []),
                *([f"{times(len(waiting), 'remediation')} in its line: {', '.join(waiting)}."] if waiting else []),
                *(_refused(view, target, one) for one in half_done),
                *(
                    ["It is repaired no more until a person clears it: the last repairs have not helped."]
                    if chained
                    else []
                ),
                *(
                    ["The policy's scope excludes it: nothing is run there."]
                    if view.policy.excludes_target(target)
                    else []
                ),
            ]
        )
        or "Nothing is held against it.",
        acts=tuple(acts),
        needs_person=bool(acts),
    )


def _clearing(target: Target, workflow: str) -> Act:
    return Act(Cleared(target=target, workflow=workflow).command, f"to let {workflow} run there again")


def _refused(view: Projection, target: Target, workflow: str) -> str:
    of = view.half_done[target, workflow].remediation
    return f"{workflow} is not run there again until a person clears it: its run for {of} left it half-changed."
