"""Classification: what a policy makes of what a signal says, once, as it is folded."""

import msgspec
import pytest
from story import CELL, STEADY, Story

from remediation_orchestrator.events import (
    AnalysisCompleted,
    Duplicate,
    Outcome,
    PhaseChanged,
    PolicyAdopted,
    Proceed,
    Reason,
    RemediationId,
    RoutingDecided,
    Skip,
    Words,
    subjects,
)
from remediation_orchestrator.orchestrator.routing.policy import policy_of

RR = RemediationId("rr-1")
READS = [{"target": {"name": "nobody"}, "team": "?*"}]
"""A scope that asks what a signal says, so that a situation has it."""


class Sorted(Story):
    """A cell that classifies."""

    def __init__(self, *rules: object, exclude: object = READS) -> None:
        super().__init__(policy_of({**STEADY, "classify": list(rules), "scope": {"exclude": exclude}}))

    def fires(self, at: float, *, workflow: str | None = "restart", **more: object) -> RoutingDecided:
        """A signal with whatever else it says, and its verdict."""
        body = {**self.body(workflow=workflow), **more}
        self.publish(at, subjects.signal(CELL, "test"), msgspec.json.encode(body))
        return self.last

    def words(self) -> Words:
        """What is known of the first remediation."""
        return self.cell.view.remediations[RR].words


def test_every_rule_that_matches_sets_and_sees_what_was_set() -> None:
    """In the order written; the last that sets a word counts."""
    story = Sorted(
        {"when": {"name": "Kube*"}, "set": {"team": "shop", "priority": "P3"}},
        {"when": {"team": "shop"}, "set": {"priority": "P1"}},
        {"when": {"priority": "P3"}, "set": {"environment": "nowhere"}},
        {"when": {"team": "x"}, "set": {"team": "y"}},
    )
    decided = story.fires(0, severity="HIGH")
    assert decided.situation.words == Words("KubePodCrashLooping", "high", "", "P1", "shop")
    assert story.words() == decided.situation.words


def test_here_alone_labels_are_known() -> None:
    """One that is not there is empty."""
    rule = {"when": {"labels": {"app": "check*", "tier": ""}}, "set": {"team": "shop"}}
    assert Sorted(rule).fires(0, labels={"app": "checkout"}).situation.words == Words(
        "KubePodCrashLooping", "unknown", team="shop"
    )
    for labels in ({}, {"app": "cart"}, {"app": "checkout", "tier": "1"}):
        words = Sorted(rule).fires(0, labels=labels).situation.words
        assert words is not None
        assert words.team == ""


def test_a_duplicate_classifies_nothing() -> None:
    """What is known of the remediation stays; but what is out of scope by what it is classified as is skipped."""
    rule = {"when": {"labels": {"late": "yes"}}, "set": {"team": "night"}}
    story = Sorted(rule, exclude=[{"team": "night", "severity": "info"}])
    assert story.fires(0).verdict == Proceed()
    assert story.fires(1, labels={"late": "yes"}).verdict == Duplicate(RR)
    assert story.words().team == ""
    out = story.fires(2, labels={"late": "yes"}, severity="info")
    assert out.verdict == Skip(Reason.UNMANAGED_RESOURCE)


def test_it_is_classified_by_the_policy_in_force_when_it_is_folded() -> None:
    """Not by one that is adopted before its verdict, and not again when it is judged again."""
    story = Sorted({"when": {"name": "*"}, "set": {"team": "early"}})
    other = PolicyAdopted(
        {**STEADY, "classify": [{"when": {"name": "*"}, "set": {"team": "late"}}], "scope": {"exclude": READS}},
        by="ann",
    )
    story.together(1, lambda: story.signal(0), lambda: story.operator(0.5, other))
    assert story.words().team == "early"
    story.failed(2, "wfe-1")
    story.wait(4)
    assert story.last.situation.words == Words("KubePodCrashLooping", "unknown", team="early")


@pytest.mark.parametrize(("said", "read"), [("CRITICAL", "critical"), ("page", "unknown"), ("", "unknown")])
def test_a_severity_that_is_none_of_ours_is_unknown(said: str, read: str) -> None:
    """Whoever decides reads it so; the signal's record has what was said."""
    assert Sorted().fires(0, severity=said).situation.words == Words("KubePodCrashLooping", read)


def test_what_is_classified_as_critical_is_looked_at() -> None:
    """Whatever reads a severity reads the classified one."""
    story = Sorted({"when": {"name": "Kube*"}, "set": {"severity": "Critical"}})
    asked = story.fires(0, workflow=None)
    assert asked.severity == "critical"
    story.fact(1, AnalysisCompleted(RR), subjects.analysis(CELL, RR))
    changed = story.decisions[-1]
    assert isinstance(changed, PhaseChanged)
    assert changed.outcome is Outcome.MANUAL_REVIEW_REQUIRED


def test_a_policy_without_rules_is_the_policy_that_it_was() -> None:
    """The section is absent, also in the digest."""
    plain = policy_of(STEADY)
    assert policy_of({**STEADY, "classify": []}).digest == plain.digest
    assert "classify" not in plain.document()
    rule = {"when": {"labels": {"app": ["a", "b"]}}, "set": {"team": "t"}}
    one = policy_of({**STEADY, "classify": [rule]})
    assert one.document()["classify"] == [rule]
    assert policy_of(one.document()) == one
