"""Subjects: where each event belongs on the log, and who may write there."""

import re
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import get_args

from msgspec import Struct

from .commands import AnalyzeSignal, CancelWorkflow, Command, CreateWorkflow, Notify
from .facts import (
    AnalysisFact,
    ApprovalGranted,
    ApprovalRejected,
    ArchiveRequested,
    BlockCleared,
    LossAccepted,
    OperatorFact,
    PolicyAdopted,
    PolicyShadowed,
    RemediationCancelled,
    RetryRequested,
    RunFact,
    SignalFact,
)
from .identity import CellName, ExecutionId, RemediationId

ROOT = "ro"
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
WHO = re.compile(r"[A-Za-z0-9_-]{1,64}")
WHO_IS = "1 to 64 of letters, digits, _ and -"
"""An operator's name, and how it is said what one looks like."""

_VERBS: dict[type, str] = {
    ApprovalGranted: "approve",
    ApprovalRejected: "reject",
    BlockCleared: "clear",
    RemediationCancelled: "cancel",
    RetryRequested: "retry",
    PolicyAdopted: "adopt",
    PolicyShadowed: "shadow",
    ArchiveRequested: "archive",
    LossAccepted: "accept",
}
assert set(_VERBS) == set(get_args(OperatorFact)), "every operator's fact has its verb"


class Family(StrEnum):
    """The third word of a subject: what kind of record lives there."""

    SIGNAL = "signal"
    ANALYSIS = "analysis"
    EXECUTION = "execution"
    OPERATOR = "operator"
    DECISION = "decision"
    COMMAND = "command"

    @cached_property
    def is_fact(self) -> bool:
        """Whether records of this family come from outside the decision chain."""
        return self not in (Family.DECISION, Family.COMMAND)

    @cached_property
    def is_fenced(self) -> bool:
        """Whether a record of this family counts only where it expects what stood before it on its subject."""
        return self in (Family.DECISION, Family.COMMAND, Family.OPERATOR, Family.ANALYSIS)


_FAMILIES = {family.value: family for family in Family}

FACTS: dict[Family, tuple[type, ...]] = {
    Family.SIGNAL: get_args(SignalFact),
    Family.ANALYSIS: get_args(AnalysisFact),
    Family.EXECUTION: get_args(RunFact),
    Family.OPERATOR: get_args(OperatorFact),
}
"""What may be said on the subjects of each family of facts."""


class Subject(Struct, frozen=True):
    """A subject, taken apart: `rest` is what follows the family, `""` for decisions."""

    cell: CellName
    family: Family
    rest: str = ""


# A record is taken apart by its reader, its decoder and its fold, and most subjects come again and again.
@lru_cache(maxsize=4_096)
def parse(subject: str) -> Subject:
    """Take a subject of the log apart. Raises ValueError for any other."""
    root, _, tail = subject.partition(".")
    cell, _, tail = tail.partition(".")
    family, _, rest = tail.partition(".")
    known = _FAMILIES.get(family)
    if root != ROOT or known is None or not cell or bool(rest) is (known is Family.DECISION):
        raise ValueError(f"not a subject of the log: {subject!r}")
    return Subject(CellName(cell), known, rest)


def bound_subjects(cell: CellName, *, signals: bool = True) -> list[str]:
    """Exactly the subjects that a cell's stream takes; without `signals` when its log is full."""
    families = ["signal.*"] if signals else []
    families += ["analysis.*", "execution.*", "operator.*.*", "decision", "command.*.*"]
    return [f"{ROOT}.{cell}.{family}" for family in families]


def signal(cell: CellName, source: str) -> str:
    """Where a source's signals go. Raises ValueError where `source` is not one plain word."""
    if TOKEN.fullmatch(source) is None:
        raise ValueError(f"a source is 1 to 128 of letters, digits, _ and -, not {source!r}")
    return f"{ROOT}.{cell}.signal.{source}"


def analysis(cell: CellName, remediation: RemediationId) -> str:
    """Where the results of a remediation's analysis go."""
    return f"{ROOT}.{cell}.analysis.{remediation}"


def execution(cell: CellName, execution: ExecutionId) -> str:
    """Where everything about one run goes; the first that counts there decides who may begin."""
    return f"{ROOT}.{cell}.execution.{execution}"


def verb_of(fact: OperatorFact) -> str:
    """The verb on whose subjects alone an operator's fact counts."""
    return _VERBS[type(fact)]


def operator(cell: CellName, fact: OperatorFact) -> str:
    """Where an operator's fact goes: a subject of whoever says it. Raises ValueError where `by` is no name."""
    if WHO.fullmatch(fact.by) is None:
        raise ValueError(f"an operator's name is {WHO_IS}, not {fact.by!r}")
    return f"{ROOT}.{cell}.operator.{verb_of(fact)}.{fact.by}"


def why_not_theirs(fact: OperatorFact, rest: str) -> str | None:
    """Why an operator's fact counts for nothing on `operator.<rest>`: that is another verb's, or another's."""
    verb, _, who = rest.partition(".")
    if verb != verb_of(fact):
        return f"{type(fact).__name__}.v1 belongs on `operator.{verb_of(fact)}.<who>`, not on `operator.{rest}`"
    if WHO.fullmatch(who) is None:
        return f"an operator's name is {WHO_IS}, not {who!r}"
    return None if fact.by == who else f"`by` is {fact.by!r}, and on `operator.{rest}` only {who!r} speaks"


def decision(cell: CellName) -> str:
    """The one literal subject of the decision chain."""
    return f"{ROOT}.{cell}.decision"


def command_id(command: Command) -> tuple[str, str]:
    """Return the kind and the id under which a command is published; both together are unique in a log."""
    match command:
        case CreateWorkflow():
            return "workflow", command.execution
        case AnalyzeSignal():
            return "analyze", command.analysis
        case CancelWorkflow():
            return "cancel", command.execution
        case Notify():
            return "notify", f"{command.remediation}-{command.attempt}"


def command_key(subject: Subject) -> tuple[str, str]:
    """The kind and the id of the command whose subject this is."""
    kind, _, name = subject.rest.partition(".")
    return kind, name


def command(cell: CellName, command: Command) -> str:
    """Where a command goes: a subject of its own."""
    kind, name = command_id(command)
    return f"{ROOT}.{cell}.command.{kind}.{name}"


def commands(cell: CellName, kind: str) -> str:
    """The filter for all commands of one kind."""
    return f"{ROOT}.{cell}.command.{kind}.*"
