"""What is said of the present: each phase by each way to get there, and no word of an old verdict that is over."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from story import CELL, CHECKOUT, minute
from tales import ONE, RUN, TALES, Log, Way, running

from remediation_orchestrator.cli.main import main
from remediation_orchestrator.events import (
    Phase,
    Reason,
    WorkflowCompleted,
    subjects,
)
from remediation_orchestrator.orchestrator.queries.chronicle import Chronicle
from remediation_orchestrator.orchestrator.queries.present import SAID, present
from remediation_orchestrator.orchestrator.queries.replay import state
from remediation_orchestrator.orchestrator.queries.standing import Present
from remediation_orchestrator.orchestrator.queries.views import fingerprint_view, remediations
from remediation_orchestrator.orchestrator.routing.checks import CHECKS
from remediation_orchestrator.orchestrator.routing.lifecycle import JUDGED, ROWS, Happening


def shown(log: Log, now: float) -> tuple[Phase, Present]:
    """What is so of the remediation at a minute."""
    fold, chronicle = log.read()
    (one,) = [one for one in remediations(fold.view, chronicle, minute(now)) if one.id == ONE]
    return one.phase, one.present


def plainly(text: str) -> str:
    """A sentence with the target and the day left out."""
    return text.replace(str(CHECKOUT), "T").replace("2026-11-21 ", "")


SAYS: dict[Way, tuple[str, str, bool]] = {
    Happening.TO_BE_ANALYSED: (
        "rr-2 waits for an analysis to name a workflow for KubePodCrashLooping on T, since 10:00:00Z, until"
        " 10:10:00Z.",
        "An analyser's answer ends it, or its source says that it is over; else it has timed out, which "
        "counts as a failure.",
        False,
    ),
    Happening.TO_BE_RUN: (
        "rr-2 is to run restart on T: nobody has begun wfe-2 yet, since 10:00:00Z, until 10:05:00Z.",
        "An executor begins it, or its source says that it is over; else it is revoked, and judged again: "
        "no failure.",
        False,
    ),
    (Happening.BLOCKED, Reason.EXPONENTIAL_BACKOFF): (
        "rr-2 waits after 1 failure in a row, longer after each, since 10:02:00Z, until 10:03:00Z.",
        "It is judged again then, or when a policy is adopted; it ends when its source says that it is over.",
        False,
    ),
    (Happening.BLOCKED, Reason.CONSECUTIVE_FAILURES): (
        "rr-2 rests after 3 failures in a row; then one run may try, since 10:07:00Z, until 11:07:00Z.",
        "It is judged again then, or when a policy is adopted; it ends when its source says that it is over.",
        False,
    ),
    (Happening.BLOCKED, Reason.RECENTLY_REMEDIATED): (
        "rr-2 waits to see whether its own repair lasts, since 10:03:00Z, until 10:07:00Z.",
        "It is judged again then, or when a policy is adopted; it ends when its source says that it is over.",
        False,
    ),
    (Happening.BLOCKED, Reason.RESOURCE_BUSY): (
        "rr-2 waits in line for T, which wfe-5 of rr-5 holds: place 1, since 10:01:00Z.",
        "T is released when wfe-5 ends; its deadline is 10:30:30Z. It is judged again then, in its turn; it"
        " ends when its source says that it is over.",
        False,
    ),
    (Happening.SKIPPED, Reason.STALE_SIGNAL): (
        "rr-2 was left out: its signal was too old to act upon, at 10:20:00Z.",
        "Its next signal is judged anew.",
        False,
    ),
    (Happening.SKIPPED, Reason.UNMANAGED_RESOURCE): (
        "rr-2 was left out: the policy's scope excluded it, at 10:02:30Z.",
        "Its next signal is left out: the policy's scope excludes it.",
        False,
    ),
    (Happening.SKIPPED, Reason.RECENTLY_REMEDIATED): (
        "rr-2 was left out: its own run had repaired it a short while before, at 10:03:00Z.",
        "Its next signal may lead to a run from 10:07:00Z on (RecentlyRemediated).",
        False,
    ),
    (Happening.REFUSED, Reason.EXHAUSTED_RETRIES): (
        "rr-2 was refused: too many runs had failed in a row, at 12:20:00Z.",
        "Its next signal is refused, too, until a person clears it, or its failures are forgotten at "
        "2026-11-22 12:20:00Z.",
        True,
    ),
    (Happening.REFUSED, Reason.PREVIOUS_EXECUTION_FAILED): (
        "rr-2 was refused: its own run had left T half-changed, at 10:02:00Z.",
        "Its next signal is refused, too, until a person clears it.",
        True,
    ),
    Happening.WORKFLOW_CHOSEN: (
        "rr-2 waits to be judged again: its analysis has named a workflow.",
        "An orchestrator judges it, at once where one leads.",
        False,
    ),
    Happening.APPROVAL_WANTED: (
        "rr-2 waits for a person to approve restart on T (plan 462dbe4eddf9), since 10:01:00Z, until 10:16:00Z.",
        "A person's word ends it, or its source says that it is over; else it has timed out, and no failure"
        " is counted.",
        True,
    ),
    Happening.NONE_FITS: (
        "rr-2 is over, and nothing was done: no workflow fits it, at 10:01:00Z.",
        "Its next signal is judged anew.",
        True,
    ),
    Happening.ANALYSIS_FAILED: (
        "rr-2 has failed: its analysis could not answer, at 10:01:00Z.",
        "Its next signal may lead to a run from 10:02:00Z on (ExponentialBackoff).",
        False,
    ),
    Happening.APPROVED: (
        "rr-2 waits to be judged again: a person has approved its plan.",
        "An orchestrator judges it, at once where one leads.",
        False,
    ),
    Happening.REJECTED: (
        "rr-2 has failed: a person has rejected it, at 10:02:00Z.",
        "Its next signal is judged anew.",
        False,
    ),
    Happening.RUN_COMPLETED: (
        "rr-2 is over: restart has completed on T as wfe-2, at 10:02:00Z.",
        "Its next signal may lead to a run from 10:07:00Z on (RecentlyRemediated).",
        False,
    ),
    Happening.RUN_TO_VERIFY: (
        "rr-2 is to show that restart has helped T, where it completed as wfe-2, since 10:02:00Z, until "
        "10:32:00Z.",
        "It has helped if its source says by then that it is over; else it has not, which is a failure.",
        False,
    ),
    Happening.VERIFIED: (
        "rr-2 is over: restart has completed on T as wfe-2, and has helped, at 10:11:00Z.",
        "Its next signal is judged anew.",
        False,
    ),
    Happening.INEFFECTIVE: (
        "rr-2 waits to be judged again: its repair has not helped.",
        "An orchestrator judges it, at once where one leads.",
        False,
    ),
    Happening.INEFFECTIVE_FOR_GOOD: (
        "rr-2 has failed: restart has completed on T, and has not helped, at 10:33:00Z.",
        "Its next signal is judged anew.",
        False,
    ),
    (Happening.REFUSED, Reason.INEFFECTIVE_CHAIN): (
        "rr-2 was refused: too many repairs of T in a row had not helped, at 10:33:00Z.",
        "Its next signal is refused, too, until a person clears it, or the first of them is forgotten after "
        "14:33:00Z.",
        True,
    ),
    (Happening.CANCELLED, Phase.VERIFYING): (
        "rr-2 was ended by a person, at 10:03:00Z.",
        "Its next signal may lead to a run from 10:07:00Z on (RecentlyRemediated).",
        False,
    ),
    Happening.RUN_FAILED: (
        "rr-2 waits to be judged again: its run has failed.",
        "An orchestrator judges it, at once where one leads.",
        False,
    ),
    Happening.RUN_FAILED_FOR_GOOD: (
        "rr-2 has failed: restart has failed on T as wfe-2, at 10:02:00Z.",
        "Its next signal is judged anew.",
        False,
    ),
    Happening.RUN_REVOKED: (
        "rr-2 waits to be judged again: nobody began its run in time.",
        "An orchestrator judges it, at once where one leads.",
        False,
    ),
    (Happening.RESOLVED, Phase.PENDING): (
        "rr-2 is over: its source has said so, and nothing was running, at 10:03:00Z.",
        "Its next signal is judged anew.",
        False,
    ),
    (Happening.RESOLVED, Phase.BLOCKED): (
        "rr-2 is over: its source has said so, and nothing was running, at 10:02:30Z.",
        "Its next signal is judged anew.",
        False,
    ),
    (Happening.RESOLVED, Phase.ANALYZING): (
        "rr-2 is over: its source has said so, and nothing was running, at 10:01:00Z.",
        "Its next signal is judged anew.",
        False,
    ),
    (Happening.RESOLVED, Phase.AWAITING_APPROVAL): (
        "rr-2 is over: its source has said so, and nothing was running, at 10:02:00Z.",
        "Its next signal is judged anew.",
        False,
    ),
    (Happening.RESOLVED, Phase.EXECUTING): (
        "rr-2 is over: its source has said so, and nothing was running, at 10:01:00Z.",
        "wfe-2, which nobody has begun, is to be revoked: that releases T. Its next signal waits in line: "
        "its own wfe-2 holds T.",
        False,
    ),
    (Happening.CANCELLED, Phase.PENDING): (
        "rr-2 was ended by a person, at 10:03:00Z.",
        "Its next signal is judged anew.",
        False,
    ),
    (Happening.CANCELLED, Phase.BLOCKED): (
        "rr-2 was ended by a person, at 10:02:30Z.",
        "Its next signal is judged anew.",
        False,
    ),
    (Happening.CANCELLED, Phase.ANALYZING): (
        "rr-2 was ended by a person, at 10:01:00Z.",
        "Its next signal is judged anew.",
        False,
    ),
    (Happening.CANCELLED, Phase.AWAITING_APPROVAL): (
        "rr-2 was ended by a person, at 10:02:00Z.",
        "Its next signal is judged anew.",
        False,
    ),
    (Happening.CANCELLED, Phase.EXECUTING): (
        "rr-2 was ended by a person, at 10:02:00Z.",
        "wfe-2 is told to stop: T is released when wfe-2 says that it has ended; from 10:30:30Z on, a "
        "person can clear it. Its next signal waits in line: its own wfe-2 holds T.",
        False,
    ),
    (Happening.TOO_LATE, Phase.ANALYZING): (
        "rr-2 has timed out: no analysis came in time, at 10:11:00Z.",
        "Its next signal is judged anew.",
        False,
    ),
    (Happening.TOO_LATE, Phase.AWAITING_APPROVAL): (
        "rr-2 has timed out: no person answered in time, at 10:17:00Z.",
        "Its next signal is judged anew.",
        False,
    ),
    (Happening.TOO_LATE, Phase.EXECUTING): (
        "rr-2 has timed out: wfe-2 took too long on T, at 10:31:00Z.",
        "wfe-2 is told to stop: T is released when wfe-2 says that it has ended, or a person clears it. Its"
        " next signal is refused, because restart for rr-2 has left T half-changed, until a person clears "
        "it.",
        True,
    ),
}
"""What is said of each: what it is, since when, until when; what ends it; and whether a person is needed."""


def ways() -> set[Way]:
    """Every way to a phase that the table of a life has, and every reason that the checks can give."""
    found: set[Way] = set()
    for row in ROWS:
        verdict = {Happening.BLOCKED: "Block", Happening.SKIPPED: "Skip", Happening.REFUSED: "Refuse"}.get(
            row.happening
        )
        if verdict is not None:
            found |= {(row.happening, check.reason) for check in CHECKS if verdict in check.then}
        elif row.before == JUDGED or len(row.before) == 1:
            found.add(row.happening)
        else:
            found |= {(row.happening, before) for before in row.before}
    return found


def test_every_way_to_every_phase_has_its_sentence() -> None:
    """A new phase, happening or reason is missed here until somebody has said what is so of it."""
    assert set(TALES) == set(SAYS) == ways()
    assert set(SAID) == {row.after for row in ROWS}


@pytest.mark.parametrize("way", SAYS, ids=str)
def test_what_is_so_is_said_of_every_phase_by_every_way_to_it(way: Way) -> None:
    """And the phase is the one that the table of a life gives."""
    tale, now = TALES[way]
    happening = way if isinstance(way, Happening) else way[0]
    (after,) = {row.after for row in ROWS if row.happening is happening}
    phase, found = shown(tale(), now)
    what, ends, needs_person = SAYS[way]
    assert phase is after
    assert plainly(found.sentence("rr-2")) == f"{what} {ends}"
    assert found.needs_person is needs_person


@pytest.mark.parametrize(
    ("tale", "what"),
    [
        (lambda: running().resolves(2).until(40), "rr-2 has timed out: wfe-2 took too long on T"),
        (lambda: running().resolves(2).fails(), "rr-2 has failed: restart has failed on T as wfe-2"),
        (
            lambda: running().resolves(2).tell(3, WorkflowCompleted(RUN)),
            "rr-2 is over: restart has completed on T",
        ),
    ],
)
def test_that_its_source_called_it_over_while_it_ran_is_said_whatever_came_of_the_run(
    tale: Callable[[], Log], what: str
) -> None:
    """Until it fires again: what nobody has judged yet may be another occurrence."""
    said_of = plainly(shown(tale(), 41)[1].sentence("rr-2"))
    assert said_of.startswith(what)
    assert "Its source has said that it is over." in said_of
    fired = tale()
    body = {"name": "KubePodCrashLooping", "target": CHECKOUT, "resolves": True}
    fired.store(42, subjects.signal(CELL, "test"), msgspec.json.encode(body))
    assert "Its source has said" not in shown(fired, 42)[1].sentence("rr-2")


@pytest.mark.parametrize(
    ("way", "at"),
    [
        (Happening.TO_BE_ANALYSED, 11),
        (Happening.TO_BE_RUN, 6),
        (Happening.APPROVAL_WANTED, 17),
        ((Happening.BLOCKED, Reason.EXPONENTIAL_BACKOFF), 4),
    ],
    ids=str,
)
def test_what_is_late_to_be_decided_asks_for_an_orchestrator_and_for_nothing_that_comes_too_late(
    way: Way, at: float
) -> None:
    """No executor may begin what is to be revoked, and nobody may approve what has timed out."""
    _, found = shown(TALES[way][0](), at)
    assert found.acts[0].command == "ro orchestrator"
    assert not any(one in act.command for act in found.acts for one in ("executor", "approve", "reject"))
    assert not found.needs_person


@pytest.mark.parametrize("way", SAYS, ids=str)
def test_nothing_is_invented_where_the_log_does_not_say_how_it_came_so(way: Way) -> None:
    """As of one that was decided on in what is archived: no moment, no reason and nobody whom it does not name."""
    tale, now = TALES[way]
    fold, _ = tale().read()
    found = present(fold.view, Chronicle(), fold.view.remediations[ONE], minute(now))
    assert "None" not in found.sentence("rr-2")
    if way == (Happening.CANCELLED, Phase.BLOCKED):
        assert found.sentence("rr-2") == "rr-2 was cancelled. Its next signal is judged anew."
    assert all("None" not in f"{act.command} {act.does}" for act in found.acts)


@pytest.mark.parametrize("way", SAYS, ids=str)
def test_every_verb_says_the_same_of_the_present(way: Way, tmp_path: Path) -> None:
    """`ro explain`, `ro show`, `ro timeline` and `ro fingerprint` have one sentence; `ro list` has its word."""
    tale, _ = TALES[way]
    path = tale().export(tmp_path / "log.jsonl")
    (row,) = [one for one in said("list", "--log", path, "--json") if json.loads(one)["id"] == ONE]
    known = json.loads(row)
    sentence = known["present"]["what"]
    fingerprint = known["fingerprint"]
    for verb in (("explain", ONE), ("show", ONE), ("timeline", ONE), ("fingerprint", fingerprint)):
        assert any(line.startswith(f"rr-2 {sentence}") for line in said(*verb, "--log", path)), verb


@pytest.mark.parametrize("way", SAYS, ids=str)
def test_replay_and_fingerprint_agree_on_what_may_run_when(way: Way) -> None:
    """And nothing is allowed now that something stands against."""
    tale, at = TALES[way]
    fold, chronicle = tale().read()
    now = minute(at)
    one = fingerprint_view(fold.view, chronicle, fold.view.remediations[ONE].fingerprint, now)
    (row,) = [
        row
        for row in state(fold.view, chronicle, fold.read, now).fingerprints
        if row.fingerprint == one.fingerprint
    ]
    assert (row.next_allowed, row.allowed) == (one.next_allowed, one.objection is None)
    assert (one.next_allowed == "now") is (one.objection is None)


def said(*arguments: object) -> list[str]:
    """What a verb says, line by line."""
    result = CliRunner().invoke(main, [str(one) for one in arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()
