"""Where each event belongs, and which subjects a cell's stream takes."""

from datetime import UTC, datetime

import pytest

from remediation_orchestrator.events import (
    AnalyzeSignal,
    ApprovalGranted,
    ApprovalRejected,
    BlockCleared,
    CancelWorkflow,
    CellName,
    Command,
    CreateWorkflow,
    ExecutionId,
    Fingerprint,
    Notify,
    OperatorFact,
    Outcome,
    PolicyAdopted,
    PolicyShadowed,
    Position,
    RemediationCancelled,
    RemediationId,
    RetryRequested,
    Target,
    WorkflowRef,
    subjects,
)

MAIN = CellName("main")
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
RR = RemediationId("rr-41")
WFE = ExecutionId("wfe-41")
F = Fingerprint("F")
T = Target("checkout")
AT = Position("42-1")

COMMANDS: list[tuple[Command, str]] = [
    (CreateWorkflow(WFE, RR, F, T, WorkflowRef("w"), NOW, NOW, AT), "workflow.wfe-41"),
    (AnalyzeSignal("rr-41", RR, F, Position("41"), "n", "high", T, NOW, AT), "analyze.rr-41"),
    (CancelWorkflow(WFE, RR, AT), "cancel.wfe-41"),
    (Notify(RR, F, T, 3, Outcome.MANUAL_REVIEW_REQUIRED, AT), "notify.rr-41-3"),
]


def test_the_stream_is_bound_to_exactly_the_contracts_subjects() -> None:
    """A misspelt one is refused when it is published."""
    assert subjects.bound_subjects(MAIN) == [
        "ro.main.signal.*",
        "ro.main.analysis.*",
        "ro.main.execution.*",
        "ro.main.operator.*.*",
        "ro.main.decision",
        "ro.main.command.*.*",
    ]


def test_a_full_log_takes_everything_but_signals() -> None:
    """What runs can still end and be recorded."""
    assert subjects.bound_subjects(MAIN, signals=False) == subjects.bound_subjects(MAIN)[1:]


def test_every_fact_has_its_subject() -> None:
    """As the table says."""
    assert subjects.signal(MAIN, "alert_manager-1") == "ro.main.signal.alert_manager-1"
    assert subjects.analysis(MAIN, RR) == "ro.main.analysis.rr-41"
    assert subjects.execution(MAIN, WFE) == "ro.main.execution.wfe-41"
    assert subjects.decision(MAIN) == "ro.main.decision"


@pytest.mark.parametrize(
    ("fact", "verb"),
    [
        (ApprovalGranted(RR, "", "ann"), "approve"),
        (ApprovalRejected(RR, "ann"), "reject"),
        (BlockCleared(F, by="ann"), "clear"),
        (RemediationCancelled(RR, "ann"), "cancel"),
        (RetryRequested(RR, "ann"), "retry"),
        (PolicyAdopted({}, by="ann"), "adopt"),
        (PolicyShadowed(by="ann"), "shadow"),
    ],
)
def test_an_operators_fact_stands_under_its_verb_and_who_says_it(fact: OperatorFact, verb: str) -> None:
    """One permission line a verb and a person."""
    assert subjects.operator(MAIN, fact) == f"ro.main.operator.{verb}.ann"


@pytest.mark.parametrize("by", ["", "a.b", "*", ">", "a b", "é", "a" * 65, "a\n"])
def test_an_operators_name_is_one_plain_word(by: str) -> None:
    """It becomes part of a subject."""
    with pytest.raises(ValueError, match="an operator's name is"):
        subjects.operator(MAIN, RetryRequested(RR, by))


@pytest.mark.parametrize(("command", "tail"), COMMANDS)
def test_a_command_has_a_subject_of_its_own(command: Command, tail: str) -> None:
    """Its kind and its id: so it can be published under "no earlier record here"."""
    assert subjects.command(MAIN, command) == f"ro.main.command.{tail}"
    assert ".".join(subjects.command_id(command)) == tail


def test_an_executor_filters_one_kind() -> None:
    """As the contract writes it."""
    assert subjects.commands(MAIN, "workflow") == "ro.main.command.workflow.*"


@pytest.mark.parametrize("source", ["", "a.b", "*", ">", "a b", "é", "a" * 129, "a\n"])
def test_a_source_is_one_plain_word(source: str) -> None:
    """It becomes part of a subject."""
    with pytest.raises(ValueError, match="a source is"):
        subjects.signal(MAIN, source)


@pytest.mark.parametrize(
    ("subject", "family", "rest"),
    [
        ("ro.main.signal.cli", "signal", "cli"),
        ("ro.eu-1.execution.wfe-41-r2", "execution", "wfe-41-r2"),
        ("ro.main.decision", "decision", ""),
        ("ro.main.command.workflow.wfe-41", "command", "workflow.wfe-41"),
    ],
)
def test_a_subject_is_taken_apart(subject: str, family: str, rest: str) -> None:
    """Its cell, its family and what follows."""
    parsed = subjects.parse(subject)
    assert (parsed.cell, parsed.family, parsed.rest) == (subject.split(".")[1], family, rest)


@pytest.mark.parametrize(
    "subject", ["", "ro", "ro.main", "ro.main.other.x", "no.main.signal.x", "RO.main.signal.x"]
)
def test_anything_else_is_no_subject_of_the_log(subject: str) -> None:
    """It is refused by name."""
    with pytest.raises(ValueError, match="not a subject of the log"):
        subjects.parse(subject)


def test_facts_are_what_comes_from_outside() -> None:
    """Decisions and commands are the orchestrator's."""
    assert {family for family in subjects.Family if not family.is_fact} == {"decision", "command"}
    assert set(subjects.FACTS) == {family for family in subjects.Family if family.is_fact}
