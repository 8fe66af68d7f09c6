"""What a workflow's file says: all that is the same for every engine, and how its values are named.

An engine's own section is the engine's: it is read by it alone, and by no other."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from remediation_orchestrator.documents.files import Written
from remediation_orchestrator.documents.kinds import Duration
from remediation_orchestrator.events.decisions import TRIED_MAX

PLACEHOLDER = re.compile(r"\{(?P<literal>\{[A-Za-z_][\w.-]*\})\}|\{(?P<name>[A-Za-z_][\w.-]*)\}")
DEFAULT_ENGINE = "script"
TARGET_PARTS = ("cluster", "namespace", "kind", "name")
TIMEOUT_MAX = timedelta(days=7)


def _timeout(said: timedelta) -> timedelta:
    if not timedelta(0) < said <= TIMEOUT_MAX:
        raise ValueError(f"must be longer than 0, and at most {TIMEOUT_MAX.days} days")
    return said


Timeout = Annotated[Duration, AfterValidator(_timeout)]
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
Value = str | int | float | bool


class Parameter(Written):
    """One value that a command may set; without a default it must. A value may not look like an option."""

    type: Literal["integer", "string", "boolean", "number"] = "string"
    default: Value | None = None
    description: str = ""
    allow_leading_dash: bool = False
    allow_newline: bool = False

    @property
    def required(self) -> bool:
        """Whether a command must set it."""
        return self.default is None

    def problem(self, value: object) -> str | None:
        """Say why a value is not of this type, or None."""
        if fits(self.type, value):
            return None
        return f"wants {'an' if self.type == 'integer' else 'a'} {self.type}, not {value!r:.200}"

    @model_validator(mode="after")
    def _default_is_of_the_type(self) -> Self:
        wrong = None if self.default is None else self.problem(self.default)
        if wrong:
            raise ValueError(f"the default {wrong}")
        return self


class TargetMatch(Written):
    """The parts of a target that a rule wants, compared exactly."""

    cluster: str | None = None
    namespace: str | None = None
    kind: str | None = None
    name: str | None = None


class MatchRule(Written):
    """Which signals the catalog analyser answers with this workflow: all that is given must be equal.

    `after`: only once so many runs have not helped."""

    name: str | None = None
    severity: str | None = None
    target: TargetMatch = TargetMatch()
    after: Annotated[int, Field(ge=0, le=TRIED_MAX, strict=True)] = 0

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_dump(exclude_none=True, exclude_defaults=True, exclude={"after"}):
            raise ValueError("an empty rule would match every signal: give a name, a severity or target parts")
        return self


class WorkflowFile(Written):
    """One workflow, as its file says it. The section of its engine is left to that."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    version: str = ""
    description: str = ""
    engine: str = DEFAULT_ENGINE
    timeout: Timeout | None = None
    idempotent: bool = False
    environment: list[EnvironmentName] = []
    parameters: dict[ParameterName, Parameter] = {}
    match: list[MatchRule] = []

    @model_validator(mode="before")
    @classmethod
    def _leave_the_engine_its_section(cls, data: object) -> object:
        engine = engine_of(data)
        if not isinstance(data, dict) or engine in cls.model_fields:
            return data
        return {key: value for key, value in data.items() if key != engine}

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        names = Counter(environment_name(name) for name in self.parameters)
        for name, count in names.items():
            if count > 1:
                raise ValueError(f"two parameters would both be {name}")
        needed = [name for name, one in self.parameters.items() if one.required]
        if self.match and needed:
            raise ValueError(f"the analyser sets no parameters: with `match`, {needed[0]!r} needs a default")
        return self


def engine_of(data: object) -> str | None:
    """Which engine a file names, or leaves unsaid; None where it says what is no name."""
    engine = data.get("engine", DEFAULT_ENGINE) if isinstance(data, dict) else None
    return engine if isinstance(engine, str) else None


def check_placeholders(texts: Iterable[str], spec: WorkflowFile) -> None:
    """Raises ValueError where one stands for nothing that a command has or that the file names."""
    known = {f"target.{part}" for part in TARGET_PARTS} | {f"parameters.{one}" for one in spec.parameters}
    for text in texts:
        for found in PLACEHOLDER.finditer(text):
            if found["name"] and found["name"] not in known:
                raise ValueError(f"unknown placeholder {{{found['name']}}}; known: {', '.join(sorted(known))}")


def environment_name(parameter: str) -> str:
    """Name the variable in which a script finds a parameter."""
    return "RO_PARAMETER_" + parameter.upper().replace("-", "_")


def fits(kind: str, value: object) -> bool:
    """Whether a value is of a parameter's type; true and false are not numbers."""
    match kind:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return isinstance(value, str)


@dataclass(frozen=True)
class Workflow:
    """A workflow that can be run: what its file says, to everybody and to its engine, where it stands, and the
    SHA-256 of its bytes. Of an engine that is not here the section is not read."""

    spec: WorkflowFile
    section: BaseModel | None
    path: Path
    digest: str
