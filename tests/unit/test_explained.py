"""`ro explain`: what is so first, then what was decided, and nothing of what nobody has read."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from story import minute
from tales import ONE, TALES, Log
from written import WrittenLog

from remediation_orchestrator.cli.main import main
from remediation_orchestrator.cli.support.output import STYLES
from remediation_orchestrator.cli.support.presence import phase_of
from remediation_orchestrator.cli.support.tables import Toned
from remediation_orchestrator.events import (
    AnalysisCompleted,
    ExecutionId,
    Phase,
    PolicyAdopted,
    Position,
    Reason,
    RemediationCancelled,
    RemediationId,
    TriedRun,
    WorkflowCompleted,
    WorkflowRef,
    WorkflowStarted,
)
from remediation_orchestrator.orchestrator.queries.explain import CheckAnswer, explanations
from remediation_orchestrator.orchestrator.queries.views import remediations
from remediation_orchestrator.orchestrator.routing.checks import CHECKS
from remediation_orchestrator.orchestrator.routing.lifecycle import Happening
from remediation_orchestrator.orchestrator.routing.words import describe_decided, describe_tried


def said(*arguments: object) -> str:
    """What a verb says."""
    result = CliRunner().invoke(main, [str(one) for one in arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_what_was_not_read_is_told_so() -> None:
    """Of a problem that another remediation is at, only that is read: no failures, no target, no cooldown."""
    log = Log().fires().begins()
    again = log.signal(2)
    (one,) = explanations(log.messages, again)
    told = {line.check: (line.answer, line.read) for line in one.lines}
    assert told.pop("unmanaged_resource")[0] is CheckAnswer.PASSES
    assert told.pop("duplicate_in_progress") == (CheckAnswer.OBJECTS, "rr-2 is at this problem")
    assert set(told.values()) == {(CheckAnswer.NOT_READ, "not read, because rr-2 is at this problem")}
    assert all(line.would is None for line in one.lines)


def test_a_check_without_its_number_says_which() -> None:
    """And without a workflow, that none is known: never `None`."""
    log = (
        Log()
        .tell(0, PolicyAdopted({"routing": {"jitter": 0.5, "alert_memory": "24h"}}, by="me"))
        .fires(workflow=None)
    )
    (one,) = explanations(log.messages, Position(str(last_signal(log))))
    told = {line.check: line for line in one.lines}
    assert {line.answer for line in one.lines} == {CheckAnswer.PASSES, CheckAnswer.SILENT}
    for check in CHECKS:
        assert "None" not in told[check.name].read
        if check.needs:
            assert told[check.name].read == f"the policy has no {check.needs[0]}" or "W" in check.keys
            assert told[check.name].answer is CheckAnswer.SILENT
    assert told["previous_execution_failed"].read == "no workflow is known yet"


def test_ages_and_counts_are_said_as_people_say_them() -> None:
    """`41s`, not `41458576us`; `1 failure`, not `1 failures`."""
    log = Log().fires(resolves=False).begins().fails(2)
    log.signal(3.7009764, resolves=False)
    read = {
        line.check: line.read for line in explanations(log.messages, Position(str(last_signal(log))))[-1].lines
    }
    assert read["stale_signal"] == "newest occurrence 0s ago (queueing left out), at most 15m"
    assert read["exhausted_retries"].startswith("1 failure in a row, the last at ")
    assert "us " not in " ".join(read.values())


def last_signal(log: WrittenLog) -> int:
    """Where the newest signal stands."""
    return next(one.sequence for one in reversed(log.messages) if ".signal." in one.subject)


WHY_NOT = {
    "refused": (Happening.REFUSED, Reason.PREVIOUS_EXECUTION_FAILED),
    "excluded": (Happening.SKIPPED, Reason.UNMANAGED_RESOURCE),
    "locked": (Happening.CANCELLED, Phase.EXECUTING),
}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "refused",
            "restart is not run there again until a person clears it: its run for rr-2 left it half-changed.",
        ),
        ("excluded", "The policy's scope excludes it: nothing is run there."),
        (
            "locked",
            "is held by wfe-2 of rr-2. eu-1/shop/Deployment/checkout is released when wfe-2 says that it has",
        ),
    ],
)
def test_why_not_says_what_refuses_excludes_or_holds(name: str, words: str, tmp_path: Path) -> None:
    """Also where nothing waits any more; each problem of the target has its sentence."""
    tale, _ = TALES[WHY_NOT[name]]  # type: ignore[index]
    text = said("explain", "--why-not", "checkout", "--log", tale().export(tmp_path / "log.jsonl"))
    assert words in text.splitlines()[0]
    assert any(line.startswith("rr-2 ") for line in text.splitlines())


def test_an_old_verdict_is_told_as_the_past(tmp_path: Path) -> None:
    """What was to be run and was cancelled since is not about to be run."""
    log = Log().fires().begins().tell(2, RemediationCancelled(RemediationId("rr-2"), by="me"))
    first, *rest = said("explain", "rr-2", "--log", log.export(tmp_path / "log.jsonl")).splitlines()
    assert first.startswith("rr-2 was ended by a person, at 2026-11-21 10:02:00Z. ")
    assert (
        "Attempt 1, at 2026-11-21 10:00:00Z, because signal 2: Proceed: restart is to be run as wfe-2. "
        in "\n".join(rest)
    )
    assert "is to run" not in first


def test_a_signal_that_nobody_has_judged_is_explained_and_shown(tmp_path: Path) -> None:
    """There is no verdict on it, and that is said."""
    log = Log()
    log.store(0, "ro.main.signal.test", b'{"name":"A","target":{"name":"b"}}')
    path = log.export(tmp_path / "log.jsonl")
    for verb in (("explain", "2"), ("show", "rr-2")):
        assert said(*verb, "--log", path).startswith("rr-2 waits for its first verdict, since ")


def test_a_verdict_says_whether_an_analysis_is_asked_or_a_run_is_to_begin() -> None:
    """Both are Proceed."""
    log = Log().fires(workflow=None)
    assert words_of_the_last(log) == "Proceed: an analysis is asked which workflow fits"
    log.tell(1, AnalysisCompleted(ONE, None, WorkflowRef("restart")))
    assert words_of_the_last(log) == "Proceed: restart is to be run as wfe-2"


def test_what_was_tried_before_is_said_where_an_analysis_is_asked() -> None:
    """In words, the oldest first."""
    runs = (
        TriedRun("restart", "Failed", "TaskFailed"),
        TriedRun("drain", "TimedOut"),
        TriedRun("move", "Ineffective"),
    )
    assert describe_tried(runs) == "after restart failed: TaskFailed, drain took too long, move did not help"
    assert describe_tried(()) == ""


def words_of_the_last(log: Log) -> str:
    """The newest verdict on the remediation, in words."""
    return describe_decided(explanations(log.messages, Position("2"))[-1].decided)


def test_what_needs_a_person_is_found_and_is_not_green(tmp_path: Path) -> None:
    """That no workflow fits is over, and yet somebody has to look; what is repaired is not shown with it."""
    log = Log().fires(workflow=None).tell(1, AnalysisCompleted(ONE))
    done = log.signal(2, "Other")
    log.tell(3, WorkflowStarted(ExecutionId(f"wfe-{done}")), WorkflowCompleted(ExecutionId(f"wfe-{done}")))
    fold, chronicle = log.read()
    looking, over = remediations(fold.view, chronicle, minute(4))
    assert (looking.phase, over.phase) == (Phase.COMPLETED, Phase.COMPLETED)
    assert phase_of(over) == Phase.COMPLETED
    shown = phase_of(looking)
    assert isinstance(shown, Toned)
    assert STYLES[shown.like] != STYLES[Phase.COMPLETED] == "green"
    assert STYLES["NoWorkflow"] == STYLES["ManualReviewRequired"] == "yellow"
    (row,) = said("list", "--needs-me", "--json", "--log", log.export(tmp_path / "log.jsonl")).splitlines()
    assert json.loads(row)["reason"] == "NoWorkflow"
