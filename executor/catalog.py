"""The workflow catalog: a folder of YAML files that people write, one workflow each.

A broken file is named, with its line, and the others work. Of files that claim one id none is served:
which of them a command meant cannot be known, and running the wrong one cannot be taken back."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from remediation_orchestrator.documents.reader import Document, DocumentError, path_of, read_document, read_file

ENDINGS = (".yaml", ".yml")
PLACEHOLDER = re.compile(r"\{(?P<literal>\{[A-Za-z_][\w.-]*\})\}|\{(?P<name>[A-Za-z_][\w.-]*)\}")
TARGET_PARTS = ("cluster", "namespace", "kind", "name")
_DURATION = re.compile(r"([1-9][0-9]{0,6})(s|m|h)")
_UNITS = {"s": 1, "m": 60, "h": 3600}
TIMEOUT_MAX = timedelta(days=7)


def duration(text: object) -> timedelta:
    """Read `90s`, `5m` or `1h`. Raises ValueError saying so."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"a duration is written like 90s, 5m or 1h, not {text!r}")
    read = timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    if read > TIMEOUT_MAX:
        raise ValueError(f"a duration is at most {TIMEOUT_MAX.days} days, not {text}")
    return read


Duration = Annotated[timedelta, BeforeValidator(duration)]
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
Value = str | int | float | bool


class _Written(BaseModel):
    """What people write: an unknown key is refused, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Parameter(_Written):
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


class TargetRule(_Written):
    """The parts of a target that a rule wants, compared exactly."""

    cluster: str | None = None
    namespace: str | None = None
    kind: str | None = None
    name: str | None = None


class MatchRule(_Written):
    """Which signals the catalog analyser answers with this workflow: all that is given must be equal."""

    name: str | None = None
    severity: str | None = None
    target: TargetRule = TargetRule()

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_dump(exclude_none=True, exclude_defaults=True):
            raise ValueError("an empty rule would match every signal: give a name, a severity or target parts")
        return self


class Script(_Written):
    """A program and its arguments, each its own; never read by a shell."""

    command: Annotated[list[str], Field(min_length=1)]

    @model_validator(mode="after")
    def _program_is_fixed(self) -> Self:
        if not self.command[0] or PLACEHOLDER.search(self.command[0]):
            raise ValueError("the program is a fixed name: no command may choose what is run")
        if any("\0" in part for part in self.command):
            raise ValueError("an argument cannot contain NUL")
        return self


class WorkflowFile(_Written):
    """One workflow, as its file says it. Another engine's section is left to that engine."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    version: str = ""
    description: str = ""
    engine: str = "script"
    script: Script | None = None
    timeout: Duration | None = None
    idempotent: bool = False
    environment: list[EnvironmentName] = []
    parameters: dict[ParameterName, Parameter] = {}
    match: list[MatchRule] = []

    @model_validator(mode="before")
    @classmethod
    def _leave_other_engines_theirs(cls, data: object) -> object:
        engine = data.get("engine") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(engine, str) or engine in cls.model_fields:
            return data
        return {key: value for key, value in data.items() if key != engine}

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.engine == "script" and self.script is None:
            raise ValueError("the engine `script` wants a section `script` with a `command`")
        self._check_placeholders()
        names = Counter(environment_name(name) for name in self.parameters)
        for name, count in names.items():
            if count > 1:
                raise ValueError(f"two parameters would both be {name}")
        needed = [name for name, one in self.parameters.items() if one.required]
        if self.match and needed:
            raise ValueError(f"the analyser sets no parameters: with `match`, {needed[0]!r} needs a default")
        return self

    def _check_placeholders(self) -> None:
        known = {f"target.{part}" for part in TARGET_PARTS} | {f"parameters.{one}" for one in self.parameters}
        for part in self.script.command if self.script else []:
            for found in PLACEHOLDER.finditer(part):
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
    """A workflow that can be run: what its file says, where it stands, and the SHA-256 of its bytes."""

    says: WorkflowFile
    path: Path
    digest: str


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file, for the person who wrote it."""

    path: Path
    message: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place}: {self.message}"


@dataclass(frozen=True)
class Catalog:
    """All workflows that are whole, by id and in the order of their files' names, and what is wrong."""

    workflows: dict[str, Workflow] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    unread: str | None = None
    """Why its folder cannot be read: nobody knows then what it has."""


def files_of(folder: Path) -> list[Path]:
    """The catalog's files, by name. Raises OSError where the folder cannot be read."""
    return sorted(path for path in folder.iterdir() if path.suffix in ENDINGS and path.is_file())


def load_catalog(folder: Path) -> Catalog:
    """Read every workflow of a folder. A broken file becomes a problem; only an unreadable folder raises."""
    return catalog_of({path: load_workflow(path) for path in files_of(folder)})


def catalog_of(files: Mapping[Path, Workflow | list[Problem]]) -> Catalog:
    """Gather what was read of each file. Of files with one id none is served."""
    whole = [read for read in files.values() if isinstance(read, Workflow)]
    problems = [problem for read in files.values() if isinstance(read, list) for problem in read]
    ids = Counter(one.says.id for one in whole)
    for one in whole:
        if ids[one.says.id] > 1:
            others = ", ".join(two.path.name for two in whole if two.says.id == one.says.id and two is not one)
            problems.append(Problem(one.path, f"id {one.says.id!r} is also claimed by {others}: none is served"))
    served = {one.says.id: one for one in whole if ids[one.says.id] == 1}
    return Catalog(served, tuple(problems))


def load_workflow(path: Path) -> Workflow | list[Problem]:
    """Read one file: a workflow, or everything that is wrong with it."""
    try:
        content = read_file(path)
        document = read_document(content)
        if not isinstance(document.data, dict):
            raise DocumentError("not a mapping of keys to values", 1)
        if document.wrong:
            return [Problem(path, message, line) for line, message in document.wrong]
        says = WorkflowFile.model_validate(document.data)
    except OSError as error:
        return [Problem(path, f"cannot be read: {error.strerror}")]
    except DocumentError as error:
        return [Problem(path, str(error), error.line)]
    except ValidationError as error:
        return [_problem(path, document, one["loc"], one["msg"]) for one in error.errors(include_url=False)]
    return Workflow(says, path.absolute(), hashlib.sha256(content).hexdigest())


def _problem(path: Path, document: Document, place: tuple[int | str, ...], message: str) -> Problem:
    where = path_of(document.known(place))
    words = message.removeprefix("Value error, ").replace("Extra inputs are not permitted", "unknown key")
    return Problem(path, f"{where}: {words}" if where else words, document.line(place))
