"""The core stays one that a stranger can draw: matches name everything, and parts alone edit their tables."""

import ast
from pathlib import Path

import msgspec
import pytest
from story import CELL, STEADY, Story, minute

from remediation_orchestrator.events import (
    Block,
    ExecutionId,
    Reason,
    StoredMessage,
    WorkflowFailed,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.orchestrator.queries.backtest import backtest
from remediation_orchestrator.orchestrator.routing.policy import policy_of

ROOT = Path(__file__).parents[2]
CORE = sorted((ROOT / "orchestrator" / "routing").glob("*.py"))
PARTS = ("retention", "targets", "occurrences", "tasks", "outbox", "timers")


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_no_case_of_the_core_swallows_what_it_does_not_name(path: Path) -> None:
    """A new event is an error of the type checker wherever it is not handled: `case _` only asserts never."""
    swallowing = [
        case.body[0].lineno
        for case in ast.walk(ast.parse(path.read_text()))
        if isinstance(case, ast.match_case)
        and isinstance(case.pattern, ast.MatchAs)
        and case.pattern.pattern is None
        and case.guard is None
        and not ast.unparse(case.body[0]).startswith("assert_never(")
    ]
    assert swallowing == []


def test_nothing_of_the_core_shares_code_by_inheritance() -> None:
    """Nor does anybody inherit from it: a projection has its parts, and others call."""
    values = {"Struct", "StrEnum", "NamedTuple", "Exception", "ValueError"}
    core = {
        node.name
        for path in CORE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    heirs = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in [*CORE, *(ROOT / "orchestrator").glob("*.py"), *(ROOT / "simulation").rglob("*.py")]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for base in map(ast.unparse, node.bases)
        if (path in CORE and base not in values) or (base in core - {"Observer"} and path not in CORE)
    ]
    assert heirs == []


def test_nobody_outside_the_core_edits_a_table() -> None:
    """The tables of a projection are read-only to the type checker; what a part offers is a call."""
    edits = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("orchestrator", "cli", "testing")
        for path in (ROOT / folder).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assign | ast.AugAssign | ast.Delete)
        for target in (node.targets if isinstance(node, ast.Assign | ast.Delete) else [node.target])
        if any(f".{part}." in f"{ast.unparse(target)}." and "view" in ast.unparse(target) for part in PARTS)
    ]
    assert edits == []


def test_a_backtest_remembers_for_as_long_as_its_own_policy_says() -> None:
    """Not for as long as the defaults do: a failure of 30 hours ago counts under a memory of two days."""
    routing = {**STEADY["routing"], "failure_memory": "48h", "backoff_base": "40h", "backoff_cap": "40h"}  # type: ignore[dict-item]
    policy = policy_of({**STEADY, "routing": routing})
    run = ExecutionId("wfe-1")
    attributes = Attributes(id="1", source="/test", time=minute(0))
    body = msgspec.json.encode(Story().body(resolves=False))
    facts = [
        StoredMessage(1, minute(0), subjects.signal(CELL, "test"), body),
        StoredMessage(
            2, minute(1), subjects.execution(CELL, run), encode(WorkflowFailed(run, idempotent=True), attributes)
        ),
        StoredMessage(3, minute(30 * 60), subjects.signal(CELL, "test"), body),
    ]
    rows = list(backtest(lambda: facts, policy))
    assert rows[-1].verdict == Block(Reason.EXPONENTIAL_BACKOFF, until=minute(1 + 40 * 60))
