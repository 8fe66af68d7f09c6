"""The policy: read with one clear line of complaint, written back the same, named by its meaning."""

import hashlib
import json
from datetime import timedelta

import pytest

from remediation_orchestrator.events import Target
from remediation_orchestrator.orchestrator.routing.policy import (
    DEFAULT,
    Policy,
    PolicyError,
    RoutingPolicy,
    policy_of,
)

CONTRACT: dict[str, dict[str, object]] = {
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
    "timeouts": {"starting": "5m", "analyzing": "10m", "executing": "30m", "approval": "15m"},
    "scope": {"exclude": []},
}
"""The page of the contract, without its example of a scope."""
SILENT = {"alert_memory": "24h"}
"""The numbers of a policy without any that a check reads."""


def test_the_defaults_are_the_contracts() -> None:
    """Read from the page, and written as the page writes them."""
    assert policy_of(CONTRACT) == DEFAULT
    assert DEFAULT.document() == CONTRACT


def test_the_digest_is_of_the_document_and_stays_what_it_is() -> None:
    """SHA-256 of the compact JSON with sorted keys; a literal, because records name policies by it."""
    written = json.dumps(CONTRACT, sort_keys=True, separators=(",", ":")).encode()
    assert DEFAULT.digest == hashlib.sha256(written).hexdigest()
    assert DEFAULT.digest == "0b508ad1a3acb625a0de1febbe94a9bf1160b430b59e2f22518e49562b5dfdc3"


def test_the_digest_names_the_meaning_and_not_the_writing() -> None:
    """Other units, another order, a default said aloud: the same policy."""
    routing = {"backoff_cap": "600s", "backoff_base": "60000ms", "jitter": 0, "alert_memory": "1440m"}
    written = {"jitter": 0.0, "backoff_base": "1m", "backoff_cap": "10m", **SILENT}
    same = {"routing": written, "timeouts": {"starting": "5m"}}
    assert policy_of({"routing": routing}).digest == policy_of(same).digest
    assert policy_of({"routing": {**routing, "jitter": 0.1}}).digest != policy_of(same).digest


@pytest.mark.parametrize(
    "document",
    [
        {"routing": SILENT},
        CONTRACT,
        {
            "routing": SILENT,
            "scope": {
                "exclude": [{"target": {"namespace": "kube-system"}}, {"target": {"name": "a", "kind": "Pod"}}]
            },
        },
        {"routing": {**SILENT, "signal_cooldown": "0s"}},
        {"routing": SILENT, "timeouts": {"approval": "1us"}},
    ],
)
def test_a_document_is_read_back_the_same(document: dict[str, object]) -> None:
    """Through JSON, too: that is how the log keeps it."""
    policy = policy_of(document)
    again = policy_of(json.loads(json.dumps(policy.document())))
    assert again == policy
    assert again.digest == policy.digest


def test_an_absent_key_of_a_check_is_absent_and_not_its_default() -> None:
    """It silences its check; time limits always are."""
    policy = policy_of({"routing": SILENT})
    assert policy == Policy(RoutingPolicy(alert_memory=timedelta(hours=24)))
    assert policy.routing.retry_limit is None
    assert policy.timeouts.executing == timedelta(minutes=30)
    assert not policy.excludes_target(Target("x"))
    assert policy_of({"routing": {**SILENT, "retry_limit": None}, "timeouts": {"approval": None}}) == policy


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (None, "got `null`"),
        (5, "got `int`"),
        ([], "got `array`"),
        ({"routing": None}, "at `routing`"),
        ({"routing": []}, "at `routing`"),
        ({"rooting": {}}, "unknown field `rooting`"),
        ({"routing": {"retry_limits": 5}}, "unknown field `retry_limits` - at `routing`"),
        ({"timeouts": {"global": "1h"}}, "unknown field `global` - at `timeouts`"),
        ({"scope": {"include": []}}, "unknown field `include` - at `scope`"),
        ({"scope": {"exclude": [{"nam": "x"}]}}, "unknown field `nam` - at `scope.exclude[0]`"),
        ({"scope": {"exclude": {}}}, "at `scope.exclude`"),
        ({"scope": {"exclude": [None]}}, "at `scope.exclude[0]`"),
        ({"scope": {"exclude": [{"target": {"name": 5}}]}}, "at `scope.exclude[0].target.name`"),
        ({"scope": {"exclude": [{"team": None}]}}, "at `scope.exclude[0].team`"),
        ({"routing": SILENT, "scope": {"exclude": [{}]}}, "would match everything"),
        ({}, "missing required field `routing`"),
        ({"routing": {}}, "missing required field `alert_memory` - at `routing`"),
        ({"routing": {"alert_memory": None}}, "missing required field `alert_memory` - at `routing`"),
        ({"routing": {"retry_limit": 0}}, ">= 1 - at `routing.retry_limit`"),
        ({"routing": {"retry_limit": -1}}, ">= 1 - at `routing.retry_limit`"),
        ({"routing": {"retry_limit": 1_000_001}}, "<= 1000000 - at `routing.retry_limit`"),
        ({"routing": {"retry_limit": "5"}}, "at `routing.retry_limit`"),
        ({"routing": {"retry_limit": 2.5}}, "at `routing.retry_limit`"),
        ({"routing": {"retry_limit": True}}, "at `routing.retry_limit`"),
        ({"routing": {"consecutive_failure_threshold": 0}}, "at `routing.consecutive_failure_threshold`"),
        ({"routing": {"jitter": -0.1}}, ">= 0.0 - at `routing.jitter`"),
        ({"routing": {"jitter": 1.1}}, "<= 1.0 - at `routing.jitter`"),
        ({"routing": {"jitter": float("nan")}}, "at `routing.jitter`"),
        ({"routing": {"jitter": "10%"}}, "at `routing.jitter`"),
        ({"routing": {"backoff_base": 60}}, "routing.backoff_base: a duration is written as"),
        ({"routing": {"backoff_base": "1 minute"}}, "routing.backoff_base: a duration is written as"),
        ({"routing": {"backoff_base": "-1m"}}, "routing.backoff_base: a duration is written as"),
        ({"routing": {**SILENT, "backoff_base": "0s"}}, "routing.backoff_base: must be longer than 0"),
        ({"routing": {**SILENT, "backoff_cap": "0s"}}, "routing.backoff_cap: must be longer than 0"),
        ({"routing": {**SILENT, "failure_memory": "0s"}}, "routing.failure_memory: must be longer than 0"),
        ({"routing": {"backoff_cap": "999999999999d"}}, "routing.backoff_cap: 999999999999d is longer than"),
        ({"routing": SILENT, "timeouts": {"starting": "0s"}}, "timeouts.starting: must be longer than 0"),
        ({"timeouts": {"approval": 5}}, "timeouts.approval: a duration is written as"),
        ({"timeouts": {"approval": ["5m"]}}, "timeouts.approval: a duration is written as"),
    ],
)
def test_an_invalid_policy_is_refused_in_one_clear_line(document: object, says: str) -> None:
    """It says what is wrong and where, and never that something was ignored."""
    with pytest.raises(PolicyError) as refused:
        policy_of(document)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("section", ["routing", "timeouts"])
def test_no_duration_of_0_disarms_a_check(section: str) -> None:
    """The two cooldowns after success may be 0: to repair again at once is what somebody may want."""
    keys = DEFAULT.document()[section]
    durations = [key for key, value in keys.items() if isinstance(value, str)]
    assert len(durations) >= 4
    for key in durations:
        document = {"routing": SILENT, section: {**CONTRACT[section], key: "0s"}}
        if key in ("signal_cooldown", "workflow_cooldown"):
            assert policy_of(document)
            continue
        with pytest.raises(PolicyError, match=f"^{section}.{key}: must be longer than 0$"):
            policy_of(document)
