"""The workflow catalog: a folder of YAML files that people write, one workflow each.

A broken file is named, with its line, and the others work. Of files that claim one id none is served:
which of them a command meant cannot be known, and running the wrong one cannot be taken back."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from remediation_orchestrator.documents.reader import (
    Document,
    DocumentError,
    Place,
    path_of,
    read_document,
    read_file,
)

from .engine import EngineType
from .engines import ENGINES
from .workflow_file import Workflow, WorkflowFile, engine_of

T = TypeVar("T", bound=BaseModel)

ENDINGS = (".yaml", ".yml")


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
    ids = Counter(one.spec.id for one in whole)
    for one in whole:
        if ids[one.spec.id] > 1:
            others = ", ".join(two.path.name for two in whole if two.spec.id == one.spec.id and two is not one)
            problems.append(Problem(one.path, f"id {one.spec.id!r} is also claimed by {others}: none is served"))
    served = {one.spec.id: one for one in whole if ids[one.spec.id] == 1}
    return Catalog(served, tuple(problems))


def load_workflow(path: Path) -> Workflow | list[Problem]:
    """Read one file: a workflow, or everything that is wrong with it."""
    try:
        content = read_file(path)
        document = read_document(content)
        if not isinstance(document.data, dict):
            raise DocumentError("not a mapping of keys to values", 1)
    except OSError as error:
        return [Problem(path, f"cannot be read: {error.strerror}")]
    except DocumentError as error:
        return [Problem(path, str(error), error.line)]
    if document.wrong:
        return [Problem(path, message, line) for line, message in document.wrong]
    reading = _Reading(path, document)
    spec = reading.validate(WorkflowFile, document.data, ())
    engine = engine_of(document.data) or ""
    section = reading.section(engine, ENGINES[engine], document.data, spec) if engine in ENGINES else None
    if reading.problems or spec is None:
        return reading.problems
    return Workflow(spec, section, path.absolute(), hashlib.sha256(content).hexdigest())


class _Reading:
    """One file, as far as it was checked."""

    def __init__(self, path: Path, document: Document) -> None:
        self._path = path
        self._document = document
        self.problems: list[Problem] = []

    def validate(self, kind: type[T], data: object, place: Place) -> T | None:
        """What stands at a place; None where that is not what it should be."""
        try:
            return kind.model_validate(data)
        except ValidationError as error:
            for one in error.errors(include_url=False):
                self._complain((*place, *one["loc"]), one["msg"])
            return None

    def section(
        self, name: str, engine: EngineType, data: dict[str, object], spec: WorkflowFile | None
    ) -> BaseModel | None:
        """What the file says to its engine."""
        if name not in data:
            wanted = " and ".join(
                f"`{key}`" for key, one in engine.section.model_fields.items() if one.is_required()
            )
            self._complain((), f"the engine `{name}` wants a section `{name}` with {wanted}")
            return None
        section = self.validate(engine.section, data[name], (name,))
        if section is not None and spec is not None:
            try:
                engine.check(section, spec)
            except ValueError as error:
                self._complain((name,), str(error))
        return section

    def _complain(self, place: Place, message: str) -> None:
        where = path_of(self._document.known(place))
        words = message.removeprefix("Value error, ").replace("Extra inputs are not permitted", "unknown key")
        line = self._document.line(place)
        self.problems.append(Problem(self._path, f"{where}: {words}" if where else words, line))
