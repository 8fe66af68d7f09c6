"""A problem is over when everything that is known to fire for it is over: alerts, by their sources' own ids."""

from datetime import timedelta

import pytest
from story import CELL, STEADY, Story, minute

from remediation_orchestrator.events import Block, Fingerprint, PolicyAdopted, PolicyShadowed, Reason, subjects
from remediation_orchestrator.orchestrator.routing.alerts import ALERTS_MAX, Alerts
from remediation_orchestrator.orchestrator.routing.policy import policy_of
from remediation_orchestrator.testing.story import CHECKOUT

P, Q, R = map(Fingerprint, "PQR")

ROUTING = dict(STEADY["routing"])  # type: ignore[call-overload]
DAY = 24 * 60.0
MICROSECOND = timedelta(microseconds=1)


def fires(story: Story, *alerts: str, at: float = 0.0) -> None:
    """Several alerts fire for one problem, which is analysed for as long as nobody answers."""
    for alert in alerts:
        story.signal(at, workflow=None, alert=alert)


def patient() -> Story:
    """Whose analyses may last for days."""
    return Story(policy_of({**STEADY, "timeouts": {"analyzing": "900h"}}))


def test_the_end_of_one_alert_leaves_a_problem_for_which_another_fires() -> None:
    """Pods a and b of one Deployment: a resolves, and the repair of b goes on."""
    story = Story()
    fires(story, "a", "b")
    story.resolved(1, alert="a")
    assert story.phase("rr-1") == "Analyzing"
    assert story.changes == []


def test_a_problem_is_over_when_every_alert_that_fires_for_it_has_resolved() -> None:
    """The last of them ends it, in whichever order."""
    story = Story()
    fires(story, "a", "b")
    story.resolved(1, alert="b")
    last = story.resolved(2, alert="a")
    (change,) = story.changes
    assert (change.phase, change.because.kind, change.because.position) == ("Cancelled", "resolved", last)


def test_the_end_of_an_alert_within_one_body_leaves_the_others() -> None:
    """In an array all are facts, before any is judged."""
    story = Story()
    body = story.body(workflow=None, alert="a")
    story.several(0, body, {**body, "alert": "b"}, {**body, "status": "resolved"})
    assert story.phase("rr-1-0") == "Analyzing"
    over = story.several(
        1, {**body, "alert": "c"}, *({**body, "alert": one, "status": "resolved"} for one in "bc")
    )
    (change,) = story.changes
    assert (change.phase, change.because.position) == ("Cancelled", f"{over}-2")


def test_what_has_resolved_and_fires_again_is_told_in_the_order_of_the_log() -> None:
    """Over and back within one body: what was open is cancelled, and another is opened."""
    story = Story()
    body = story.body(workflow=None, alert="a")
    story.several(0, body, {**body, "status": "resolved"}, {**body, "alert": "b"})
    assert (story.phase("rr-1-0"), story.phase("rr-1-2")) == ("Cancelled", "Analyzing")


def test_a_resolved_without_an_alert_ends_all() -> None:
    """Who does not say which means the whole problem."""
    story = Story()
    fires(story, "a", "b")
    story.resolved(1)
    assert story.phase("rr-1") == "Cancelled"
    fires(story, "c", at=2)
    story.resolved(3, alert="c")
    assert story.changes[-1].phase == "Cancelled"


def test_a_firing_without_an_alert_is_ended_by_any() -> None:
    """It holds nothing, and neither does an alert of which nobody has heard."""
    story = Story()
    fires(story, "")
    story.resolved(1, alert="z")
    assert story.phase("rr-1") == "Cancelled"
    fires(story, "", "a", at=2)
    story.resolved(3, alert="a")
    assert story.changes[-1].phase == "Cancelled"


def test_an_alert_that_nobody_has_heard_of_ends_nothing_that_another_fires_for() -> None:
    """Neither once nor again."""
    story = Story()
    fires(story, "a")
    for at in (1, 2):
        story.resolved(at, alert="z")
    assert story.phase("rr-1") == "Analyzing"


def test_alerts_outlive_the_remediation_that_they_have_opened() -> None:
    """What fired for the last one fires for the next, until it has resolved."""
    story = Story()
    story.signal(0, alert="a")
    story.signal(0.1, alert="b")
    story.completed(1, "wfe-1")
    story.signal(10, workflow=None, alert="a")
    story.resolved(11, alert="a")
    assert story.phase("rr-4") == "Analyzing"
    story.resolved(12, alert="b")
    assert story.phase("rr-4") == "Cancelled"


def test_a_run_that_fails_is_tried_again_while_any_alert_fires() -> None:
    """And not when none does."""
    story = Story()
    story.signal(0, alert="a")
    story.signal(0, alert="b")
    story.started(0.1, "wfe-1")
    story.resolved(1, alert="a")
    story.failed(2, "wfe-1")
    assert story.verdict == Block(Reason.EXPONENTIAL_BACKOFF, until=minute(3))
    story.wait(3)
    story.started(3.1, "wfe-1-r2")
    story.resolved(3.2, alert="b")
    story.failed(4, "wfe-1-r2")
    assert story.phase("rr-1") == "Failed"


def test_alerts_of_one_problem_are_none_of_another() -> None:
    """The same id, said of two."""
    story = Story()
    fires(story, "a")
    story.signal(0, "Other", workflow=None, alert="a")
    story.resolved(1, alert="a")
    assert (story.phase("rr-1"), story.phase("rr-2")) == ("Cancelled", "Analyzing")


@pytest.mark.parametrize(("late", "phase"), [(timedelta(0), "Analyzing"), (MICROSECOND, "Cancelled")])
def test_at_exactly_alert_memory_an_alert_is_still_known(late: timedelta, phase: str) -> None:
    """A moment later it holds nothing any more, and a resolution of another ends the problem."""
    story = patient()
    fires(story, "a")
    story.resolved(minute(DAY) + late, alert="b")
    assert story.phase("rr-1") == phase


def test_an_alert_is_known_from_when_it_was_last_heard_of() -> None:
    """A repetition is heard, too."""
    story = patient()
    fires(story, "a", "b")
    fires(story, "a", at=DAY / 2)
    story.resolved(DAY * 1.2, alert="c")
    assert story.phase("rr-1") == "Analyzing"
    story.resolved(DAY * 1.2, alert="a")
    assert story.phase("rr-1") == "Cancelled"


def test_to_forget_an_alert_ends_nothing() -> None:
    """A problem goes on of which nobody has spoken for days, until somebody says that it is over."""
    story = patient()
    fires(story, "a")
    for day in (1, 2, 3):
        story.signal(day * DAY, "Other", target=CHECKOUT)
    assert not story.cell.view.firing
    assert story.phase("rr-1") == "Analyzing"
    story.resolved(3 * DAY, alert="a")
    assert story.phase("rr-1") == "Cancelled"


def test_more_alerts_than_are_told_apart_neither_hold_a_problem_nor_end_it() -> None:
    """The 257th; once one of the others has resolved there is room for it."""
    story = Story()
    alerts = [f"pod-{number}" for number in range(ALERTS_MAX)]
    fires(story, *alerts, "beyond")
    story.resolved(1, alert="beyond")
    assert story.phase("rr-1") == "Analyzing"
    fires(story, "beyond", at=1)
    for alert in alerts[1:]:
        story.resolved(2, alert=alert)
    fires(story, "beyond", at=3)
    story.resolved(4, alert=alerts[0])
    assert story.phase("rr-1") == "Analyzing"
    story.resolved(5, alert="beyond")
    assert story.phase("rr-1") == "Cancelled"


def test_what_is_forgotten_takes_no_room_from_what_fires() -> None:
    """However many there were, an alert that fires now is told apart."""
    story = patient()
    fires(story, *(f"old-{number}" for number in range(ALERTS_MAX)))
    fires(story, "old-0", "new", at=DAY + 1)
    story.resolved(DAY + 2, alert="old-0")
    assert story.phase("rr-1") == "Analyzing"


def test_a_longer_memory_brings_no_forgotten_alert_back() -> None:
    """What the old policy has forgotten stays so; and the policy in shadow remembers none."""
    short = {"routing": {**ROUTING, "alert_memory": "1h"}, "timeouts": {"analyzing": "900h"}}
    story = Story(policy_of(short))
    story.operator(0, PolicyShadowed({**short, "routing": ROUTING}))
    fires(story, "a")
    story.operator(61, PolicyAdopted({**short, "routing": ROUTING}))
    story.resolved(62, alert="b")
    assert story.phase("rr-2") == "Cancelled"


def test_what_is_written_down_is_known_in_the_order_in_which_it_was_heard() -> None:
    """Its rows may come in any order, in parts."""
    alerts, hour = Alerts(), timedelta(hours=1)
    for number, name in enumerate("abcab"):
        alerts.fire(name.upper(), name, minute(number), hour)  # type: ignore[arg-type]
        alerts.fire(name.upper(), "z", minute(number + 0.5), hour)  # type: ignore[arg-type]
    again = Alerts()
    for row in sorted(alerts.rows(), reverse=True):
        again.restore([row])
    again.sort()
    heard = {problem: list(known.items()) for problem, known in alerts.firing.items()}
    assert {problem: list(known.items()) for problem, known in again.firing.items()} == heard


def test_a_problem_is_let_go_by_its_newest_alert_wherever_its_fold_began() -> None:
    """Found by full seed 174: whose newest alert had resolved was let go later than behind a snapshot."""
    live, hour = Alerts(), timedelta(hours=1)
    live.fire(P, "a", minute(0), hour)
    live.fire(Q, "a", minute(5), hour)
    live.fire(P, "b", minute(10), hour)
    assert not live.resolve(P, "b", minute(11), hour)
    live.fire(R, "a", minute(12), hour)
    live.fire(R, "a", minute(50), hour)
    again = Alerts()
    again.restore(live.rows())
    again.plan(hour)
    for at, left in ((60, {P, Q, R}), (62, {Q, R}), (67, {R}), (110, {R}), (112, set())):
        for alerts in (live, again):
            alerts.let_go(minute(at), hour, 8)
            assert set(alerts.firing) == left


def test_a_problem_that_fires_on_and_on_is_noted_once() -> None:
    """What is remembered is bounded by what fires, and not by how often."""
    alerts, hour = Alerts(), timedelta(hours=1)
    for at in range(500):
        alerts.fire(P, "a", minute(at), hour)
        alerts.let_go(minute(at), hour, 8)
    assert sum(map(len, alerts._expiring._by_minute.values())) == 1


def test_an_alert_is_written_and_read_as_any_field() -> None:
    """Null stands for none."""
    story = Story()
    body = {**story.body(workflow=None), "alert": None}
    story.several(0, body)
    assert not story.cell.view.firing
    story.publish(1, subjects.signal(CELL, "test"), b'{"name":"x","target":{"name":"y"},"alert":"a"}')
    assert [list(known) for known in story.cell.view.firing.values()] == [["a"]]
