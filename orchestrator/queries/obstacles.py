"""What stands between a problem and its next run, now: by the checks that decide, asked of the present state.

There is no second judgement here: a moment's verdict is `decide`'s on the situation of that moment."""

from datetime import datetime
from shlex import quote

from msgspec import Struct
from msgspec.structs import replace

from remediation_orchestrator.events import Block, Fingerprint, Reason, Refuse, RemediationId, Skip, Target
from remediation_orchestrator.events.durations import ZERO, later
from remediation_orchestrator.orchestrator.routing.checks import decide
from remediation_orchestrator.orchestrator.routing.effects import find_executing
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import HeldRun, Remediation
from remediation_orchestrator.orchestrator.routing.words import said, times

OF_THE_FINGERPRINT = frozenset({Reason.EXHAUSTED_RETRIES, Reason.CONSECUTIVE_FAILURES, Reason.EXPONENTIAL_BACKOFF})
"""What forgetting a problem's failures takes away."""

# As much of a fingerprint as a person types.
FINGERPRINT_DIGITS = 12


class Cleared(Struct, frozen=True):
    """What a clear is about."""

    fingerprint: Fingerprint | None = None
    target: Target | None = None
    workflow: str | None = None

    @property
    def command(self) -> str:
        """What to type for it."""
        said = ["ro clear"]
        if self.fingerprint is not None:
            said.append(f"--fingerprint {quote(self.fingerprint[:FINGERPRINT_DIGITS])}")
        if self.target is not None:
            said.append(f"--target {quote(str(self.target))}")
        if self.workflow is not None:
            said.append(f"--workflow {quote(self.workflow)}")
        return " ".join([*said, "--reason WHY"])


class Obstacle(Struct, frozen=True, kw_only=True):
    """What would be said if the problem came again now."""

    objection: Reason | None = None
    """What objects; none: it may run now."""
    of: RemediationId | None = None
    until: datetime | None = None
    """Before when it does not run: what objects for a time is over then. None where only a person can help."""
    says: str
    """When it may run, in a few words."""
    why: str = ""
    """Why what objects does, as a clause."""
    ends: str
    """What takes it away, as a sentence."""
    clear: Cleared | None = None
    """What a person can clear to take it away now."""
    person: bool = False
    """Whether nobody but a person takes it away."""


def obstacle(view: Projection, one: Remediation, now: datetime) -> Obstacle:
    """Return what stands in a problem's way, as its newest remediation knows its target and its workflow."""
    first = verdict = _verdict(view, one, now)
    moment = now
    while isinstance(verdict, Block) and verdict.until is not None:
        assert verdict.until > moment
        moment = verdict.until
        verdict = _verdict(view, one, moment)
    found = _found(view, one, verdict, moment, now)
    if not isinstance(first, Block):
        return found
    return replace(found, objection=first.reason, of=first.of, clear=_clearing(view, one, first.reason, now))


def _verdict(view: Projection, one: Remediation, at: datetime) -> Block | Refuse | Skip | None:
    """Return what would be said of it at a moment if it came again then, from a source that waits."""
    again = replace(one, resolves=True, occurred_at=at, queued=ZERO, queued_since=None)
    verdict = decide(view.situation(again, at, None), view.policy)
    return verdict if isinstance(verdict, Block | Refuse | Skip) else None


def _found(
    view: Projection, one: Remediation, verdict: Block | Refuse | Skip | None, at: datetime, now: datetime
) -> Obstacle:
    match verdict:
        case None if at == now:
            return Obstacle(says="now", ends="Nothing stands in its way.")
        case None:
            return Obstacle(until=at, says=f"from {said(at)} on", ends=f"It objects no longer from {said(at)} on.")
        case Block():
            return _locked(view, one, verdict, at, now)
        case Refuse():
            return _refused(view, one, verdict, now)
        case Skip():
            why = "the policy's scope excludes it"
            ends = "Another policy is adopted."
            return Obstacle(objection=verdict.reason, says=f"never: {why}", why=why, ends=ends)


def _refused(view: Projection, one: Remediation, verdict: Refuse, now: datetime) -> Obstacle:
    ends = "A person clears it."
    if verdict.reason is Reason.EXHAUSTED_RETRIES:
        history, memory = view.history(one.fingerprint), view.policy.routing.failure_memory
        why = f"{times(history.failures, 'failure')} in a row"
        if history.last_failure_at is not None and memory is not None:
            forgotten = said(later(history.last_failure_at, memory))
            ends = f"A person clears it, or its failures are forgotten at {forgotten}."
    elif verdict.reason is Reason.INEFFECTIVE_CHAIN:
        why = f"too many repairs of {one.target} in a row have not helped"
        window = view.policy.verification.chain_window if view.policy.verification else None
        chain = view.retention.remembered_chain(one.target, now)
        if window is not None and chain:
            ends = (
                f"A person clears it, or the first of them is forgotten after {said(later(chain[0].at, window))}."
            )
    else:
        of = f" for {verdict.of}" if verdict.of else ""
        why = f"{one.workflow.id if one.workflow else 'a run'}{of} has left {one.target} half-changed"
    return Obstacle(
        objection=verdict.reason,
        of=verdict.of,
        says="only once a person has cleared it",
        why=why,
        ends=ends,
        clear=_clearing(view, one, verdict.reason, now),
        person=True,
    )


def _locked(view: Projection, one: Remediation, verdict: Block, at: datetime, now: datetime) -> Obstacle:
    holder = view.holder(one.target)
    clear = _clearing(view, one, verdict.reason, now)
    first = f"from {said(at)} on, " if at > now else ""
    freed = f"{one.target} is released by {holder.execution}" if holder else f"the line for {one.target} is served"
    return Obstacle(
        objection=verdict.reason,
        of=verdict.of,
        until=at if at > now else None,
        says=f"{first}when {freed}",
        why=f"{whose(holder, one)} holds {one.target}" if holder else f"{verdict.of} is ahead for {one.target}",
        ends=release_of(view, holder, now) if holder else f"The line is served, {verdict.of} first.",
        clear=clear,
        person=holder is not None and clear is not None and not holder.lost,
    )


def release_of(view: Projection, run: HeldRun, now: datetime) -> str:
    """Say what has a run let its target go."""
    target = run.target
    if run.lost:
        return f"{target} is released at {said(run.released_at)}, or when a person clears it: its run was lost."
    if not run.started:
        return f"{target} is released when {run.execution} ends, or is revoked: nobody has begun it yet."
    if find_executing(view, run) is not None:
        return f"{target} is released when {run.execution} ends; its deadline is {said(run.deadline)}."
    if now >= run.released_at:
        return f"{target} is released when {run.execution} says that it has ended, or a person clears it."
    clearable = f"from {said(run.released_at)} on, a person can clear it"
    return f"{target} is released when {run.execution} says that it has ended; {clearable}."


def whose(run: HeldRun, one: Remediation) -> str:
    """A run that holds a target, as the remediation that waits for it sees it."""
    return f"its own {run.execution}" if run.remediation == one.id else f"{run.execution} of {run.remediation}"


def is_clearable(view: Projection, run: HeldRun, now: datetime) -> bool:
    """Whether a person's clear lets a run's target go."""
    return run.lost or (find_executing(view, run) is None and now >= run.released_at)


def _clearing(view: Projection, one: Remediation, reason: Reason, now: datetime) -> Cleared | None:
    """Return what to clear so that this reason objects no more; None where no clear can change it."""
    if reason in OF_THE_FINGERPRINT:
        return Cleared(fingerprint=one.fingerprint)
    if reason is Reason.PREVIOUS_EXECUTION_FAILED and one.workflow is not None:
        return Cleared(target=one.target, workflow=one.workflow.id)
    if reason is Reason.INEFFECTIVE_CHAIN:
        return Cleared(target=one.target)
    holder = view.holder(one.target) if reason is Reason.RESOURCE_BUSY else None
    return Cleared(target=one.target) if holder is not None and is_clearable(view, holder, now) else None
