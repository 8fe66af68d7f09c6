"""Golden logs: what the real system once decided, it decides again, for ever. Their README says how to add one."""

from pathlib import Path

import pytest
from golden.printed import printed

from remediation_orchestrator.bus.file import messages
from remediation_orchestrator.events import RoutingDecided
from remediation_orchestrator.events.codec import Recorded, decode
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.backtest import backtest
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS, Report

FOLDER = Path(__file__).parents[1] / "golden"
LOGS = {path.name.partition(".")[0]: path for path in sorted(FOLDER.glob("*.jsonl*"))}
THEMES = {
    "alerts",
    "analysis",
    "another-way",
    "approvals",
    "bad-records",
    "classify",
    "clears",
    "cooldowns",
    "duplicates",
    "executor",
    "executor-lost",
    "ladder",
    "matchers",
    "verification",
    "owed",
    "policy-adoption",
    "queue",
    "revoked",
    "shadow",
    "storm",
    "takeover",
    "within",
}


@pytest.fixture(params=list(LOGS.values()), ids=list(LOGS))
def log(request: pytest.FixtureRequest) -> Path:
    """Each golden log."""
    path: Path = request.param
    return path


def test_no_golden_log_is_lost() -> None:
    """Each theme has its log, each log its expectation."""
    assert set(LOGS) >= THEMES
    assert {path.stem for path in FOLDER.glob("*.expected")} == set(LOGS)


def test_a_golden_log_is_audited_without_a_finding(log: Path) -> None:
    """Every situation is folded again, every verdict judged again, every record accounted for."""
    report = Report()
    assert [one for one in audit(messages(log), report) if one.drift not in HARMLESS] == []
    assert report.decisions > 1


def test_a_golden_log_folds_to_what_it_folded_to(log: Path) -> None:
    """The projection at its end, in words."""
    assert printed(messages(log)) == (FOLDER / f"{log.name.partition('.')[0]}.expected").read_text()


def test_a_backtest_under_its_own_policy_gives_every_recorded_verdict(log: Path) -> None:
    """No more verdicts up to the last decision, and no fewer."""
    recorded = {
        (record.event.signal, record.event.attempt): record.event.verdict
        for message in messages(log)
        for record in decode(message)
        if isinstance(record, Recorded) and isinstance(record.event, RoutingDecided)
    }
    rows = [row for row in backtest(lambda: messages(log)) if row.recorded is not None or row.counterfactual]
    assert {(row.position, row.attempt): row.verdict for row in rows} == recorded
