"""Matchers: every key that is given must match, `*` and `?` stand for what is not known, and nothing else does."""

import hashlib

import msgspec
import pytest
from story import CELL, STEADY, Story

from remediation_orchestrator.events import (
    Duplicate,
    PolicyShadowed,
    Proceed,
    Reason,
    RemediationId,
    RoutingDecided,
    ShadowDecided,
    Skip,
    Target,
    Words,
    subjects,
)
from remediation_orchestrator.events.matchers import Matched, Matcher, matches
from remediation_orchestrator.orchestrator.routing.policy import policy_of

CHECKOUT = Target("checkout", "eu-1", "shop-eu", "Deployment")
PAGED = Words("KubePodCrashLooping", "critical", "Production", "P0", "payments")
KNOWN = Matched("F", CHECKOUT, PAGED)
RUNS = KNOWN._replace(workflow="restart-deployment")
NODE = Target("n1", "eu-1", "", "Node")


def matcher(**written: object) -> Matcher:
    """A matcher as a document has it; `no` stands for `not`."""
    if "no" in written:
        written["not"] = written.pop("no")
    return msgspec.convert(written, Matcher)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("Kube*", "KubePodCrashLooping"),
        ("*Looping", "KubePodCrashLooping"),
        ("*", ""),
        ("*", "any/thing\nat all"),
        ("a*b*c", "a-b-bc-c"),
        ("a*b*b", "abb"),
        ("?", "x"),
        ("??*", "xy"),
        ("a.b", "a.b"),
        ("[ab]", "[ab]"),
        ("", ""),
    ],
)
def test_a_star_stands_for_any_characters_and_a_question_mark_for_one(pattern: str, text: str) -> None:
    """The whole text must be so."""
    assert matches(matcher(team=pattern), KNOWN._replace(words=Words("N", team=text)))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("Kube*", "kube"),
        ("*b", "ba"),
        ("a*b*b", "ab"),
        ("?", ""),
        ("?", "xy"),
        ("a.b", "axb"),
        ("[ab]", "a"),
        ("a", "A"),
    ],
)
def test_what_is_otherwise_does_not_match(pattern: str, text: str) -> None:
    """Compared exactly, case and all."""
    assert not matches(matcher(team=pattern), KNOWN._replace(words=Words("N", team=text)))


def test_every_key_that_is_given_must_match() -> None:
    """One that is otherwise is enough against it."""
    given: dict[str, object] = {
        "name": "Kube*",
        "severity": ["high", "critical"],
        "environment": "Production",
        "priority": "P0",
        "team": "payments",
        "workflow": "restart-*",
        "target": {"cluster": "eu-1", "namespace": "shop-*", "kind": ["Deployment", "Pod"], "name": "checkout"},
        "share": 1,
        "not": {"target": {"namespace": "shop-test"}},
    }
    assert matches(msgspec.convert(given, Matcher), RUNS)
    for key in given:
        other = {"target": {"kind": "Pod"}, "share": 0, "not": {"team": "payments"}}.get(key, "x")
        assert not matches(msgspec.convert({**given, key: other}, Matcher), RUNS)


def test_severity_is_matched_in_lower_case() -> None:
    """On both sides, and it alone."""
    assert matches(matcher(severity=["CRIT*"]), KNOWN)
    assert not matches(matcher(environment="production"), KNOWN)


def test_of_a_list_one_must_match() -> None:
    """Whichever."""
    assert matches(matcher(team=["x", "pay*"]), KNOWN)
    assert not matches(matcher(team=["x", "pay"]), KNOWN)


def test_what_a_signal_left_out_is_known_and_empty() -> None:
    """So it can be asked for."""
    plain = KNOWN._replace(words=Words("N"))
    assert matches(matcher(team="", environment=["", "dev"]), plain)
    assert not matches(matcher(team=""), KNOWN)


def test_not_is_a_matcher_that_must_not_match() -> None:
    """At any depth."""
    assert matches(matcher(no={"team": "search"}), KNOWN)
    assert not matches(matcher(no={"team": "payments"}), KNOWN)
    assert matches(matcher(no={"team": "pay*", "not": {"priority": "P0"}}), KNOWN)


@pytest.mark.parametrize(
    "written", [{"workflow": "*"}, {"not": {"workflow": "x"}}, {"not": {"not": {"workflow": "*"}}}]
)
def test_a_matcher_that_reads_the_workflow_matches_nothing_while_none_is_known(written: dict[str, object]) -> None:
    """Also where it would say that it is not another."""
    assert not matches(msgspec.convert(written, Matcher), KNOWN)
    assert matches(msgspec.convert(written, Matcher), RUNS)


def test_a_target_may_be_one_within_which_it_stands_but_not_behind_a_not() -> None:
    """Who keeps away from a node keeps away from what stands on it."""
    on_it = matcher(target={"kind": "Node", "name": "n*"})
    assert not matches(on_it, KNOWN)
    assert matches(on_it, KNOWN, [NODE])
    assert matches(matcher(no={"target": {"kind": "Node"}}), KNOWN, [NODE])


def test_everything_is_everything() -> None:
    """Alone, as the bounds hold."""
    assert matches(matcher(everything=True), KNOWN)


def test_a_smaller_share_lies_within_a_larger() -> None:
    """The same problems are first in every rollout, and of many about so many."""
    known = [KNOWN._replace(fingerprint=f"{number}") for number in range(1_000)]
    tenth = {one.fingerprint for one in known if matches(matcher(share=0.1), one)}
    third = {one.fingerprint for one in known if matches(matcher(share=0.3), one)}
    assert tenth < third
    assert 70 < len(tenth) < 130
    assert not any(matches(matcher(share=0), one) for one in known)
    assert all(matches(matcher(share=1), one) for one in known)


def test_a_share_is_of_the_fingerprint_s_own_digest() -> None:
    """Of `share:F`, whose digest begins so; a share of exactly that part is one too small."""
    word = hashlib.sha256(b"share:F").hexdigest()[:16]
    assert word == "a62bfa93cf777999"
    assert [matches(matcher(share=one), KNOWN) for one in (0.6491, 0.6492)] == [False, True]


def test_no_text_makes_a_pattern_search_for_long() -> None:
    """Anybody may send a text; one that is searched over and over would not come to an end here."""
    hostile = KNOWN._replace(words=Words("a" * 1_024))
    assert not matches(matcher(name="*a" * 300 + "b"), hostile)
    assert not matches(matcher(name="*a?" * 200 + "*b*"), hostile)


# -- in the scope -----------------------------------------------------------------------------------------


class Scoped(Story):
    """A cell that keeps away from some problems."""

    def __init__(self, *exclude: object) -> None:
        super().__init__(policy_of({**STEADY, "scope": {"exclude": list(exclude)}}))

    def fires(self, at: float, *, workflow: str | None = "restart", **more: object) -> RoutingDecided:
        """A signal with whatever else it says, and its verdict."""
        body = {**self.body(workflow=workflow), **more}
        self.publish(at, subjects.signal(CELL, "test"), msgspec.json.encode(body))
        return self.last


def test_a_scope_keeps_away_from_what_a_signal_says() -> None:
    """Not by its target alone; and the situation has what was read."""
    story = Scoped({"severity": "info"}, {"team": "search", "target": {"namespace": "shop*"}})
    assert story.fires(0, severity="INFO").verdict == Skip(Reason.UNMANAGED_RESOURCE)
    assert story.fires(1, team="search").verdict == Skip(Reason.UNMANAGED_RESOURCE)
    decided = story.fires(2, severity="critical", team="payments")
    assert decided.verdict == Proceed()
    assert decided.situation.words == Words("KubePodCrashLooping", "critical", team="payments")


def test_what_no_matcher_asks_for_is_no_value_of_a_situation() -> None:
    """As long as all of them are about targets."""
    story = Scoped({"target": {"namespace": "kube-*"}})
    assert story.fires(0, team="search").situation.words is None


def test_a_signal_beside_a_remediation_is_kept_away_by_its_own_words() -> None:
    """It does not displace the one that is at its problem, and one in scope counts on it."""
    story = Scoped({"severity": "info"}, {"workflow": "rest*", "priority": "P9"})
    assert story.fires(0).verdict == Proceed()
    again = story.fires(1, severity="warning")
    assert again.verdict == Duplicate(RemediationId("rr-1"))
    assert again.situation.words == Words("KubePodCrashLooping", "warning")
    assert again.situation.workflow == "restart"
    assert story.fires(2, severity="info").verdict == Skip(Reason.UNMANAGED_RESOURCE)
    assert story.fires(3, priority="P9").verdict == Skip(Reason.UNMANAGED_RESOURCE)
    assert story.fires(4, priority="P9", workflow=None).verdict == Duplicate(RemediationId("rr-1"))


def test_a_workflow_out_of_scope_is_skipped_once_it_is_known() -> None:
    """Not before: while an analysis may choose another nothing is out of scope."""
    story = Scoped({"workflow": "drain-*"})
    assert story.fires(0, workflow=None).verdict == Proceed()
    story.analysed(1, "rr-1", workflow="drain-node")
    assert story.last.verdict == Skip(Reason.UNMANAGED_RESOURCE)


def test_what_the_policy_in_shadow_asks_for_is_read_too() -> None:
    """It judges the same situation."""
    story = Story()
    shadow = PolicyShadowed({**STEADY, "scope": {"exclude": [{"severity": "unknown"}]}})
    story.operator(0, shadow)
    story.signal(1)
    assert [one.verdict for one in story.decisions if isinstance(one, ShadowDecided)] == [
        Skip(Reason.UNMANAGED_RESOURCE)
    ]
    assert story.last.situation.words == Words("KubePodCrashLooping", "unknown")
