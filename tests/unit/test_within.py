"""What a target stands within: known from a signal or an analysis, and kept away from with what it stands in."""

import msgspec
import pytest
from story import CELL, CHECKOUT, STEADY, Story

from remediation_orchestrator.events import (
    AnalysisCompleted,
    Duplicate,
    Proceed,
    Reason,
    RemediationId,
    RoutingDecided,
    SignalRejected,
    Skip,
    Target,
    WorkflowRef,
    subjects,
)
from remediation_orchestrator.orchestrator.routing.policy import policy_of

NODE = Target("n1", "eu-1", "", "Node")
RACK = Target("r7", "eu-1", "", "Rack")
RR = RemediationId("rr-1")


class Placed(Story):
    """A cell in which signals say where their targets stand."""

    def __init__(self, *exclude: object) -> None:
        super().__init__(policy_of({**STEADY, "scope": {"exclude": list(exclude)}}))

    def fires(self, at: float, *within: object, workflow: str | None = "restart") -> RoutingDecided:
        """A signal, and its verdict."""
        body = {**self.body(workflow=workflow), "within": list(within)}
        self.publish(at, subjects.signal(CELL, "test"), msgspec.json.encode(body))
        return self.last

    def answers(self, target: Target | None, within: tuple[Target, ...] | None) -> tuple[Target, ...]:
        """An analyser answers what a signal within a rack asked; what the verdict has read then."""
        self.fires(0, RACK, workflow=None)
        fact = AnalysisCompleted(RR, target, WorkflowRef("restart"), within=within)
        self.fact(1, fact, subjects.analysis(CELL, RR))
        return self.last.situation.within


def test_what_a_target_stands_within_is_in_its_cluster_and_not_itself() -> None:
    """And is known once."""
    own = {"name": "checkout", "namespace": "shop", "kind": "Deployment"}
    decided = Placed().fires(0, {"kind": "Node", "name": "n1"}, own, NODE, {"name": "n1", "cluster": "eu-2"})
    assert decided.situation.within == (NODE, Target("n1", "eu-2"))


def test_more_than_sixteen_targets_around_one_are_undecodable() -> None:
    """Sixteen are not."""
    story = Placed()
    assert len(story.fires(0, *({"name": f"n{number}"} for number in range(16))).situation.within) == 16
    body = {**story.body(), "within": [{"name": f"n{number}"} for number in range(17)]}
    story.publish(1, subjects.signal(CELL, "test"), msgspec.json.encode(body))
    answer = story.decisions[-1]
    assert isinstance(answer, SignalRejected)
    assert "`within`" in answer.message


@pytest.mark.parametrize(
    ("target", "within", "then"),
    [
        (None, None, (RACK,)),
        (None, (), ()),
        (None, (Target("n1", "", "", "Node"), CHECKOUT), (NODE,)),
        (Target("orders", "eu-2"), None, ()),
        (CHECKOUT, None, ()),
        (Target("orders", "eu-2"), (Target("n1"), Target("orders")), (Target("n1", "eu-2"),)),
    ],
)
def test_an_analysis_says_in_what_stands_what_it_names(
    target: Target | None, within: tuple[Target, ...] | None, then: tuple[Target, ...]
) -> None:
    """Of the signal's own target what the signal said stays, unless the analysis says something of it."""
    assert Placed().answers(target, within) == then


def test_who_keeps_away_from_a_node_keeps_away_from_what_stands_on_it() -> None:
    """Whatever is said behind a `not`."""
    story = Placed({"target": {"kind": "Node", "name": "n1"}, "not": {"target": {"kind": "Rack"}}})
    assert story.fires(0, RACK, NODE).verdict == Skip(Reason.UNMANAGED_RESOURCE)
    assert story.fires(1, RACK).verdict == Proceed()
    beside = story.fires(2, RACK)
    assert (beside.verdict, beside.situation.within) == (Duplicate(RemediationId("rr-2")), (RACK,))
    assert story.fires(3, NODE).verdict == Skip(Reason.UNMANAGED_RESOURCE)


def test_an_analysis_may_find_it_on_a_node_that_is_kept_away_from() -> None:
    """Then it is skipped, as if its signal had said so."""
    story = Placed({"target": {"kind": "Node"}})
    assert story.answers(None, (NODE,)) == (NODE,)
    assert story.last.verdict == Skip(Reason.UNMANAGED_RESOURCE)


def test_what_a_target_stands_within_is_no_part_of_its_problem() -> None:
    """The same problem elsewhere is the same problem."""
    story = Placed()
    first = story.fires(0, NODE)
    assert story.fires(1, RACK).situation.fingerprint == first.situation.fingerprint
