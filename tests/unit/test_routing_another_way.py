"""What was tried and has not helped, whoever analyses next knows; after so many runs it is asked again."""

import msgspec
import pytest
from msgspec.structs import replace
from story import CELL, CHECKOUT, STEADY, Story

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    AnalyzeSignal,
    BlockCleared,
    PhaseChanged,
    PolicyAdopted,
    Position,
    Proceed,
    Reason,
    RemediationCancelled,
    RemediationId,
    Stage,
    Target,
    TriedRun,
    WorkflowRef,
    fingerprint_of,
    subjects,
)
from remediation_orchestrator.events.decisions import TRIED_MAX
from remediation_orchestrator.orchestrator.routing.outbox import command_of
from remediation_orchestrator.orchestrator.routing.policy import PolicyError, policy_of

ONE = "rr-1"
F = fingerprint_of(CHECKOUT, "KubePodCrashLooping")
WORKFLOW = WorkflowRef("restart")
RESTART = TriedRun("restart", "Failed", "TaskFailed")
SILENT: dict[str, object] = {"failure_memory": "24h", "alert_memory": "24h"}


def routing(**numbers: object) -> dict[str, object]:
    """A policy without waits, so that whoever fails is judged again at once."""
    return {"routing": {**SILENT, **numbers}}


def analysing(**numbers: object) -> Story:
    """One is analysed, and no check keeps it from its runs."""
    story = Story()
    story.operator(0, PolicyAdopted(routing(**numbers)))
    story.signal(1, workflow=None)
    return story


def one(story: Story) -> str:
    """The remediation of the only signal."""
    return story.last.remediation


def run_fails(story: Story, at: float, run: int, workflow: str = "restart", **answer: object) -> None:
    """The analysis names a workflow, and its run fails."""
    name = one(story)
    story.analysed(at, name, workflow=workflow, **answer)  # type: ignore[arg-type]
    story.failed(at + 0.5, f"{name.replace('rr', 'wfe')}{f'-r{run}' if run > 1 else ''}")


def asked(story: Story) -> AnalyzeSignal:
    """The command that the newest verdict owes."""
    command = command_of("analyze", story.last, Position("9"))
    assert isinstance(command, AnalyzeSignal)
    return command


def test_after_so_many_runs_it_is_analysed_again() -> None:
    """Two of them; the first is followed by another of the same."""
    story = analysing(runs_per_analysis=2)
    assert (asked(story).failures, asked(story).tried) == (0, ())
    name = one(story)
    run_fails(story, 2, 1)
    assert (story.last.stage, story.verdict, story.last.situation.workflow) == (
        Stage.WORKFLOW,
        Proceed(),
        "restart",
    )
    story.failed(3, f"{name.replace('rr', 'wfe')}-r2")
    assert (story.last.stage, story.verdict, story.last.analysis) == (Stage.SIGNAL, Proceed(), f"{name}-r2")
    assert story.last.because.kind == "failed"
    assert (asked(story).failures, asked(story).tried) == (2, (RESTART, RESTART))
    assert story.phase(name) == "Analyzing"
    story.analysed(4, name, workflow="move")
    assert (story.last.execution, story.last.stage) == (f"{name.replace('rr', 'wfe')}-r3", Stage.WORKFLOW)
    story.failed(5, f"{name.replace('rr', 'wfe')}-r3")
    assert (story.last.stage, story.last.situation.workflow) == (Stage.WORKFLOW, "move")


def test_without_a_number_what_an_analysis_named_stays() -> None:
    """As long as its problem goes on."""
    story = analysing()
    run_fails(story, 2, 1)
    for run in range(2, 6):
        assert story.last.stage == Stage.WORKFLOW
        story.failed(run + 1, f"{one(story).replace('rr', 'wfe')}-r{run}")


def test_a_workflow_that_the_signal_named_stays() -> None:
    """It needs no analysis."""
    story = Story()
    story.operator(0, PolicyAdopted(routing(runs_per_analysis=1)))
    story.signal(1)
    story.failed(2, f"{one(story).replace('rr', 'wfe')}")
    assert (story.last.stage, story.last.situation.workflow) == (Stage.WORKFLOW, "restart")


def test_an_analysis_s_target_is_forgotten_with_its_workflow() -> None:
    """It is judged for its signal's own again; what is left half-done elsewhere is no matter of it."""
    story = analysing(runs_per_analysis=1)
    node = Target("n1", "eu-1", "", "Node")
    run_fails(story, 2, 1, "drain", target=node)
    assert (story.last.stage, story.last.situation.target) == (Stage.SIGNAL, CHECKOUT)
    assert asked(story).target == CHECKOUT
    assert story.remediation(one(story)).home is None


def test_in_what_a_signal_s_target_stands_is_known_again() -> None:
    """Where an analysis has said otherwise of it, and where it named another target."""
    rack, node = Target("r1", "eu-1", "", "Rack"), Target("n1", "eu-1", "", "Node")
    for named in (AnalysisCompleted(RemediationId(""), None, WORKFLOW, within=(node,)), moved(node)):
        story = Story()
        story.operator(0, PolicyAdopted(routing(runs_per_analysis=1)))
        body = {"name": "X", "target": CHECKOUT, "resolves": True, "within": [rack]}
        story.publish(1, subjects.signal(CELL, "test"), msgspec.json.encode(body))
        name = RemediationId(one(story))
        story.fact(2, replace(named, remediation=name), subjects.analysis(CELL, name))
        assert story.remediation(name).within == (() if named.target else (node,))
        story.failed(3, name.replace("rr", "wfe"))
        assert (story.last.stage, story.remediation(name).target) == (Stage.SIGNAL, CHECKOUT)
        assert story.remediation(name).within == (rack,)


def moved(node: Target) -> AnalysisCompleted:
    """An analysis that names another target."""
    return AnalysisCompleted(RemediationId(""), node, WORKFLOW)


def test_who_waits_for_the_target_of_an_analysis_leaves_its_line_when_it_is_analysed_again() -> None:
    """A policy is adopted that counts runs, while somebody waits after one."""
    story = analysing()
    node = Target("n1", "eu-1", "", "Node")
    name = one(story)
    story.signal(1.5, "Other", target=node)
    other = one(story)
    story.analysed(2, name, workflow="drain", target=node)
    assert story.verdict.reason is Reason.RESOURCE_BUSY  # type: ignore[union-attr]
    story.completed(3, other.replace("rr", "wfe"))
    story.failed(4, name.replace("rr", "wfe"))
    assert story.last.execution == f"{name.replace('rr', 'wfe')}-r2"
    story.started(4.2, f"{name.replace('rr', 'wfe')}-r2")
    story.failed(5, f"{name.replace('rr', 'wfe')}-r2", reason="ExecutorLost")
    assert story.verdict.reason is Reason.RESOURCE_BUSY  # type: ignore[union-attr]
    story.operator(6, PolicyAdopted(routing(runs_per_analysis=1)))
    assert (story.last.stage, story.verdict, story.last.situation.target) == (Stage.SIGNAL, Proceed(), CHECKOUT)
    assert not story.cell.fold.view.queues


def test_the_count_begins_anew_where_failures_have_been_forgiven() -> None:
    """By a clear: what was tried before it is nobody's argument any more."""
    story = analysing(runs_per_analysis=2)
    run_fails(story, 2, 1)
    story.operator(2.7, BlockCleared(fingerprint=F))
    story.failed(3, f"{one(story).replace('rr', 'wfe')}-r2")
    assert story.last.stage == Stage.WORKFLOW
    story.failed(4, f"{one(story).replace('rr', 'wfe')}-r3")
    assert (story.last.stage, asked(story).tried) == (Stage.SIGNAL, (RESTART, RESTART))


def test_what_was_tried_is_forgotten_with_the_failures() -> None:
    """At exactly `failure_memory` it is still known."""
    for late, known in ((0.0, 1), (1 / 60_000_000, 0)):
        story = analysing(failure_memory="10m", runs_per_analysis=1)
        name = one(story)
        run_fails(story, 2, 1)
        assert len(asked(story).tried) == 1
        story.operator(3, RemediationCancelled(RemediationId(name)))
        story.signal(12.5 + late, workflow=None)
        assert len(asked(story).tried) == known
        assert asked(story).failures == known
    story = analysing()
    run_fails(story, 2, 1)
    story.completed(3, f"{one(story).replace('rr', 'wfe')}-r2")
    assert story.history().tried == ()


def test_of_what_was_tried_the_newest_are_known() -> None:
    """Ten, the oldest first."""
    story = analysing(runs_per_analysis=1)
    for run in range(1, TRIED_MAX + 3):
        run_fails(story, 2 * run, run, f"w{run}")
    assert [tried.workflow for tried in asked(story).tried] == [f"w{run}" for run in range(3, TRIED_MAX + 3)]


def test_what_was_not_run_was_not_tried() -> None:
    """Nobody began it in time, an analyser could not answer, a person wanted none of it."""
    story = analysing(runs_per_analysis=1)
    name = RemediationId(one(story))
    story.fact(2, AnalysisFailed(name), subjects.analysis(CELL, name))
    story.signal(3, workflow=None)
    assert (asked(story).failures, asked(story).tried) == (1, ())
    name = RemediationId(one(story))
    story.analysed(4, name)
    story.operator(5, RemediationCancelled(name))
    story.signal(6, workflow=None)
    assert asked(story).tried == ()


def test_a_run_that_took_too_long_was_tried() -> None:
    """The next signal's analysis knows of it."""
    story = analysing()
    name = one(story)
    story.analysed(2, name)
    story.started(2.1, name.replace("rr", "wfe"))
    story.wait(40)
    assert any(isinstance(one, PhaseChanged) and one.phase == "TimedOut" for one in story.decisions)
    story.failed(40.5, name.replace("rr", "wfe"))  # It is over at last, and was counted already.
    story.signal(41, workflow=None)
    assert asked(story).tried == (TriedRun("restart", "TimedOut"),)


def test_an_answer_to_an_earlier_analysis_is_a_stray() -> None:
    """Nobody waits for it any more; to the one that is asked for, by its name or by none, it is the answer."""
    for answers, fits in (("", True), ("{}-r2", True), ("{}", False), ("{}-r3", False)):
        story = analysing(runs_per_analysis=1)
        name = one(story)
        run_fails(story, 2, 1)
        story.analysed(3, name, workflow="move", analysis=answers.format(name))
        assert story.phase(name) == ("Executing" if fits else "Analyzing")
        failed = AnalysisFailed(RemediationId(name), analysis=answers.format(name))
        story.fact(4, failed, subjects.analysis(CELL, RemediationId(name)))
        assert story.phase(name) == ("Executing" if fits else "Analyzing")
    story = analysing(runs_per_analysis=1)
    name = one(story)
    run_fails(story, 2, 1)
    for answers, phase in (("{}", "Analyzing"), ("{}-r2", "Failed")):
        failed = AnalysisFailed(RemediationId(name), analysis=answers.format(name))
        story.fact(4, failed, subjects.analysis(CELL, RemediationId(name)))
        assert story.phase(name) == phase


def test_no_more_runs_are_counted_than_are_remembered() -> None:
    """A higher number would never be reached."""
    assert policy_of({**STEADY, **routing(runs_per_analysis=TRIED_MAX)}).routing.runs_per_analysis == TRIED_MAX
    for wrong in (0, TRIED_MAX + 1):
        with pytest.raises(PolicyError, match="runs_per_analysis"):
            policy_of({**STEADY, **routing(runs_per_analysis=wrong)})
