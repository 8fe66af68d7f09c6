"""What may happen to a cell of which anything is asked: few targets, names and policies, so that they meet."""

from datetime import timedelta

from hypothesis import strategies as st

from remediation_orchestrator.events import Target

MEMORY = timedelta(hours=3)
COOLDOWN = timedelta(minutes=5)
ROUTING: dict[str, object] = {
    "consecutive_failure_threshold": 3,
    "consecutive_failure_cooldown": "1h",
    "retry_limit": 5,
    "failure_memory": "3h",
    "backoff_base": "1m",
    "backoff_cap": "10m",
    "jitter": 0.1,
    "signal_cooldown": "5m",
    "workflow_cooldown": "5m",
    "signal_max_age": "15m",
    "alert_memory": "40m",
}
POLICIES: list[dict[str, object]] = [
    {"routing": ROUTING},
    {"routing": {"failure_memory": "3h", "retry_limit": 9, "alert_memory": "8m"}},
    {
        "routing": {**ROUTING, "retry_limit": 2, "signal_max_age": "2m"},
        "scope": {
            "exclude": [{"target": {"name": "b"}, "severity": "CRIT*"}, {"target": {"name": "n"}, "team": ""}]
        },
        "classify": [
            {"when": {"name": "N", "target": {"name": "b"}}, "set": {"team": "x", "severity": "high"}},
            {"when": {"team": "x", "share": 0.7}, "set": {"severity": "Critical"}},
        ],
    },
    {"routing": ROUTING, "verification": {"within": "6m", "settle": "1m", "chain": 2, "chain_window": "31m"}},
    {
        "routing": ROUTING,
        "verification": {"within": "3m", "settle": "0s", "silence": "3m", "chain": 1, "chain_window": "11m"},
    },
    {"routing": {**ROUTING, "backoff_base": "0s"}},
]
"""The last one is invalid."""

targets = st.sampled_from([Target("a", "eu-1"), Target("b", "eu-1")])
names = st.sampled_from(["N", "M"])
fingerprints = st.sampled_from(["", "", "", "shared"])
withins = st.sampled_from([(), (), (Target("n", "eu-1"),), (Target("n"), Target("b", "eu-1"))])
alerts = st.sampled_from(["", "a", "a", "b"])
workflows = st.sampled_from(["w", "v", None])
minutes = st.sampled_from([0.0, 0.0, 0.25, 1.0, 3.0, 6.0, 11.0, 31.0, 61.0])
picks = st.integers(min_value=0, max_value=5)
