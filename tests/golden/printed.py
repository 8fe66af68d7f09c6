"""A projection in words that stay: what a golden log folds to, one line a thing."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.projection import Projection


def printed(messages: Iterable[StoredMessage]) -> str:
    """The projection at the end of a log."""
    fold = Fold()
    for message in messages:
        fold.take(message)
    fold.fold_facts()
    return "".join(f"{line}\n" for line in _lines(fold.view))


def _lines(view: Projection) -> Iterator[str]:
    yield f"policy {view.policy.digest}"
    if view.shadow is not None:
        yield f"shadow {view.shadow.digest}"
    for one in sorted(view.remediations.values(), key=lambda one: one.order):
        workflow = one.workflow.id if one.workflow else "-"
        until = None if one.phase.ended else one.until
        yield (
            f"remediation {one.id} {one.phase} of {one.words.name} on {one.target} by {workflow}"
            f" attempts {one.attempts} runs {one.runs} analyses {one.analyses}"
            f" occurred {_moment(one.occurred_at)} until {_moment(until)} fingerprint {one.fingerprint}"
        )
    for fingerprint, history in sorted(view.histories.items()):
        yield (
            f"fingerprint {fingerprint} failures {history.failures} last {_moment(history.last_failure_at)}"
            f" completed {_moment(history.completed_at)} by {history.completed_by or '-'}"
            f" active {history.active or '-'}"
        )
    for fingerprint, known in sorted(view.firing.items()):
        for alert, at in sorted(known.items()):
            yield f"fires {alert} for {fingerprint} heard of {_moment(at)}"
    for target, execution in sorted(view.holders.items()):
        run = view.runs[execution]
        state = "lost" if run.lost else "started" if run.started else "waiting"
        yield f"holder of {target} {execution} {state} until {_moment(run.deadline)}"
    for target, queue in sorted(view.queues.items()):
        yield f"queue of {target} {' '.join(queue)}"
    for (target, workflow), done in sorted(view.workflows.items()):
        yield f"completed {workflow} on {target} {_moment(done.completed_at)} by {done.completed_by}"
    for (target, workflow), left in sorted(view.half_done.items()):
        yield f"half done {workflow} on {target} by {left.remediation}"
    for kind, name in sorted(view.owed):
        yield f"owed {kind} {name}"
    yield f"next wake-up {_moment(view.next_wakeup())}"


def _moment(at: datetime | None) -> str:
    return "-" if at is None else at.isoformat()
