"""The life of a remediation is one table: the pages draw it, the fold asks it, and nobody goes around it."""

import ast
from pathlib import Path

import pytest
from msgspec.structs import replace
from story import Story

from remediation_orchestrator.events import Because, Cause, ExecutionId, FailurePhase, Phase, PhaseChanged, Proceed
from remediation_orchestrator.events.decisions import ENDED
from remediation_orchestrator.orchestrator.routing.decisions import fold_decision
from remediation_orchestrator.orchestrator.routing.judge import LIMITS
from remediation_orchestrator.orchestrator.routing.lifecycle import (
    JUDGED,
    LIFE,
    LIMITED,
    ROWS,
    Happening,
    ImpossibleError,
    enter,
    may,
)

ROOT = Path(__file__).parents[2]
CORE = ROOT / "orchestrator" / "routing"


def table() -> str:
    """The table as docs/contract.md has it."""
    lines = ["| phase | what happens | becomes |", "|---|---|---|"]
    for row in ROWS:
        before = ", ".join(one for one in row.before if one not in ENDED)
        retried = ", or ended and retried" if set(row.before) >= ENDED else ""
        lines.append(f"| {before}{retried} | {row.happening} | {row.after} |")
    return "\n".join(lines)


def diagram() -> str:
    """The diagram as docs/architecture.md has it: whatever may be judged comes to one place."""
    arrows: dict[tuple[str, str], list[str]] = {("[*]", "Judged"): ["a signal opens it"]}
    for before in JUDGED:
        arrows["Ended" if before in ENDED else before, "Judged"] = ["retried"] if before in ENDED else []
    for row in ROWS:
        for one in ("Judged",) if row.before == JUDGED else row.before:
            arrows.setdefault((one, row.after), []).append(row.happening)
    drawn = [
        f"    {one} --> {other}" + (f" : {' / '.join(words)}" if words else "")
        for (one, other), words in arrows.items()
    ]
    ended = [f"        {one}" for one in Phase if one in ENDED]
    head = ["stateDiagram-v2", "    state Judged <<choice>>", "    state Ended {", *ended, "    }"]
    return "\n".join(["```mermaid", *head, *drawn, "```"])


@pytest.mark.parametrize(("page", "drawn"), [("contract.md", table()), ("architecture.md", diagram())])
def test_the_life_of_a_remediation_is_drawn_as_it_is(page: str, drawn: str) -> None:
    """What the page has to say stands in the failure, to be pasted."""
    assert drawn in (ROOT / "docs" / page).read_text()


def test_every_phase_is_entered_and_left() -> None:
    """And nothing happens twice in one phase."""
    assert {row.after for row in ROWS} == set(Phase)
    assert {before for before, _ in LIFE} == set(Phase)
    assert len(LIFE) == sum(len(row.before) for row in ROWS)
    assert {row.happening for row in ROWS} == set(Happening)


def test_every_phase_with_a_limit_says_in_what_it_has_failed() -> None:
    """In judging what is due."""
    assert set(LIMITS) == set(LIMITED)
    assert set(LIMITS.values()) == set(FailurePhase)


def test_a_phase_is_assigned_in_the_table_s_own_file_alone() -> None:
    """Everybody else says what has happened. A record may say a phase; a remediation gets it from here."""
    assigned = [
        f"{path.name}:{call.lineno}"
        for path in CORE.glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("replace", "Remediation")
        if any(keyword.arg == "phase" for keyword in call.keywords)
    ]
    assert [place.partition(":")[0] for place in assigned] == ["lifecycle.py"]


def test_what_cannot_happen_raises_in_the_words_of_the_table() -> None:
    """It is a mistake of ours: whoever folds a record asks first."""
    story = Story()
    story.signal(0)
    one = story.remediation("rr-1")
    assert not may(one, Happening.APPROVED)
    with pytest.raises(ImpossibleError, match="rr-1 is Executing, where this cannot happen: a person approves"):
        enter(one, Happening.APPROVED)


def test_a_decision_that_cannot_be_changes_nothing_whoever_wrote_it() -> None:
    """A verdict on what runs already, and a time limit of what only waits: no reader stops, audit shows them."""
    story = Story()
    story.signal(0)
    view = story.cell.view
    decided = story.last
    assert decided.verdict == Proceed()
    before = story.state()
    another = replace(decided, attempt=2, because=Because(Cause.DUE), execution=ExecutionId("wfe-1-r2"))
    assert not fold_decision(view, another, None)
    assert story.state() == before
    story.signal(1, "HighLatency")
    waits = story.remediation("rr-2")
    assert waits.phase is Phase.BLOCKED
    fold_decision(
        view,
        PhaseChanged(
            remediation=waits.id,
            fingerprint=waits.fingerprint,
            phase=Phase.TIMED_OUT,
            because=Because(Cause.DUE),
            now=decided.situation.now,
            attempt=1,
        ),
        None,
    )
    assert view.remediations[waits.id] == waits
