"""The state of a cell at any moment of its log, and what changed between two."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace
from story import CHECKOUT, minute
from written import WrittenLog

from remediation_orchestrator.cli.main import main
from remediation_orchestrator.events.stored import export_line


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """One problem that has failed once and waits, another that runs on the same target and one behind it."""
    written = WrittenLog()
    written.signal(0, fingerprint="f1")
    written.fails(1, "wfe-2")
    written.signal(1.25, "Other", fingerprint="f2", target=CHECKOUT)
    written.signal(1.5, "Third", fingerprint="f3", target=CHECKOUT)
    return written.export(tmp_path / "log.jsonl")


def replay(log: Path, *options: object) -> Result:
    """Replay an exported log."""
    return CliRunner().invoke(main, ["replay", "--log", str(log), *map(str, options)])


def rows(result: Result) -> list[dict[str, Any]]:
    """Read what was written for programs."""
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def of_kind(result: Result, kind: str) -> list[dict[str, Any]]:
    """The rows of one kind."""
    return [row for row in rows(result) if row["kind"] == kind]


def test_fingerprints_have_their_counts_and_next_allowed_times(log: Path) -> None:
    """One that something is at is not allowed now, nor is one whose target another's run holds."""
    first, second, third = of_kind(replay(log, "--json"), "fingerprint")
    assert (first["fingerprint"], first["failures"]) == ("f1", 1)
    assert (first["allowed"], first["next_allowed_at"]) == (False, "2026-11-21T10:02:00Z")
    assert (second["allowed"], second["next_allowed_at"], second["active"]) == (False, None, "rr-8")
    assert second["next_allowed"] == "rr-8 is at it (Executing)"
    assert (third["allowed"], third["next_allowed_at"]) == (False, None)
    assert third["next_allowed"] == "when eu-1/shop/Deployment/checkout is released by wfe-8"


def test_targets_have_their_holders_and_queues(log: Path) -> None:
    """In the order of waiting."""
    (target,) = of_kind(replay(log, "--json"), "target")
    assert (target["execution"], target["remediation"], target["queue"]) == ("wfe-8", "rr-8", ["rr-11"])


def test_remediations_that_have_not_ended_and_the_policy_in_force_are_there(log: Path) -> None:
    """With all that a table shows."""
    result = replay(log, "--json")
    assert [(one["id"], one["phase"]) for one in of_kind(result, "remediation")] == [
        ("rr-2", "Blocked"),
        ("rr-8", "Executing"),
        ("rr-11", "Blocked"),
    ]
    (policy,) = of_kind(result, "policy")
    assert policy["adopted"]
    assert policy["policy"]["routing"]["retry_limit"] == 5


@pytest.mark.parametrize(("until", "failures"), [("5", 0), ("6", 1), ("2026-11-21T10:00:59Z", 0)])
def test_any_moment_of_the_log_can_be_seen(log: Path, until: str, failures: int) -> None:
    """A sequence and a time, both included; a fact counts when it is there, decided on or not."""
    (first,) = of_kind(replay(log, "--json", "--until", until), "fingerprint")
    assert first["failures"] == failures


def test_two_moments_differ_in_what_changed(log: Path) -> None:
    """From the earlier to the later."""
    changed = {(one["kind"], one["key"]): one for one in rows(replay(log, "--json", "--diff", 4, 7))}
    fingerprint = changed["fingerprint", "f1"]
    assert (fingerprint["before"]["failures"], fingerprint["after"]["failures"]) == (0, 1)
    assert changed["remediation", "rr-2"]["after"]["phase"] == "Blocked"
    assert rows(replay(log, "--json", "--diff", 4, 4)) == []
    assert "nothing changed" in replay(log, "--diff", 4, 4).stdout


def test_people_see_tables(log: Path) -> None:
    """One for each kind."""
    shown = replay(log).stdout
    for words in ("fingerprints: 3", "targets held or waited for: 1", "active remediations: 3", "wfe-8"):
        assert words in shown
    assert "failures 0" in replay(log, "--diff", 4, 7).stdout
    assert "phase Blocked, reason ResourceBusy" in replay(log, "--diff", 4, 12).stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--until", "900"], "sequence 900 is beyond the end of the log, which is 12"),
        (["--until", "2026-11-21T11:00:00Z"], "is still to come"),
        (["--until", "0"], "a sequence is 1 or more"),
        (["--diff", "7", "4"], "from the earlier to the later"),
        (["--diff", "4", "900"], "beyond the end"),
        (["--until", "4", "--diff", "4", "7"], "not both"),
    ],
)
def test_a_moment_that_is_not_in_the_log_is_exit_two_and_one_line(
    log: Path, options: list[str], says: str
) -> None:
    """Naming what there is."""
    result = replay(log, *options)
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.parametrize("verb", ["replay", "backtest"])
@pytest.mark.parametrize("leap", [-1_000_000, 1_000_000])
def test_until_cuts_by_moments_where_a_clock_has_stepped(tmp_path: Path, verb: str, leap: float) -> None:
    """What one fact was stamped hides nothing of what came before it, and shows nothing of what came after."""
    written = WrittenLog()
    written.signal(0, fingerprint="f1")
    written.fails(1, "wfe-2")
    written.signal(3, "Other", fingerprint="f2")
    failed = next(one for one in written.messages if b"WorkflowFailed" in one.payload)
    shown = []
    for stamp in (failed.recorded_at, minute(leap)):
        messages = [replace(one, recorded_at=stamp) if one is failed else one for one in written.messages]
        path = tmp_path / "log.jsonl"
        path.write_bytes(b"".join(export_line(message) + b"\n" for message in messages))
        for at in ("10:00:30", "10:01:00", "10:02:30", "10:03:00"):
            result = CliRunner().invoke(main, [verb, "--log", str(path), "--json", "--until", f"2026-11-21T{at}Z"])
            assert result.exit_code == 0, result.stderr
            shown.append(result.stdout)
    assert shown[:4] == shown[4:]
    assert len(set(shown[:4])) > 2
