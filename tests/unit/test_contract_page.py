"""docs/contract.md says what is built: its lists are held against the code, so that the page cannot rot."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from msgspec.structs import replace

from remediation_orchestrator.cli.main import VERBS
from remediation_orchestrator.events import (
    ApprovalGranted,
    ApprovalRejected,
    ArchiveRequested,
    BlockCleared,
    Cause,
    Command,
    Fact,
    FailurePhase,
    FailureReason,
    LossAccepted,
    OperatorFact,
    Outcome,
    Phase,
    PolicyAdopted,
    PolicyShadowed,
    Reason,
    RemediationCancelled,
    RemediationId,
    RetryRequested,
    RoutingDecided,
    Situation,
    subjects,
)
from remediation_orchestrator.events.codec import TYPES
from remediation_orchestrator.events.duplicates import SIGNALS_MAX, StoredDecision
from remediation_orchestrator.events.facts import Severity
from remediation_orchestrator.events.identity import NAME_LENGTH_MAX, CellName
from remediation_orchestrator.events.stored import MESSAGE_BYTES_MAX
from remediation_orchestrator.orchestrator.routing.checks import CHECKS
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT, VERIFICATION, RoutingPolicy
from remediation_orchestrator.orchestrator.routing.state import RELEASE_GRACE

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "contract.md").read_text()
RR = RemediationId("rr-1")
OPERATOR_FACTS: tuple[OperatorFact, ...] = (
    ApprovalGranted(RR, "0" * 64),
    ApprovalRejected(RR),
    BlockCleared(),
    RemediationCancelled(RR),
    RetryRequested(RR),
    PolicyAdopted({}),
    PolicyShadowed(),
    ArchiveRequested(1, "0" * 64, "0" * 64),
    LossAccepted("00000000", 1),
)


def section(title: str) -> str:
    """What stands under a heading, up to the next of its kind."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None, f"no section {title}"
    return found[1]


def rows(title: str) -> list[list[str]]:
    """The rows of a section's tables, as their cells, heads left out."""
    lines = section(title).splitlines()
    table = [line for line in lines if line.startswith("|")]
    rules = {index for index, line in enumerate(table) if set(line) <= set("|- ")}
    kept = [line for index, line in enumerate(table) if index not in rules and index + 1 not in rules]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in kept]


def words(text: str) -> list[str]:
    """What stands in backticks, within a line."""
    return re.findall(r"`([^`\n]+)`", text)


EVENTS = {
    name: row[1] for title in ("Facts", "Decisions", "Commands") for row in rows(title) for name in words(row[0])
}


def test_every_event_has_its_row() -> None:
    """And no other."""
    assert set(EVENTS) == {kind.__name__ for kind in get_args(Fact | StoredDecision | Command)}


@pytest.mark.parametrize("name", [name for name in EVENTS if name not in ("RoutingDecided", "SignalResolved")])
def test_every_field_of_an_event_is_named(name: str) -> None:
    """As it stands on the wire."""
    fields = {field.encode_name for field in msgspec.structs.fields(TYPES[f"{name}.v1"])}
    assert fields <= set(words(EVENTS[name]))


def test_every_field_of_a_verdicts_record_is_explained() -> None:
    """The record, and every value of its situation."""
    names = [name for row in rows("The record of a verdict") for name in words(row[0])]
    record = list(RoutingDecided.__struct_fields__)
    assert set(names[: len(record)]) == set(record)
    assert names[len(record) :] == list(Situation.__struct_fields__)


def test_every_subject_is_named() -> None:
    """The families to which the stream is bound, the kinds of commands, the operators' verbs."""
    table = rows("Subjects")
    patterns = {re.sub(r"<(?!cell>)[^>]+>", "*", words(row[0])[0]) for row in table if row[0].startswith("`ro.")}
    assert patterns == {one.replace("ro.c.", "ro.<cell>.") for one in subjects.bound_subjects(CellName("c"))}
    text = section("Subjects")
    for fact in OPERATOR_FACTS:
        verb = subjects.verb_of(fact)
        assert f"`{verb}`: `{type(fact).__name__}.v1`" in text
    assert {type(fact) for fact in OPERATOR_FACTS} == set(get_args(OperatorFact))
    for kind in set(TYPES) - {f"{one.__name__}.v1" for one in get_args(StoredDecision)}:
        assert f"`{kind}`" in text


def test_every_check_is_said_as_its_record_says_it() -> None:
    """Ten checks in their order, nine reasons."""
    table = [row for row in rows("Routing") if row[0].isdigit()]
    assert table == [
        [str(number), f"`{check.reason}`", ", ".join(check.keys) or "–", check.when, check.then]
        for number, check in enumerate(CHECKS, 1)
    ]
    assert list(dict.fromkeys(check.reason for check in CHECKS)) == list(Reason)


def test_every_phase_is_named() -> None:
    """Those that have ended behind the others."""
    found = words(section("Phases").partition("A refused")[0])
    assert found == list(Phase)
    assert found.index("Completed") == sum(not phase.ended for phase in Phase)


@pytest.mark.parametrize("kind", [Cause, Outcome, FailurePhase, FailureReason])
def test_every_word_of_a_list_is_named(kind: type[Cause | Outcome | FailurePhase | FailureReason]) -> None:
    """Causes, outcomes, and how things fail."""
    assert {str(one) for one in kind} <= set(words(PAGE))


def test_every_severity_is_named() -> None:
    """In the row of the signal."""
    assert ", ".join(Severity) in EVENTS["SignalReceived"]


def test_every_key_of_the_policy_has_its_default() -> None:
    """As a policy file would write it."""
    document = replace(DEFAULT, verification=VERIFICATION).document()
    defaults = {f"routing.{key}": "null" for key in RoutingPolicy.__struct_fields__}
    defaults |= {f"{name}.{key}": str(value) for name, keys in document.items() for key, value in keys.items()}
    defaults["verification.silence"] = "none"
    assert {words(row[0])[0]: row[1] for row in rows("Policy")} == defaults


def test_every_verb_is_named() -> None:
    """And none that does not exist."""
    assert {words(row[0])[0] for row in rows("Command line")} == {f"ro {verb}" for verb in VERBS}


def test_every_number_is_the_codes() -> None:
    """Bounds that users may meet."""
    assert f"{MESSAGE_BYTES_MAX:,} bytes" in PAGE
    assert f"{NAME_LENGTH_MAX:,} characters" in PAGE
    assert f"1 to {SIGNALS_MAX:,} signals" in PAGE
    assert f"{RELEASE_GRACE.total_seconds():.0f} s" in PAGE


def sources() -> str:
    """All tests, as they are written."""
    return "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))


# Sections that are lists of rules. In the others some bullets only say what others hold.
RULES = ("Door", "Routing", "Services", "Files that people write", "Audit", "Backtest")


@pytest.mark.parametrize("title", RULES)
def test_every_rule_names_a_test_that_exists(title: str) -> None:
    """Else it is a wish."""
    rules = re.split(r"^- ", section(title), flags=re.MULTILINE)[1:]
    named = [words(rule)[-1] for rule in rules]
    tests = sources()
    assert [name for name in named if f"def {name}(" not in tests] == []


def test_every_test_that_the_page_names_exists() -> None:
    """In whatever section."""
    tests = sources()
    assert [name for name in re.findall(r"`(test_\w+)`", PAGE) if f"def {name}(" not in tests] == []
