"""A policy file is read whole, or refused with a line for each thing that is wrong."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remediation_orchestrator.documents.files import FileError
from remediation_orchestrator.orchestrator.policy_file import parse, read
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT


def wrong(text: str) -> list[str]:
    """Return what the text is refused with."""
    with pytest.raises(FileError) as caught:
        parse(text, "p.yaml")
    return [str(one) for one in caught.value.mistakes]


def document(text: str) -> Any:
    """The policy that a text states, as plain data."""
    return parse(text, "p.yaml").policy.document()


DEFAULTS = DEFAULT.document()


def test_nothing_said_is_the_contract_s_defaults() -> None:
    """They are the core's own, so a log without a file and a log with an empty one have one policy."""
    assert parse("# nothing yet\n", "p.yaml").policy == DEFAULT
    assert DEFAULTS == {
        "routing": {
            "consecutive_failure_threshold": 3,
            "consecutive_failure_cooldown": "1h",
            "retry_limit": 5,
            "failure_memory": "24h",
            "backoff_base": "1m",
            "backoff_cap": "10m",
            "jitter": 0.1,
            "signal_cooldown": "5m",
            "workflow_cooldown": "5m",
            "signal_max_age": "15m",
            "alert_memory": "24h",
        },
        "timeouts": {
            "starting": "5m",
            "analyzing": "10m",
            "executing": "30m",
            "approval": "15m",
        },
        "scope": {"exclude": []},
    }


def test_what_is_said_replaces_its_default_and_nothing_else() -> None:
    """And the result is plain data that is a policy file again."""
    text = (
        "routing: {retry_limit: 9, backoff_cap: 1h30m}\n"
        "scope:\n  exclude: [{target: {namespace: kube-system, kind: Pod}}]\n"
    )
    policy = document(text)
    assert policy["routing"] == {**DEFAULTS["routing"], "retry_limit": 9, "backoff_cap": "90m"}
    assert policy["timeouts"] == DEFAULTS["timeouts"]
    assert policy["scope"] == {"exclude": [{"target": {"namespace": "kube-system", "kind": "Pod"}}]}
    assert document(json.dumps(policy)) == policy


def test_a_section_with_comments_only_takes_its_defaults() -> None:
    """As if it were not there."""
    assert parse("routing:\n  # retry_limit: 9\n", "p.yaml").policy == DEFAULT


def test_null_silences_a_number_that_is_no_time_limit() -> None:
    """What a file writes as null is absent, and its check is silent."""
    said = parse(
        "routing: {retry_limit: null, signal_cooldown: null}\nverification: {chain: null}", "p.yaml"
    ).policy
    assert (said.routing.retry_limit, said.routing.signal_cooldown) == (None, None)
    assert said.verification is not None
    assert (said.verification.chain, said.verification.within) == (None, timedelta(minutes=30))
    for text in (
        "timeouts: {approval: null}",
        "routing: {alert_memory: null}",
        "scope: {exclude: [{share: null}]}",
    ):
        with pytest.raises(FileError):
            parse(text, "p.yaml")


def test_a_file_is_read_by_its_name(tmp_path: Path) -> None:
    """The messages name it, and so does one that is not there."""
    file = tmp_path / "policy.yaml"
    file.write_text("timeouts: {starting: 90s}\nretry: 1\n")
    with pytest.raises(FileError, match=r"policy.yaml:2: unknown key retry; known here: classify, routing,"):
        read(file)
    with pytest.raises(FileError, match=r"none.yaml: cannot be read: No such file"):
        read(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("routing:\n  retry_limits: 3", "p.yaml:2: unknown key routing.retry_limits; did you mean retry_limit?"),
        ("routing: {backoff_cap: -5m}", "p.yaml:1: routing.backoff_cap: a duration is not negative: -5m"),
        ("timeouts: {starting: 90}", "a duration is written as 90s, 5m or 1h30m, not 90"),
        ("timeouts: {starting: 1.5h}", "a duration is written as 90s, 5m or 1h30m, not '1.5h'"),
        ("timeouts: {starting: 4000d}", "p.yaml:1: timeouts.starting: 4000d is longer than ten years"),
        ("routing:\n  backoff_base: 0s", "p.yaml:2: routing.backoff_base: must be longer than 0"),
        (
            "routing: {\n  consecutive_failure_cooldown: 0ms}",
            "p.yaml:2: routing.consecutive_failure_cooldown: must be longer than 0",
        ),
        ("routing: {signal_max_age: 0h0s}", "p.yaml:1: routing.signal_max_age: must be longer than 0"),
        ("routing: {alert_memory: null}", "p.yaml:1: routing.alert_memory: a duration is written as 90s, 5m or"),
        (
            "scope:\n  exclude:\n  - {name: x}\n  - {namespace: '*'}",
            "p.yaml:4: unknown key scope.exclude[1].namespace; did you mean target.namespace?",
        ),
        (
            "scope:\n  exclude:\n  - target:\n      name: []",
            "p.yaml:4: scope.exclude[0].target.name: an empty list would match nothing",
        ),
        (
            "timeouts: {approval: }",
            "p.yaml:1: timeouts.approval: a duration is written as 90s, 5m or 1h30m, not null",
        ),
        (
            "routing:\n  consecutive_failure_threshold: 0",
            "p.yaml:2: routing.consecutive_failure_threshold: must be at least 1, not 0",
        ),
        ("routing: {retry_limit: true}", "p.yaml:1: routing.retry_limit: must be a whole number, not True"),
        ("routing:\n\n  jitter: 1.1", "p.yaml:3: routing.jitter: must be at most 1, not 1.1"),
        ("routing: {jitter: -0.1}", "p.yaml:1: routing.jitter: must be at least 0, not -0.1"),
        ("routing: {jitter: .nan}", "routing.jitter: must be at"),
        ("routing: {jitter: ten}", "p.yaml:1: routing.jitter: must be a number, not 'ten'"),
        (
            "routing:\n  jitter: 0\n  jitter: 1",
            "p.yaml:3: routing.jitter: said twice, first on line 2",
        ),
        ("routing: 3", "p.yaml:1: routing: must be a section of keys"),
        ("- routing", "p.yaml:1: the file: must be a section of keys"),
        ("scope: {exclude: {kind: Pod}}", "p.yaml:1: scope.exclude: must be a list"),
        (
            "scope:\n  exclude:\n  - {}",
            "p.yaml:3: scope.exclude[0]: an empty matcher would match everything",
        ),
        ("scope: {exclude: [{nam: x}]}", "p.yaml:1: unknown key scope.exclude[0].nam; did you mean name?"),
        (
            "scope: {exclude: [{target: {name: 3}}]}",
            "p.yaml:1: scope.exclude[0].target.name: must be text, or a list of texts, not 3",
        ),
        (
            "scope: {exclude: [{name: [a, 3]}]}",
            "p.yaml:1: scope.exclude[0].name: must be text, or a list of texts, not 3",
        ),
        (
            f"scope: {{exclude: [{{team: {'x' * 1_025}}}]}}",
            "p.yaml:1: scope.exclude[0].team: a text has at most 1,024 characters",
        ),
        (
            "scope: {exclude: [{target: {}}]}",
            "p.yaml:1: scope.exclude[0].target: no part of a target would match everything",
        ),
        (
            "scope: {exclude: [{not: {}}]}",
            "p.yaml:1: scope.exclude[0].not: an empty matcher would match everything",
        ),
        (
            "scope: {exclude: [{everything: false}]}",
            "p.yaml:1: scope.exclude[0].everything: is true, and stands alone",
        ),
        (
            "scope: {exclude: [{everything: true, name: x}]}",
            "p.yaml:1: scope.exclude[0].everything: is true, and stands alone",
        ),
        (
            "scope: {exclude: [{labels: {a: b}}]}",
            "p.yaml:1: scope.exclude[0].labels: labels are known to `classify` alone",
        ),
        ("classify: [{set: {team: a}}]", "p.yaml:1: classify[0]: an empty matcher would match everything"),
        (
            "classify: [{when: {name: x}}]",
            "p.yaml:1: classify[0]: sets nothing: name one of severity, environment",
        ),
        ("classify: {when: {}}", "p.yaml:1: classify: must be a list"),
        (
            "classify:\n- when: {labels: {}}\n  set: {team: a}",
            "p.yaml:2: classify[0].when.labels: no label would match everything",
        ),
        (
            "classify:\n- when: {name: x}\n  set: {severity: bad}",
            "p.yaml:3: classify[0].set.severity: must be one of critical, high, warning, info, unknown",
        ),
        (
            "classify: [{when: {name: x}, set: {name: y}}]",
            "p.yaml:1: unknown key classify[0].set.name; did you mean team?",
        ),
        (
            f"classify: [{', '.join(['{when: {name: x}, set: {team: a}}'] * 65)}]",
            "p.yaml:1: classify: at most 64 rules",
        ),
        ("scope: {exclude: [{share: 1.5}]}", "p.yaml:1: scope.exclude[0].share: must be at most 1, not 1.5"),
        (
            "scope: {exclude: [{not: {shar: 1}}]}",
            "p.yaml:1: unknown key scope.exclude[0].not.shar; did you mean share?",
        ),
        ("routing: {", "p.yaml:1: not YAML: "),
        ("routing: &a [*a]", "p.yaml:1: aliases (`*name`) are not used here: write it out"),
        ("[" * 500, "p.yaml:1: nested deeper than 20"),
        ("--- {}\n--- {}", "p.yaml:2: not YAML: but found another document"),
        ("routing: !!python/name:os.system", "p.yaml:1: tags (`!name`) are not used here"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(text: str, line: str) -> None:
    """Nothing is accepted and left unread."""
    (said,) = wrong(text)
    assert line in said


def test_every_mistake_is_told_in_the_order_of_the_file() -> None:
    """So that one look mends them all."""
    lines = wrong("routing:\n  jitter: 2\nextra: 1\ntimeouts: {approval: soon}\n")
    assert [line.split(":")[1] for line in lines] == ["2", "3", "4"]


@pytest.mark.parametrize(
    ("text", "written"),
    [("90s", "90s"), ("60s", "1m"), ("1h30m", "90m"), ("1500ms", "1500ms"), ("1d", "24h"), ("30m1h", "90m")],
)
def test_a_duration_has_one_way_to_be_written(text: str, written: str) -> None:
    """Two spellings of one policy have one digest."""
    policy, again = (parse(f"routing: {{signal_cooldown: {one}}}", "p.yaml").policy for one in (text, written))
    assert policy.document()["routing"]["signal_cooldown"] == written
    assert policy.digest == again.digest
