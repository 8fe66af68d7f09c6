"""Blocked remediations: when they are judged again, in which order, and what time in a queue is worth."""

import pytest
from story import CHECKOUT, STEADY, Story, minute

from remediation_orchestrator.events import (
    Block,
    PolicyAdopted,
    PolicyRejected,
    Proceed,
    Reason,
    RemediationCancelled,
    RemediationId,
    RetryRequested,
    RoutingDecided,
    Skip,
    Target,
)

SILENT = {"alert_memory": "24h"}
"""A policy's numbers without any that a check reads."""
RR = RemediationId("rr-1")
NAME = "KubePodCrashLooping"


def queue(story: Story) -> list[str]:
    """Who waits for the target, the first first."""
    return list(story.cell.fold.view.queues.get(CHECKOUT, {}))


def three_waiting(*, resolves: bool = True) -> Story:
    """A run holds the target; three others wait for it, each with a workflow of its own."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    for at, name in ((1, "B"), (2, "C"), (3, "D")):
        story.signal(at, name, workflow=name, resolves=resolves)
    return story


def since(story: Story, count: int) -> list[tuple[str, str, str]]:
    """Who was judged from a decision on, why, and with which verdict."""
    return [
        (one.remediation, one.because.kind, type(one.verdict).__name__)
        for one in story.decisions[count:]
        if isinstance(one, RoutingDecided)
    ]


def test_they_queue_in_the_order_of_being_blocked() -> None:
    """`of` the remediation whose run holds the target, each in its place from 1."""
    story = three_waiting()
    assert [verdict for _, _, verdict in story.verdicts[1:]] == [
        Block(Reason.RESOURCE_BUSY, of=RR, queue_position=place) for place in (1, 2, 3)
    ]
    assert queue(story) == ["rr-3", "rr-4", "rr-5"]


def test_a_release_judges_the_queue_from_the_front_until_one_proceeds() -> None:
    """At once, because of the fact that released it; who is behind keeps the place."""
    story = three_waiting()
    count = len(story.decisions)
    done = story.completed(4, "wfe-1")
    assert since(story, count) == [("rr-3", "released", "Proceed")]
    assert story.last.because.position == done
    assert queue(story) == ["rr-4", "rr-5"]


def test_who_is_blocked_by_something_else_leaves_the_queue_and_the_next_is_asked() -> None:
    """A cooldown has begun for the first one's workflow."""
    story = Story()
    story.signal(0)
    story.signal(1, "B")
    story.signal(2, "C", workflow="other")
    count = len(story.decisions)
    story.completed(3, "wfe-1")
    assert since(story, count) == [("rr-2", "released", "Block"), ("rr-3", "released", "Proceed")]
    assert queue(story) == []
    story.wait(8)
    assert story.verdict == Block(Reason.RESOURCE_BUSY, of=RemediationId("rr-3"), queue_position=1)


def test_two_problems_of_one_target_never_run_at_once_and_run_in_order() -> None:
    """Whatever their workflows are."""
    story = three_waiting()
    for at, execution in ((4, "wfe-1"), (5, "wfe-3"), (6, "wfe-4"), (7, "wfe-5")):
        assert story.holder() == execution
        assert len(story.cell.fold.view.runs) == 1
        story.completed(at, execution)
    assert story.holder() is None


def test_two_in_one_message_do_not_both_run() -> None:
    """The second is judged when the first has claimed."""
    story = Story()
    story.several(0, story.body("A"), story.body("B"))
    assert [verdict for _, _, verdict in story.verdicts] == [
        Proceed(),
        Block(Reason.RESOURCE_BUSY, of=RemediationId("rr-1-0"), queue_position=1),
    ]


def test_the_same_name_in_another_cluster_is_free() -> None:
    """Cluster is part of the target."""
    story = Story()
    story.signal(0)
    story.signal(1, target=Target("checkout", "eu-2", "shop", "Deployment"))
    assert story.verdict == Proceed()


def test_a_signal_without_a_workflow_waits_for_its_target_too_and_holds_nothing_when_it_proceeds() -> None:
    """So the next in the queue is asked as well: a free target with waiting remediations would stay so."""
    story = Story()
    story.signal(0)
    story.signal(1, "B", workflow=None)
    story.signal(2, "C", workflow="other")
    count = len(story.decisions)
    story.completed(3, "wfe-1")
    assert since(story, count) == [("rr-2", "released", "Proceed"), ("rr-3", "released", "Proceed")]
    assert story.holder() == "wfe-3"
    assert story.phase("rr-2") == "Analyzing"


def test_a_newcomer_does_not_overtake_who_waits() -> None:
    """Released and asked for in one round: the queue comes first."""
    story = three_waiting()
    story.together(5, lambda: story.completed(4, "wfe-1"), lambda: story.signal(4.1, "E", workflow="E"))
    assert story.holder() == "wfe-3"
    assert queue(story) == ["rr-4", "rr-5", "rr-7"]


def test_a_failed_remediation_is_judged_before_the_queue_of_its_target_and_goes_behind_it() -> None:
    """Nobody is overtaken by a retry, either."""
    eager = {**STEADY, "routing": {"retry_limit": 5, "alert_memory": "24h"}}
    story = Story()
    story.operator(0, PolicyAdopted(eager))
    story.signal(0)
    story.signal(1, "B", workflow="B")
    count = len(story.decisions)
    story.failed(2, "wfe-2")
    assert since(story, count) == [("rr-2", "failed", "Block"), ("rr-3", "released", "Proceed")]
    assert queue(story) == ["rr-2"]


def test_when_its_until_has_come_it_is_judged_at_exactly_that_moment() -> None:
    """Because time passed: there is no fact to name."""
    story = Story()
    story.signal(0)
    story.failed(1, "wfe-1")
    story.wait(6.9)
    assert (story.last.because.kind, story.last.because.position) == ("due", None)
    assert story.last.situation.now == minute(2)


def test_the_end_of_a_cooldown_is_a_judgement_and_no_failure() -> None:
    """It runs, and the count is what it was."""
    story = Story()
    story.signal(0)
    for at, execution in ((0, "wfe-1"), (1, "wfe-1-r2"), (3, "wfe-1-r3")):
        story.failed(at, execution)
    story.wait(63)
    assert (story.verdict, story.history().failures) == (Proceed(), 3)


def test_after_three_failures_a_probe_that_completes_frees_the_fingerprint() -> None:
    """Half-open, then closed."""
    story = Story()
    story.signal(0)
    for at, execution in ((0, "wfe-1"), (1, "wfe-1-r2"), (3, "wfe-1-r3")):
        story.failed(at, execution)
    story.wait(63)
    story.completed(64, "wfe-1-r4")
    assert story.history().failures == 0


def test_of_several_due_together_the_earlier_until_comes_first_then_the_older() -> None:
    """Nobody was awake when they became due."""
    story = Story()
    elsewhere = [Target(name) for name in "abc"]
    for at, target in zip((0, 0, 0), elsewhere, strict=True):
        story.signal(at, target=target)
    story.failed(0.5, "wfe-3")
    story.failed(1, "wfe-2")
    story.failed(1, "wfe-1")
    count = len(story.decisions)
    story.together(10)
    assert [who for who, _, _ in since(story, count)] == ["rr-3", "rr-1", "rr-2"]


def test_a_wake_up_due_at_the_instant_of_a_fact_comes_first() -> None:
    """The probe has begun when the signal comes."""
    story = Story()
    story.signal(0)
    story.failed(1, "wfe-1")
    story.signal(2)
    assert [type(one.verdict).__name__ for one in story.decisions[-2:]] == ["Proceed", "Duplicate"]  # type: ignore[union-attr]


# -- policies -----------------------------------------------------------------------------------------------


def test_a_policy_judges_all_blocked_again_oldest_first() -> None:
    """In the queue and out of it; the new numbers hold at once."""
    story = three_waiting()
    story.signal(3.1, target=Target("elsewhere"))
    story.failed(3.2, "wfe-6")
    count = len(story.decisions)
    adopted = story.operator(3.3, PolicyAdopted({**STEADY, "routing": {"alert_memory": "24h"}}))
    assert since(story, count) == [
        ("rr-3", "policy", "Block"),
        ("rr-4", "policy", "Block"),
        ("rr-5", "policy", "Block"),
        ("rr-6", "policy", "Proceed"),
    ]
    assert story.last.because.position == adopted
    assert queue(story) == ["rr-3", "rr-4", "rr-5"]


def test_a_policy_moves_an_until() -> None:
    """The old wake-up judges nothing."""
    story = Story()
    story.signal(0)
    story.failed(1, "wfe-1")
    slower = {**STEADY, "routing": {"backoff_base": "5m", "backoff_cap": "10m", "alert_memory": "24h"}}
    story.operator(1.1, PolicyAdopted(slower))
    assert story.verdict == Block(Reason.EXPONENTIAL_BACKOFF, until=minute(6))
    story.wait(5.9)
    assert story.last.attempt == 3
    story.wait(6)
    assert story.verdict == Proceed()


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"routing": {"backoff_cap": "999999999999d"}}, "routing.backoff_cap"),
        ({"routing": {**SILENT, "consecutive_failure_cooldown": "0s"}}, "routing.consecutive_failure_cooldown"),
        ({"routing": {**SILENT, "signal_max_age": "0ms"}}, "routing.signal_max_age"),
        ({"routing": SILENT, "timeouts": {"approval": "0s"}}, "timeouts.approval"),
        ({"routing": SILENT, "scope": {"exclude": [{"team": "a"}, {}]}}, "scope.exclude[1]: an empty matcher"),
        ({"routing": SILENT, "scope": {"exclude": [{"target": {"name": []}}]}}, "scope.exclude[0].target.name"),
        ({"routing": SILENT, "scope": {"exclude": [{"not": {"name": None}}]}}, "scope.exclude[0].not.name"),
        ({"timeouts": {"approval": "1h"}}, "routing"),
        ({"routing": {"retry_limit": 5}}, "alert_memory"),
        ({"routing": {"retry_limit": 5, "alert_memory": None}}, "alert_memory"),
    ],
)
def test_an_invalid_policy_is_answered_and_ignored(document: dict[str, object], key: str) -> None:
    """The one in force stays, and nobody is judged again; so it is with what would disarm a check unseen."""
    story = Story()
    before = story.cell.fold.view.policy
    at = story.operator(0, PolicyAdopted(document))
    (answer,) = story.decisions
    assert isinstance(answer, PolicyRejected)
    assert answer.position == at
    assert key in answer.message
    assert story.cell.fold.view.policy is before


def test_a_record_names_the_policy_that_judged_it() -> None:
    """By its digest, before and after an adoption."""
    story = Story()
    first = story.cell.fold.view.policy.digest
    story.signal(0)
    assert story.last.situation.policy == first
    story.operator(1, PolicyAdopted({"routing": SILENT}))
    story.signal(2, target=Target("x"))
    assert story.last.situation.policy == story.cell.fold.view.policy.digest != first


# -- age and queues -----------------------------------------------------------------------------------------


def test_time_in_a_queue_does_not_make_a_signal_stale() -> None:
    """Half an hour in the queue, and still it runs."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    story.signal(1, "B", workflow="B", resolves=False)
    story.completed(29, "wfe-1")
    assert story.last.remediation == "rr-3"
    assert story.verdict == Proceed()
    assert story.last.situation.queued == minute(29) - minute(1)


def test_time_in_a_queue_counts_for_a_retry_that_was_asked_for_before_it_was_left() -> None:
    """Cancelled behind the retry, and before anybody judged that."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    story.signal(1, "B", workflow="B")
    story.together(
        9,
        lambda: story.operator(2, RetryRequested(RemediationId("rr-3"))),
        lambda: story.operator(6, RemediationCancelled(RemediationId("rr-3"))),
    )
    assert story.last.situation.occurred_at == minute(2)
    assert story.last.situation.queued == minute(6) - minute(2)


def test_time_out_of_the_queue_does() -> None:
    """A block of an hour is longer than any signal lives whose source does not resolve."""
    story = Story()
    story.operator(0, PolicyAdopted({**STEADY, "routing": {**dict(STEADY["routing"]), "signal_max_age": "1m"}}))  # type: ignore[call-overload]
    story.signal(0, resolves=False)
    story.failed(0, "wfe-2")
    story.signal(0, resolves=False)
    story.wait(1)
    assert story.verdict == Proceed()
    story.failed(1, "wfe-4")
    story.signal(1.5, resolves=False)
    story.wait(3)
    assert story.verdict == Skip(Reason.STALE_SIGNAL)


def test_a_repeat_makes_it_young_again_in_the_queue_too() -> None:
    """The newest occurrence counts, and only the time in the queue since then."""
    story = three_waiting(resolves=False)
    story.signal(10, "B", workflow="B", resolves=False)
    story.completed(20, "wfe-1")
    assert story.last.situation.occurred_at == minute(10)
    assert story.last.situation.queued == minute(20) - minute(10)


def test_a_cancelled_one_leaves_the_queue() -> None:
    """The next takes its place when the target is free."""
    story = three_waiting()
    story.operator(3.5, RemediationCancelled(RemediationId("rr-3")))
    story.completed(4, "wfe-1")
    assert story.holder() == "wfe-4"


# -- lost executors -----------------------------------------------------------------------------------------


def test_the_target_of_a_lost_run_is_held_until_its_deadline_and_a_grace() -> None:
    """Never released at the report; then the queue is served."""
    story = Story()
    story.signal(0, resolves=False)
    story.started(0.1, "wfe-1")
    story.signal(0.5, "B", workflow="B")
    story.failed(1, "wfe-1", reason="ExecutorLost", idempotent=True)
    assert story.history().failures == 1
    assert story.holder() == "wfe-1"
    story.wait(30.49)
    assert story.holder() == "wfe-1"
    story.wait(30.5)
    assert story.holder() == "wfe-3"
    assert story.last.situation.now == minute(30.5)


def test_a_lost_run_counts_as_failed_during_execution() -> None:
    """Refused, of itself; and what its executor says afterwards contradicts nothing."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    story.failed(1, "wfe-1", reason="ExecutorLost", idempotent=False)
    assert story.last.verdict.reason is Reason.PREVIOUS_EXECUTION_FAILED  # type: ignore[union-attr]
    before = story.state()
    story.completed(2, "wfe-1")
    assert story.state() == before


def test_a_lost_idempotent_run_is_tried_again_when_its_target_is_free() -> None:
    """It waits for its own lost run."""
    story = Story()
    story.signal(0)
    story.started(0.1, "wfe-1")
    story.failed(1, "wfe-1", reason="ExecutorLost", idempotent=True)
    story.wait(2)
    assert story.verdict == Block(Reason.RESOURCE_BUSY, of=RR, queue_position=1)
    story.wait(30.5)
    assert story.last.execution == "wfe-1-r2"


def test_a_policy_does_not_take_the_time_in_the_queue_away() -> None:
    """Who keeps the place keeps the time spent in it."""
    story = three_waiting(resolves=False)
    story.operator(15, PolicyAdopted(STEADY))
    story.completed(29, "wfe-1")
    assert story.last.situation.queued == minute(29) - minute(1)
    assert story.verdict == Proceed()
