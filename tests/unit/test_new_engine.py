"""An engine is one module and the line that names it: here is one, and all that the house does with it."""

import asyncio
from collections.abc import Mapping

import pytest
from bench import Bench, command
from faulty import Delivered
from pydantic import BaseModel

from remediation_orchestrator.documents.files import Written
from remediation_orchestrator.events import (
    CreateWorkflow,
    ExecutionId,
    FailureReason,
    WorkflowCompleted,
    WorkflowFailed,
)
from remediation_orchestrator.executor.binding import fill, placeholder_values
from remediation_orchestrator.executor.catalog import load_catalog
from remediation_orchestrator.executor.engine import (
    Absent,
    Ended,
    EngineType,
    Failed,
    Foreign,
    Run,
    Running,
    Sight,
    Succeeded,
)
from remediation_orchestrator.executor.engines import ENGINES
from remediation_orchestrator.executor.workflow_file import Workflow, WorkflowFile, check_placeholders


class Letter(Written):
    """What a workflow's file says to this engine."""

    text: str


def check(section: BaseModel, spec: WorkflowFile) -> None:
    """Every placeholder stands for something."""
    assert isinstance(section, Letter)
    check_placeholders([section.text], spec)


def bind(workflow: Workflow, command: CreateWorkflow, around: Mapping[str, str]) -> object:
    """The letter that is sent."""
    assert isinstance(workflow.section, Letter)
    return fill(workflow.section.text, placeholder_values(command.target, {}))


class Post:
    """An engine elsewhere: it is looked at until it has ended, and forgotten when that is in the log."""

    def __init__(self, *sights: Sight) -> None:
        self.sights = [*sights]
        self.said: list[str] = []
        self.looked = asyncio.Event()

    async def begin(self, run: Run) -> None:
        """Send the letter."""
        self.said.append(f"begin {run.execution}: {run.plan}")

    async def look(self, run: Run) -> Sight:
        """What was planned next."""
        self.said.append("look")
        self.looked.set()
        await asyncio.sleep(0)
        return self.sights.pop(0) if len(self.sights) > 1 else self.sights[0]

    async def cancel(self, run: Run, reason: str) -> None:
        """End it."""
        self.said.append(f"cancel: {reason}")
        self.sights = [Ended(Failed(FailureReason.TASK_FAILED, f"cancelled: {reason}", ran=True))]

    async def forget(self, run: Run) -> None:
        """Nothing is left of it."""
        self.said.append("forget")


FILE = 'id: w\nengine: letter\nidempotent: true\nletter: {text: "dear {target.name}"}\n'


@pytest.fixture
def letters(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The line that names it, and a file for it."""
    monkeypatch.setitem(ENGINES, "letter", EngineType(Letter, check, bind, Post))
    bench.write("w", FILE)
    assert bench.catalog.problems == ()
    return bench


async def test_a_new_engine_is_one_module_and_one_line(letters: Bench) -> None:
    """Bound, claimed, begun, looked at until it has ended, told, and then forgotten."""
    post = letters.engines["letter"] = Post(Running(), Running(), Ended(Succeeded("answered")))
    await letters.handle(Delivered(command()))
    assert post.said == ["begin wfe-1: dear checkout", "look", "look", "look", "forget"]
    assert letters.log.facts()[1] == WorkflowCompleted(ExecutionId("wfe-1"), "answered")


async def test_an_engine_is_told_of_a_cancel_and_says_itself_how_it_ended(letters: Bench) -> None:
    """While it is looked at."""
    post = letters.engines["letter"] = Post(Running())
    running = asyncio.create_task(letters.handle(Delivered(command())))
    async with asyncio.timeout(5):
        await post.looked.wait()
        letters.worker.cancel(ExecutionId("wfe-1"), "resolved")
        await running
    ended = letters.log.facts()[1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.message, ended.was_execution_failure) == ("cancelled: resolved", True)
    assert [one for one in post.said if one != "look"][1:] == ["cancel: resolved", "forget"]


@pytest.mark.parametrize(
    ("sight", "reason", "ran"),
    [(Absent(), "ExecutorLost", True), (Foreign("of another log"), "ConfigurationError", False)],
)
async def test_what_is_not_there_or_not_ours_has_failed(
    letters: Bench, sight: Sight, reason: str, ran: bool
) -> None:
    """What was begun and has gone may have touched its target; what is another's never was ours."""
    letters.engines["letter"] = Post(sight)
    await letters.handle(Delivered(command()))
    ended = letters.log.facts()[1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, ended.was_execution_failure) == (reason, ran)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id: w\nengine: letter\n", "w.yaml:1: the engine `letter` wants a section `letter` with `text`"),
        ("id: w\nengine: letter\nletter:\n  txt: x\n", "w.yaml:4: unknown key letter.txt; did you mean text?"),
        ("id: w\nengine: letter\nletter: {text: '{target.nam}'}\n", "w.yaml:3: letter: unknown placeholder"),
        (FILE + "script: {command: [sh]}\n", "w.yaml:5: unknown key script"),
    ],
)
def test_a_file_for_a_new_engine_is_read_like_any(letters: Bench, text: str, said: str) -> None:
    """Its section is the engine's, with the line of everything."""
    (letters.folder / "w.yaml").write_text(text)
    assert any(said in str(one) for one in load_catalog(letters.folder).problems)
