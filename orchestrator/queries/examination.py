"""What is wrong with a decision in itself, wherever it stands: that the log gives another situation (projection),
that the situation gives another verdict (judgement), that a record says something else, or that nothing asks
for it."""

from collections.abc import Callable, Iterator

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from remediation_orchestrator.events import (
    Cause,
    LogArchived,
    PhaseChanged,
    PolicyRejected,
    RetryRequested,
    RoutingDecided,
    SignalReceived,
    SignalRejected,
    TargetReleased,
    VerificationEnded,
)
from remediation_orchestrator.events.identity import remediation_id
from remediation_orchestrator.orchestrator.routing.checks import decide
from remediation_orchestrator.orchestrator.routing.judge import (
    Judged,
    answer_of,
    expected_end,
    expected_result,
    verdict_again,
    verdict_on_signal,
)
from remediation_orchestrator.orchestrator.routing.policy import Policy
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import (
    ArchiveTask,
    JudgeTask,
    RejectTask,
    ServeTask,
    TellTask,
)

from .findings import Drift

Wrong = tuple[Drift, str]


class Examination:
    """Holds single decisions against the projection just before them."""

    def __init__(self, view: Projection) -> None:
        self._view = view
        self._policies: dict[str, Policy] = {}
        """All that were in force at a verdict, by their digests."""

    def know_policy(self) -> None:
        """A verdict is next, under the policy in force."""
        policy = self._view.policy
        self._policies.setdefault(policy.digest, policy)

    def wrong_with(self, decision: Judged) -> Iterator[Wrong]:
        """Yield what is wrong with it."""
        return _CHECKS[type(decision)](self, decision)

    def _verdict(self, decided: RoutingDecided) -> Iterator[Wrong]:
        expected = self._expected(decided)
        if expected is None:
            yield Drift.CAUSE, f"nothing asks for attempt {decided.attempt} on {decided.signal}"
        elif expected != decided:  # Else the log gives this situation, and the situation this verdict: both hold.
            yield from self._differences(expected, decided)

    def _differences(self, expected: RoutingDecided, decided: RoutingDecided) -> Iterator[Wrong]:
        if expected.situation != decided.situation:
            yield Drift.PROJECTION, _difference(expected.situation, decided.situation)
        policy = self._policies.get(decided.situation.policy)
        if policy is None:
            yield Drift.PROJECTION, f"policy {decided.situation.policy[:12]} was never in force"
        elif (verdict := decide(decided.situation, policy)) != decided.verdict:
            yield Drift.JUDGEMENT, f"the situation gives {plain(verdict)}"
        elif expected.situation == decided.situation:
            yield Drift.RECORD, _difference(expected, decided)

    def _expected(self, decided: RoutingDecided) -> RoutingDecided | None:
        """Return what a live service would have recorded here; None where nothing asks for a verdict."""
        view = self._view
        now, because = decided.situation.now, decided.because
        if because.kind is Cause.SIGNAL:
            occurrence = view.unjudged.get(because.position) if because.position else None
            if occurrence is None or not isinstance(occurrence.event, SignalReceived):
                return None
            return verdict_on_signal(view, occurrence, occurrence.event, now)
        remediation = view.remediations.get(remediation_id(decided.signal))
        if remediation is None or not self._asks(decided):
            return None
        return verdict_again(view, remediation, because, now)

    def _asks(self, decided: RoutingDecided) -> bool:
        """Whether a cause of this kind stands on the task list, or time has come."""
        view, because = self._view, decided.because
        remediation = view.remediations[remediation_id(decided.signal)]
        if because.kind is Cause.RETRY:
            asking = view.unjudged.get(because.position) if because.position else None
            event = None if asking is None else asking.event
            return isinstance(event, RetryRequested) and event.remediation == remediation.id
        if because.kind is Cause.DUE:
            return remediation.until is not None and remediation.until <= decided.situation.now
        judging = view.tasks.get((JudgeTask, remediation.id))
        serving = view.tasks.get((ServeTask, remediation.target))
        return (isinstance(judging, JudgeTask) and judging.because == because) or (
            isinstance(serving, ServeTask) and serving.because == because
        )

    def _change(self, change: PhaseChanged) -> Iterator[Wrong]:
        task = self._view.tasks.get((TellTask, change.remediation))
        expected = (
            replace(task.change, now=change.now)
            if isinstance(task, TellTask)
            else expected_end(self._view, change.remediation, change.now)
        )
        if expected is None:
            yield Drift.CAUSE, f"nothing has changed the phase of {change.remediation}"
        elif expected != change:
            yield Drift.RECORD, _difference(expected, change)

    def _verification(self, ended: VerificationEnded) -> Iterator[Wrong]:
        expected = expected_result(self._view, ended.remediation, ended.now)
        if expected is None:
            yield Drift.CAUSE, f"nothing is known yet of what {ended.execution} came to"
        elif expected != ended:
            yield Drift.RECORD, _difference(expected, ended)

    def _release(self, released: TargetReleased) -> Iterator[Wrong]:
        run = self._view.runs.get(released.execution)
        if run is None or not run.lost or released.now < run.released_at:
            yield Drift.CAUSE, f"{released.execution} was not lost, or not so long"
        elif released.target != run.target:
            yield Drift.RECORD, f"{released.execution} holds {run.target}, not {released.target}"

    def _answer(self, answer: SignalRejected | PolicyRejected) -> Iterator[Wrong]:
        task = self._view.tasks.get((RejectTask, answer.position))
        if not isinstance(task, RejectTask) or answer_of(task) != answer:
            yield Drift.CAUSE, f"nothing at {answer.position} is to be rejected so"

    def _archive(self, archived: LogArchived) -> Iterator[Wrong]:
        task = self._view.tasks.get((ArchiveTask, archived.position))
        if not isinstance(task, ArchiveTask) or task.record != archived:
            yield Drift.CAUSE, f"nothing at {archived.position} asks for it"


_CHECKS: dict[type, Callable[..., Iterator[Wrong]]] = {
    RoutingDecided: Examination._verdict,
    PhaseChanged: Examination._change,
    VerificationEnded: Examination._verification,
    TargetReleased: Examination._release,
    SignalRejected: Examination._answer,
    PolicyRejected: Examination._answer,
    LogArchived: Examination._archive,
}


def plain(value: object) -> object:
    """A value as a reader of the log sees it."""
    return msgspec.to_builtins(value)


def _difference(expected: Struct, recorded: Struct) -> str:
    for field in expected.__struct_fields__:
        wanted, found = getattr(expected, field), getattr(recorded, field)
        if wanted != found:
            return f"{field} is recorded as {plain(found)}, and the log gives {plain(wanted)}"
    return "they differ"
