"""The workflow catalog: a folder of YAML files that people write, one workflow each.

A broken file is named, with its line, and the others work. Of files that claim one id none is served:
which of them a command meant cannot be known, and running the wrong one cannot be taken back."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from remediation_orchestrator.documents.files import File, FileError, Mistake, open_file

from .engines import ENGINES
from .workflow_file import Workflow, WorkflowFile, engine_of

ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True)
class Catalog:
    """All workflows that are whole, by id and in the order of their files' names, and what is wrong."""

    workflows: dict[str, Workflow] = field(default_factory=dict)
    problems: tuple[Mistake, ...] = ()
    unread: str | None = None
    """Why its folder cannot be read: nobody knows then what it has."""


def files_of(folder: Path) -> list[Path]:
    """The catalog's files, by name. Raises OSError where the folder cannot be read."""
    return sorted(path for path in folder.iterdir() if path.suffix in ENDINGS and path.is_file())


def load_catalog(folder: Path) -> Catalog:
    """Read every workflow of a folder. A broken file becomes a problem; only an unreadable folder raises."""
    return catalog_of({path: load_workflow(path) for path in files_of(folder)})


def catalog_of(files: Mapping[Path, Workflow | list[Mistake]]) -> Catalog:
    """Gather what was read of each file. Of files with one id none is served."""
    whole = [read for read in files.values() if isinstance(read, Workflow)]
    problems = [problem for read in files.values() if isinstance(read, list) for problem in read]
    ids = Counter(one.spec.id for one in whole)
    for one in whole:
        if ids[one.spec.id] > 1:
            others = ", ".join(two.path.name for two in whole if two.spec.id == one.spec.id and two is not one)
            problems.append(Mistake(one.path, f"id {one.spec.id!r} is also claimed by {others}: none is served"))
    served = {one.spec.id: one for one in whole if ids[one.spec.id] == 1}
    return Catalog(served, tuple(problems))


def load_workflow(path: Path) -> Workflow | list[Mistake]:
    """Read one file: a workflow, or everything that is wrong with it."""
    try:
        file = open_file(path)
        spec = file.check(WorkflowFile, file.data)
        section = _read_section(file, spec)
        spec = file.whole(spec)
    except FileError as error:
        return error.mistakes
    return Workflow(spec, section, path.absolute(), hashlib.sha256(file.content).hexdigest())


def _read_section(file: File, spec: WorkflowFile | None) -> BaseModel | None:
    """Return what a file says to its engine, if that is here."""
    name = engine_of(file.data) or ""
    engine = ENGINES.get(name)
    if engine is None or not isinstance(file.data, dict):
        return None
    if name not in file.data:
        wanted = " and ".join(f"`{key}`" for key, one in engine.section.model_fields.items() if one.is_required())
        file.complain((), f"the engine `{name}` wants a section `{name}` with {wanted}")
        return None
    section = file.check(engine.section, file.data[name], (name,))
    if section is not None and spec is not None:
        try:
            engine.check(section, spec)
        except ValueError as error:
            file.complain((name,), str(error))
    return section
