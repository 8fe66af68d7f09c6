"""Identity and signal processing: rules that a user writes, whose examples hold or whose file is refused."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from doors import alert, webhook

from remediation_orchestrator.documents.files import FileError, read
from remediation_orchestrator.events import SignalReceived, Target
from remediation_orchestrator.gateway.bodies import Received
from remediation_orchestrator.gateway.identity import Identified, IdentityRules
from remediation_orchestrator.gateway.items import Found, Item
from remediation_orchestrator.gateway.processing import Processing
from remediation_orchestrator.gateway.sources import Rules, built_in, items_for

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def written(tmp_path: Path, kind: type[IdentityRules] | type[Processing], text: str) -> IdentityRules | Processing:
    """Load rules from a file."""
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    return read(file, kind)


def items(body: bytes, rules: Rules) -> list[Item]:
    """What a body of Alertmanager becomes."""
    return items_for(built_in()["alertmanager"], Received("application/json", {}, body), rules, NOW)


def test_a_pods_owner_is_the_target_where_the_labels_name_it() -> None:
    """A replica set's hash is cut off: it is the deployment's."""
    rules = read(EXAMPLES / "identity.yaml", IdentityRules)
    labels = {"alertname": "Crash", "pod": "shop-5d8f9c7b6-x2x4z", "namespace": "shop"}
    owner = {"owner_kind": "ReplicaSet", "owner_name": "shop-5d8f9c7b6"}
    found = rules.identify({**labels, **owner}, "labels")
    assert isinstance(found, Identified)
    assert found.target == Target("shop", "eu-1", "shop", "Deployment")
    other = rules.identify({**labels, "owner_kind": "Job", "owner_name": "backup"}, "labels")
    assert isinstance(other, Identified)
    assert (other.target.kind, other.target.name) == ("Job", "backup")
    alone = rules.identify(labels, "labels")
    assert isinstance(alone, Identified)
    assert (alone.target.kind, alone.target.name) == ("Deployment", "shop")


def test_each_part_says_by_which_rule_it_was_found() -> None:
    """So that a user can change that rule."""
    rules = read(EXAMPLES / "identity.yaml", IdentityRules)
    found = rules.identify({"alertname": "Full", "instance": "db-1.example.com:9100"}, "labels")
    assert isinstance(found, Identified)
    assert found.by == {
        "name": "label alertname",
        "target": "target[23], label instance, normalise[0]",
        "cluster": "defaults",
    }


def test_a_name_that_normalising_empties_is_refused() -> None:
    """A target without a name is nobody's."""
    rules = IdentityRules.model_validate({"normalise": [{"part": "target", "match": ".*"}]})
    assert rules.identify({"alertname": "X", "pod": "p"}, "labels") == [
        "labels: the target is empty when it is normalised"
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("targets: []", "unknown key targets; did you mean target?"),
        ("target: []", "target: list should have at least 1 item after validation, not 0"),
        (
            "normalise: [{part: host, match: x}]",
            "normalise[0].part: must be 'name', 'cluster'",
        ),
        ("normalise: [{part: name, match: '('}]", "normalise[0].match: no regular expression (RE2): missing )"),
        (
            "examples: [{labels: {alertname: X, pod: p}, kind: Node}]",
            "examples[0]: kind is 'Pod' by these rules, not 'Node'",
        ),
        ("examples: [{labels: {alertname: X}}]", "examples[0]: labels: 'X' names no target: none of deployment"),
    ],
)
def test_identity_rules_that_do_not_hold_are_refused(tmp_path: Path, text: str, line: str) -> None:
    """With the file, the place, and what is wrong."""
    with pytest.raises(FileError) as caught:
        written(tmp_path, IdentityRules, text)
    assert line in str(caught.value)


def test_the_first_rule_that_matches_wins_and_is_recorded() -> None:
    """Severity first, then the environment, then the priority, which may look at both."""
    rules = Rules(processing=read(EXAMPLES / "processing.yaml", Processing))
    one, two = items(webhook(alert("ShopDown"), alert(labels={"alertname": "Slow", "pod": "p"})), rules)
    assert isinstance(one, Found)
    assert isinstance(two, Found)
    said = (one.signal.severity, one.signal.environment, one.signal.priority)
    assert said == ("critical", "Production", "P0")
    assert {key: one.by[key] for key in ("severity", "environment", "priority")} == {
        "severity": "severity[0]",
        "environment": "environment[0]",
        "priority": "priority[0]",
    }
    assert (two.signal.severity, two.signal.environment, two.signal.priority) == ("unknown", "Unknown", "P3")


def test_without_rules_a_signal_keeps_what_its_source_said() -> None:
    """And has neither environment nor priority."""
    (found,) = items(webhook(alert()), Rules())
    assert isinstance(found, Found)
    assert isinstance(found.signal, SignalReceived)
    assert (found.signal.severity, found.signal.environment, found.signal.priority) == ("warning", "", "")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("severity: [{value: high, when: {host: x}}]", "severity[0]: when: host is nothing that a signal has"),
        ("severity: [{value: high, when: {priority: x}}]", "severity[0]: when: priority is nothing that a signal"),
        ("urgency: []", "unknown key urgency; known here: environment, priority, severity"),
        (
            "priority: [{value: P0}, {value: P1, when: {kind: Node}, examples: [{kind: Node}]}]",
            "priority[1].examples[0]: priority[0] matches it first",
        ),
        ("priority: [{value: P1, when: {kind: Node}, examples: [{kind: Pod}]}]", "none matches it first"),
    ],
)
def test_processing_rules_whose_examples_do_not_hold_are_refused(tmp_path: Path, text: str, line: str) -> None:
    """Before a signal is judged by them."""
    with pytest.raises(FileError) as caught:
        written(tmp_path, Processing, text)
    assert line in str(caught.value)
