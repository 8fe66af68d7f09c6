"""Logs of simulated days, with crashes, lost answers and two orchestrators: the questions asked of them hold."""

from collections.abc import Iterator
from typing import Any

import pytest

from remediation_orchestrator.events import Recorded, RoutingDecided, StoredMessage, decode
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.backtest import backtest
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT, policy_of
from remediation_orchestrator.simulation.world import SHORT, simulate

SEEDS = (1, 2, 28)


@pytest.fixture(scope="module", params=SEEDS)
def log(request: pytest.FixtureRequest) -> list[StoredMessage]:
    """What a day has left."""
    return simulate(request.param, SHORT).messages


def verdicts(log: list[StoredMessage]) -> Iterator[tuple[str, int]]:
    """Signal and attempt of each recorded verdict."""
    for message in log:
        for record in decode(message):
            if isinstance(record, Recorded) and isinstance(record.event, RoutingDecided):
                yield record.event.signal, record.event.attempt


def test_audit_finds_nothing_but_strays(log: list[StoredMessage]) -> None:
    """However rough the day was."""
    assert [finding for finding in audit(log) if finding.drift not in HARMLESS] == []


def test_under_its_own_policy_a_log_gives_its_own_verdicts_again(log: list[StoredMessage]) -> None:
    """All of them, none else, at their own moments, though nobody was awake at some."""
    rows = list(backtest(lambda: log))
    assert sorted((row.position, row.attempt) for row in rows) == sorted(verdicts(log))
    assert [row for row in rows if row.verdict != row.recorded or row.counterfactual] == []


@pytest.mark.parametrize(
    "change",
    [
        {"routing": {"consecutive_failure_threshold": 5}},
        {"routing": {"backoff_base": "5m"}},
        {"timeouts": {"starting": "1s"}},
        {"timeouts": {"executing": "10s", "analyzing": "1s"}},
    ],
    ids=str,
)
def test_under_another_policy_no_verdict_is_given_twice(
    log: list[StoredMessage], change: dict[str, dict[str, Any]]
) -> None:
    """And what is the same up to a first divergence is not counterfactual."""
    document = DEFAULT.document()
    for section, keys in change.items():
        document[section] |= keys
    rows = list(backtest(lambda: log, policy_of(document)))
    attempts = [(row.position, row.attempt) for row in rows]
    assert len(attempts) == len(set(attempts))
    assert all(row.counterfactual for row in rows if row.differs)
    assert all(row.verdict == row.recorded for row in rows if not row.counterfactual)
