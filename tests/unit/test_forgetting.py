"""Memory follows what is alive: what can change no verdict any more is forgotten, and nothing else is."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from story import CHECKOUT, STEADY, Story, minute

from remediation_orchestrator.events import (
    Fingerprint,
    Phase,
    PolicyAdopted,
    PolicyShadowed,
    Proceed,
    Reason,
    Refuse,
    RemediationId,
    RetryRequested,
    RoutingDecided,
    Target,
)
from remediation_orchestrator.orchestrator.routing.policy import policy_of
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import (
    Remediation,
    shared_words,
)

DAY = 24 * 60
ROUTING = dict(STEADY["routing"])  # type: ignore[call-overload]
RR = RemediationId("rr-1")


def known(story: Story) -> set[str]:
    """The fingerprints and remediations that the projection has a word on."""
    view = story.cell.fold.view
    return {*view.histories, *view.remediations}


def much_later(story: Story, at: float) -> None:
    """Let records go by on another problem: forgetting is spread over them."""
    for place in range(40):
        story.signal(at + place / 10, name="other", target=Target("elsewhere"))


def test_a_fingerprint_is_forgotten_when_its_failures_and_its_last_remediation_are() -> None:
    """`failure_memory` is a day, and so is the longest window."""
    story = Story()
    story.signal(0, resolves=False)
    story.failed(1, "wfe-1")
    fingerprint = story.last.situation.fingerprint
    much_later(story, DAY - 10)
    assert {fingerprint, RR} <= known(story)
    much_later(story, DAY + 5)
    assert not {fingerprint, RR} & known(story)


def test_a_completion_is_forgotten_after_its_cooldowns() -> None:
    """Of the fingerprint and of the workflow on its target; its remediation may be retried for longer."""
    story = Story()
    story.signal(0, resolves=False)
    story.completed(1, "wfe-1")
    view = story.cell.fold.view
    much_later(story, 1)
    assert view.workflows
    much_later(story, 10)
    assert CHECKOUT not in {target for target, _ in view.workflows}
    assert view.history(story.last.situation.fingerprint).completed_at is None
    assert RR in view.remediations


def test_what_a_person_has_to_clear_is_never_forgotten() -> None:
    """A half-changed target stays half-changed."""
    story = Story()
    story.signal(0, resolves=False)
    story.failed(1, "wfe-1", idempotent=False)
    much_later(story, 30 * DAY)
    story.signal(31 * DAY)
    assert story.verdict == Refuse(Reason.PREVIOUS_EXECUTION_FAILED, of=RR)


def test_what_is_at_work_is_never_forgotten() -> None:
    """A remediation in a target's queue waits without a clock."""
    story = Story(policy_of({**STEADY, "timeouts": {"executing": "3000h"}}))
    story.signal(0)
    story.started(1, "wfe-1")
    story.signal(2, name="second")
    waiting = story.last.remediation
    much_later(story, 30 * DAY)
    story.completed(30 * DAY + 10, "wfe-1")
    assert (story.last.remediation, story.last.because.kind) == (waiting, "released")


def test_a_late_retry_is_a_stray_however_much_room_there_is() -> None:
    """No record came between that could have paid for forgetting: the answer is the same."""
    story = Story()
    story.signal(0, resolves=False)
    story.failed(1, "wfe-1")
    decided = len(story.decisions)
    story.operator(DAY + 3, RetryRequested(RR))
    assert len(story.decisions) == decided


def test_a_situation_never_shows_what_can_be_forgotten() -> None:
    """What is known of a minute is looked at when that is over; the situation knows to the microsecond."""
    story = Story()
    story.signal(0, resolves=False)
    story.completed(1, "wfe-1")
    story.signal(6, resolves=False)
    assert story.last.situation.completed_at == minute(1)
    story.completed(6.1, "wfe-3")
    story.signal(11.2, resolves=False)
    assert story.last.situation.completed_at is None


def test_what_nobody_remembers_a_longer_memory_does_not_bring_back() -> None:
    """The policy that is adopted later begins with what the one before it knew."""
    short = {"routing": {**ROUTING, "failure_memory": "1h", "retry_limit": 1}}
    story = Story(policy_of(short))
    story.signal(0, resolves=False)
    story.failed(1, "wfe-1")
    story.operator(90, PolicyAdopted({"routing": {**short["routing"], "failure_memory": "48h"}}))
    story.signal(91, resolves=False)
    assert story.verdict == Proceed()


def test_the_policy_in_shadow_remembers_too() -> None:
    """It judges every situation: what counts for it is not forgotten."""
    short = {"routing": {**ROUTING, "failure_memory": "1h"}}
    story = Story(policy_of(short))
    story.operator(0, PolicyShadowed({"routing": {**short["routing"], "failure_memory": "48h"}}))
    story.signal(0, resolves=False)
    story.failed(1, "wfe-2")
    story.signal(90, resolves=False)
    assert story.last.situation.failures == 1


def test_failures_that_never_fade_are_never_forgotten() -> None:
    """Without `failure_memory` a count stands until it is cleared."""
    story = Story(policy_of({"routing": {"retry_limit": 1, "alert_memory": "24h"}}))
    story.signal(0, resolves=False)
    story.failed(1, "wfe-1")
    much_later(story, 400 * DAY)
    story.signal(401 * DAY, resolves=False)
    assert story.verdict == Refuse(Reason.EXHAUSTED_RETRIES)


def remembering() -> Projection:
    """A projection whose retention never forgets anything, and says so."""
    view = Projection()
    known: dict[str, object] = {
        "remembered": lambda fingerprint, now: view.history(fingerprint),
        "remembered_of": lambda key, now: view.workflows.get(key),
        "has_forgotten": lambda remediation, now: False,
        "_look_at": lambda key: None,
        "_let_go": lambda name: None,
    }
    for name, answer in known.items():
        assert callable(getattr(view.retention, name))
        setattr(view.retention, name, answer)
    return view


@pytest.mark.parametrize("resolves", [True, False])
@settings(max_examples=60)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["signal", "fail", "half", "complete", "start"]),
            st.sampled_from(["a", "b"]),
            st.sampled_from([0.5, 3.0, 4.5, 31.0, 70.0, DAY * 0.6, DAY * 2.0]),
        ),
        max_size=40,
    )
)
def test_forgetting_changes_no_verdict(resolves: bool, steps: list[tuple[str, str, float]]) -> None:
    """The same facts, before one who forgets and one who never does."""

    def lived(view: Projection) -> list[tuple[object, ...]]:
        story = Story()
        view.retention.adopt(story.cell.fold.view.policy)
        story.cell.fold.view = view
        at = 0.0
        for what, name, wait in steps:
            at += wait
            view = story.cell.fold.view
            run = next(iter(view.runs), "wfe-1")
            match what:
                case "signal":
                    story.signal(at, name=name, resolves=resolves)
                case "start":
                    story.started(at, run)
                case "complete":
                    story.completed(at, run)
                case _:
                    story.failed(at, run, idempotent=what != "half")
        verdicts = [one for one in story.decisions if isinstance(one, RoutingDecided)]
        return [(one.signal, one.attempt, one.situation.now, one.verdict, one.execution) for one in verdicts]

    assert lived(remembering()) == lived(Projection())


def test_memory_is_bounded_by_the_problems_and_not_by_their_signals() -> None:
    """A thousand signals that are skipped leave one remediation, not a thousand."""
    story = Story()
    story.signal(0, resolves=False)
    story.completed(0.1, "wfe-1")
    for number in range(1_000):
        story.signal(0.2 + number / 1_000, resolves=False)
    view = story.cell.fold.view
    assert len(view.remediations) == 1
    assert view.history(Fingerprint(story.last.situation.fingerprint)).ended == story.last.remediation
    assert view.newest - minute(0) < timedelta(minutes=2)


def test_what_another_has_followed_is_let_go_behind_a_snapshot_as_without_one() -> None:
    """It was still spoken of when the other ended; by a shorter policy, it would outlive the other."""
    routing = {**ROUTING, "failure_memory": "48h"}
    views = []
    for resumes in (False, True):
        view = Projection()
        view.retention.adopt(policy_of({**STEADY, "routing": routing}))
        first, second = (_ended(name) for name in ("rr-1", "rr-2"))
        view.reach(minute(0))
        view.occurrences.asked[first.id] = 1
        view.retention.retire(first)
        view.retention.retire(replace(second, due=minute(60)))
        view.occurrences.asked.clear()
        assert view.retention.has_forgotten(view.remediations[first.id], view.newest)
        if resumes:
            view.resume(view.newest)
        for place in range(40):
            view.reach(minute(70 + place))
        views.append(view.remediations)
    assert views[0] == views[1] == {}


def _ended(name: str) -> Remediation:
    words = shared_words("n", "high", "", "", "")
    return Remediation(
        id=RemediationId(name),
        fingerprint=Fingerprint("f"),
        words=words,
        target=CHECKOUT,
        workflow=None,
        phase=Phase.FAILED,
        occurred_at=minute(0),
        due=minute(2 * DAY),
    )
