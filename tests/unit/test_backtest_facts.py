"""A file of facts alone gives the decisions of the routing contract, at exact times, to the microsecond.

Every expected row is computed by hand from the contract: this file is a second reading of it."""

import hashlib
import json
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner
from facts import Facts, backtest, body, told, word

from remediation_orchestrator.cli.main import main


def test_the_ladder_climbs_blocks_and_probes(tmp_path: Path) -> None:
    """A source that resolves: one minute, two, an hour, one probe, another hour."""
    facts = Facts()
    facts.signal("10:00:00.000001", resolves=True)
    facts.run("10:00:01", "Started", "wfe-1")
    facts.failed("10:00:30.500000", "wfe-1")
    facts.failed("10:02:00", "wfe-1-r2")
    facts.failed("10:05:00", "wfe-1-r3")
    facts.failed("11:06:00", "wfe-1-r4")
    assert told(backtest(facts, tmp_path)) == [
        ("1", 1, "10:00:00.000001", "Proceed"),
        ("1", 2, "10:00:30.500000", "Block ExponentialBackoff until 10:01:30.500000"),
        ("1", 3, "10:01:30.500000", "Proceed"),
        ("1", 4, "10:02:00", "Block ExponentialBackoff until 10:04:00"),
        ("1", 5, "10:04:00", "Proceed"),
        ("1", 6, "10:05:00", "Block ConsecutiveFailures until 11:05:00"),
        ("1", 7, "11:05:00", "Proceed"),
        ("1", 8, "11:06:00", "Block ConsecutiveFailures until 12:06:00"),
    ]


def test_a_row_says_what_the_contract_says_and_no_more(tmp_path: Path) -> None:
    """With nothing recorded there is nothing to differ from."""
    facts = Facts()
    facts.signal("10:00:00", target={"name": "checkout", "kind": "Deployment"}, fingerprint="f1")
    assert backtest(facts, tmp_path) == [
        {
            "position": "1",
            "remediation": "rr-1",
            "fingerprint": "f1",
            "stage": "workflow",
            "attempt": 1,
            "at": "2026-11-21T10:00:00Z",
            "verdict": {"kind": "Proceed"},
            "recorded": None,
            "counterfactual": False,
        }
    ]


def test_the_jitter_is_the_fingerprints_own_and_rounded_down(tmp_path: Path) -> None:
    """By the formula of the contract, in exact numbers."""
    facts = Facts()
    facts.signal("10:00:00", fingerprint="f1", resolves=True)
    facts.failed("10:00:30", "wfe-1")
    u = Fraction(int.from_bytes(hashlib.sha256(b"f1:1").digest()[:8], "big"), 2**64)
    wait = int(60_000_000 * (1 + Fraction(1, 10) * u))
    minutes, micros = divmod(30_000_000 + wait, 60_000_000)
    until = f"10:{minutes:02}:{micros // 1_000_000:02}.{micros % 1_000_000:06}"
    rows = told(backtest(facts, tmp_path, policy="routing: {}\n"))
    assert rows[-1] == ("1", 2, "10:00:30", f"Block ExponentialBackoff until {until}")


@pytest.mark.parametrize(
    ("again", "comes_to"),
    [(None, "Skip StaleSignal"), ("10:05:59.999999", "Skip StaleSignal"), ("10:06:00", "Proceed")],
)
def test_a_source_that_never_resolves_grows_stale_while_it_waits(
    tmp_path: Path, again: str | None, comes_to: str
) -> None:
    """By its newest occurrence; at exactly its age the way is free."""
    facts = Facts()
    facts.signal("10:00:00")
    facts.failed("10:01:00", "wfe-1")
    facts.signal("10:02:00")
    if again:
        facts.signal(again)
    rows = backtest(
        facts,
        tmp_path,
        "--until",
        "2026-11-21T10:30:00Z",
        policy="routing: {jitter: 0.0, backoff_base: 20m, backoff_cap: 20m}\ntimeouts: {starting: 1h}\n",
    )
    assert told(rows)[1] == ("3", 1, "10:02:00", "Block ExponentialBackoff until 10:21:00")
    assert told(rows)[-1] == ("3", 2, "10:21:00", comes_to)
    if again:
        assert told(rows)[2] == ("4", 1, again, "Duplicate DuplicateInProgress of rr-3")


def test_two_problems_of_one_target_queue_and_each_is_judged_when_it_is_free(tmp_path: Path) -> None:
    """The first of the queue meets the workflow's cooldown and leaves it; the second proceeds."""
    facts = Facts()
    facts.signal("10:00:00", "A", resolves=True)
    facts.signal("10:00:01", "B", resolves=True)
    facts.signal("10:00:02", "C", resolves=True, workflow={"id": "scale"})
    facts.run("10:01:00", "Completed", "wfe-1")
    facts.run("10:02:00", "Started", "wfe-3")
    facts.signal("10:07:00", "C")
    assert told(backtest(facts, tmp_path)) == [
        ("1", 1, "10:00:00", "Proceed"),
        ("2", 1, "10:00:01", "Block ResourceBusy of rr-1 place 1"),
        ("3", 1, "10:00:02", "Block ResourceBusy of rr-1 place 2"),
        ("2", 2, "10:01:00", "Block RecentlyRemediated of rr-1 until 10:06:00 remaining 300"),
        ("3", 2, "10:01:00", "Proceed"),
        ("2", 3, "10:06:00", "Block ResourceBusy of rr-3 place 1"),
        ("6", 1, "10:07:00", "Duplicate DuplicateInProgress of rr-3"),
    ]


@pytest.mark.parametrize(
    ("resolves", "time", "comes_to"),
    [
        (False, "10:03:00", "Skip RecentlyRemediated of rr-1 remaining 180"),
        (True, "10:03:00", "Block RecentlyRemediated of rr-1 until 10:06:00 remaining 180"),
        (False, "10:05:59.999999", "Skip RecentlyRemediated of rr-1 remaining 1e-06"),
        (False, "10:06:00", "Proceed"),
    ],
)
def test_a_cooldown_is_waited_for_only_where_the_source_resolves(
    tmp_path: Path, resolves: bool, time: str, comes_to: str
) -> None:
    """Elsewhere the next signal will ask; at exactly its length the way is free."""
    facts = Facts()
    facts.signal("10:00:00", resolves=resolves)
    facts.run("10:01:00", "Completed", "wfe-1")
    facts.signal(time, resolves=resolves)
    assert told(backtest(facts, tmp_path))[1:] == [("3", 1, time, comes_to)]


def test_a_run_that_nobody_starts_is_revoked_and_judged_again(tmp_path: Path) -> None:
    """Strictly later than five minutes after its decision, and it counts nothing."""
    facts = Facts()
    facts.signal("10:00:00")
    assert told(backtest(facts, tmp_path, "--until", "2026-11-21T10:06:00Z")) == [
        ("1", 1, "10:00:00", "Proceed"),
        ("1", 2, "10:05:00.000001", "Proceed"),
    ]


def test_a_run_that_executes_too_long_is_a_failure_that_only_a_person_clears(tmp_path: Path) -> None:
    """It may have left the target half-changed, and holds it until it has ended."""
    facts = Facts()
    facts.signal("10:00:00", resolves=True)
    facts.run("10:00:10", "Started", "wfe-1")
    facts.signal("10:30:00", resolves=True)
    facts.signal("10:30:00.000002", resolves=True)
    facts.signal("10:30:01", "Other", workflow={"id": "scale"})
    assert told(backtest(facts, tmp_path)) == [
        ("1", 1, "10:00:00", "Proceed"),
        ("3", 1, "10:30:00", "Duplicate DuplicateInProgress of rr-1"),
        ("4", 1, "10:30:00.000002", "Refuse PreviousExecutionFailed of rr-1"),
        ("5", 1, "10:30:01", "Block ResourceBusy of rr-1 place 1"),
    ]


def test_an_analysis_that_takes_too_long_counts_as_failed(tmp_path: Path) -> None:
    """From the microsecond after its limit the fingerprint waits."""
    facts = Facts()
    facts.signal("10:00:00", workflow=None)
    facts.signal("10:10:30", workflow=None)
    rows = backtest(facts, tmp_path)
    assert told(rows) == [
        ("1", 1, "10:00:00", "Proceed"),
        ("2", 1, "10:10:30", "Block ExponentialBackoff until 10:11:00.000001"),
    ]
    assert [row["stage"] for row in rows] == ["signal", "signal"]


def test_an_analysis_names_the_workflow_and_the_remediation_is_judged_again(tmp_path: Path) -> None:
    """By the whole list, as its next attempt."""
    facts = Facts()
    facts.signal("10:00:00", workflow=None)
    target = {"name": "checkout"}
    facts.event(
        "10:00:05", "analysis.rr-1", "AnalysisCompleted", remediation="rr-1", target=target, workflow={"id": "w"}
    )
    rows = backtest(facts, tmp_path)
    assert told(rows) == [("1", 1, "10:00:00", "Proceed"), ("1", 2, "10:00:05", "Proceed")]
    assert [row["stage"] for row in rows] == ["signal", "workflow"]


def test_a_resolved_signal_cancels_what_has_not_begun_and_frees_its_target(tmp_path: Path) -> None:
    """Whoever waited for the target runs at that moment."""
    facts = Facts()
    facts.signal("10:00:00", "A", resolves=True)
    facts.signal("10:00:10", "B", resolves=True)
    facts.signal("10:00:20", "A", status="resolved")
    assert told(backtest(facts, tmp_path)) == [
        ("1", 1, "10:00:00", "Proceed"),
        ("2", 1, "10:00:10", "Block ResourceBusy of rr-1 place 1"),
        ("2", 2, "10:00:20", "Proceed"),
    ]


def test_a_resolved_signal_ends_a_wait_and_keeps_the_count(tmp_path: Path) -> None:
    """Cancelled does not count, and does not forgive."""
    facts = Facts()
    facts.signal("10:00:00", resolves=True)
    facts.failed("10:00:30", "wfe-1")
    facts.signal("10:00:40", status="resolved")
    facts.signal("10:00:50", resolves=True)
    assert told(backtest(facts, tmp_path))[2:] == [("4", 1, "10:00:50", "Block ExponentialBackoff until 10:01:30")]


def test_a_refused_remediation_runs_after_a_clear_and_a_retry(tmp_path: Path) -> None:
    """A clear forgets the half-done run; a retry is a new occurrence, judged by the whole list."""
    facts = Facts()
    facts.signal("10:00:00", resolves=True)
    facts.failed("10:01:00", "wfe-1", idempotent=False)
    facts.event("10:02:00", "operator.retry.ann", "RetryRequested", remediation="rr-1", by="ann", reason="looked")
    facts.event(
        "10:03:00",
        "operator.clear.ann",
        "BlockCleared",
        target={"name": "checkout"},
        workflow="restart",
        by="ann",
        reason="looked",
    )
    facts.event("10:04:00", "operator.retry.ann", "RetryRequested", remediation="rr-1", by="ann", reason="looked")
    assert told(backtest(facts, tmp_path)) == [
        ("1", 1, "10:00:00", "Proceed"),
        ("1", 2, "10:01:00", "Refuse PreviousExecutionFailed of rr-1"),
        ("1", 3, "10:02:00", "Refuse PreviousExecutionFailed of rr-1"),
        ("1", 4, "10:04:00", "Proceed"),
    ]


def test_a_clear_of_the_fingerprint_judges_what_is_blocked_at_once(tmp_path: Path) -> None:
    """Its failures are forgiven."""
    facts = Facts()
    facts.signal("10:00:00", resolves=True, fingerprint="f1")
    facts.failed("10:00:30", "wfe-1")
    facts.event("10:00:45", "operator.clear.ann", "BlockCleared", fingerprint="f1", by="ann", reason="fixed")
    assert told(backtest(facts, tmp_path))[2:] == [("1", 3, "10:00:45", "Proceed")]


def test_a_policy_that_is_adopted_judges_all_that_is_blocked(tmp_path: Path) -> None:
    """Without --policy it is the log's own: the defaults first, then the adopted one."""
    facts = Facts()
    facts.signal("10:00:00", resolves=True)
    facts.failed("10:00:30", "wfe-1")
    routing = {"backoff_base": "10s", "backoff_cap": "10s", "jitter": 0.0, "consecutive_failure_threshold": 3}
    routing["alert_memory"] = "24h"
    facts.event("10:00:35", "operator.adopt.ann", "PolicyAdopted", policy={"routing": routing}, by="ann")
    facts.signal("10:00:50", resolves=True)
    rows = told(run_without_policy(facts, tmp_path))
    assert rows[1][3].startswith("Block ExponentialBackoff until 10:01:3")
    assert rows[2:] == [
        ("1", 3, "10:00:35", "Block ExponentialBackoff until 10:00:40"),
        ("1", 4, "10:00:40", "Proceed"),
        ("4", 1, "10:00:50", "Duplicate DuplicateInProgress of rr-1"),
    ]


def run_without_policy(facts: Facts, folder: Path) -> list[dict[str, object]]:
    """The rows under the policy in force."""
    result = CliRunner().invoke(main, ["backtest", "--log", str(facts.write(folder)), "--json"])
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_lost_run_holds_its_target_to_its_deadline_and_a_grace(tmp_path: Path) -> None:
    """Half a minute after the thirtieth; then the queue is served from the front, until one proceeds."""
    facts = Facts()
    facts.signal("10:00:00", "A", resolves=True)
    facts.run("10:00:05", "Started", "wfe-1")
    facts.failed("10:01:00", "wfe-1", reason="ExecutorLost", idempotent=True)
    facts.signal("10:02:00", "B", resolves=True, workflow={"id": "scale"})
    rows = told(backtest(facts, tmp_path, "--until", "2026-11-21T10:31:00Z"))
    assert (
        rows
        == [
            ("1", 1, "10:00:00", "Proceed"),
            ("1", 2, "10:01:00", "Block ExponentialBackoff until 10:02:00"),
            ("1", 3, "10:02:00", "Block ResourceBusy of rr-1 place 1"),
            ("4", 1, "10:02:00", "Block ResourceBusy of rr-1 place 2"),
            ("1", 4, "10:30:30", "Proceed"),
            ("4", 2, "10:30:30", "Block ResourceBusy of rr-1 place 1"),
        ][:5]
    )


def test_what_cannot_be_decoded_stops_nothing(tmp_path: Path) -> None:
    """An array is judged element by element, and its positions count them all."""
    facts = Facts()
    facts.line("10:00:00", "signal.hand", "no signal")
    facts.line("10:00:01", "signal.hand", [{"name": 7}, body("A"), body("A"), {"target": {}}])
    assert told(backtest(facts, tmp_path)) == [
        ("2-1", 1, "10:00:01", "Proceed"),
        ("2-2", 1, "10:00:01", "Duplicate DuplicateInProgress of rr-2-1"),
    ]


def test_each_element_of_an_array_is_a_round_of_its_own(tmp_path: Path) -> None:
    """What one of them ends is free for the next."""
    facts = Facts()
    facts.signal("10:00:00", "A", resolves=True)
    facts.line("10:00:01", "signal.hand", [body("A", status="resolved"), body("B", resolves=True)])
    assert told(backtest(facts, tmp_path))[1:] == [("2-1", 1, "10:00:01", "Proceed")]


def test_a_wake_up_at_the_very_instant_of_a_fact_comes_first(tmp_path: Path) -> None:
    """The remediation runs again, and so the signal is its duplicate; the failure is the second run's."""
    facts = Facts()
    facts.signal("10:00:00", resolves=True)
    facts.failed("10:00:30", "wfe-1")
    facts.signal("10:01:30", resolves=True)
    facts.failed("10:01:30", "wfe-1-r2")
    assert told(backtest(facts, tmp_path)) == [
        ("1", 1, "10:00:00", "Proceed"),
        ("1", 2, "10:00:30", "Block ExponentialBackoff until 10:01:30"),
        ("1", 3, "10:01:30", "Proceed"),
        ("3", 1, "10:01:30", "Duplicate DuplicateInProgress of rr-1"),
        ("1", 4, "10:01:30", "Block ExponentialBackoff until 10:03:30"),
    ]


@pytest.mark.parametrize(
    ("until", "count"),
    [("1", 1), ("2", 2), ("2026-11-21T10:00:29.999999Z", 1), ("2026-11-21T10:01:30Z", 3), ("3", 4)],
)
def test_the_clock_stops_at_the_last_fact_or_where_it_is_told_to(tmp_path: Path, until: str, count: int) -> None:
    """A sequence ends the log; a time ends it too, and lets the clock run on to it."""
    facts = Facts()
    facts.signal("10:00:00", resolves=True)
    facts.failed("10:00:30", "wfe-1")
    facts.signal("10:05:00", resolves=True)
    assert len(backtest(facts, tmp_path, "--until", until)) == count


def test_the_default_target_is_excluded_by_a_scope(tmp_path: Path) -> None:
    """Unmanaged: skipped, with a record."""
    facts = Facts()
    facts.signal("10:00:00")
    rows = backtest(facts, tmp_path, policy="scope:\n  exclude: [{target: {name: checkout}}]\n")
    assert word(rows[0]["verdict"]) == "Skip UnmanagedResource"
