"""The catalog's folder while it is in use: a file is read again when it has changed, and no other with it.

What is wrong with a file is said once, however often it is asked for."""

import logging
from pathlib import Path
from typing import TypeAlias

from .catalog import Catalog, Problem, Workflow, catalog_of, files_of, load_workflow

log = logging.getLogger(__name__)

_Signature: TypeAlias = tuple[int, int, int]
_Read: TypeAlias = tuple[_Signature, Workflow | list[Problem]]


class CatalogFolder:
    """Calling it gives the catalog as the folder has it now; an unreadable folder leaves the last one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Path, _Read] = {}
        self._catalog = Catalog()
        self._said: set[str] = set()

    def __call__(self) -> Catalog:
        """Return the catalog, with each file read again that came or changed."""
        try:
            signed = {path: _sign(path) for path in files_of(self._folder)}
        except OSError as error:
            self._say({f"{self._folder}: cannot be read: {error.strerror}"}, "catalog unread")
            return self._catalog
        if signed != {path: read[0] for path, read in self._files.items()}:
            self._files = {path: self._read(path, signature) for path, signature in signed.items()}
            self._catalog = catalog_of({path: read[1] for path, read in self._files.items()})
        self._say({str(problem) for problem in self._catalog.problems}, "workflow not served")
        return self._catalog

    def _read(self, path: Path, signature: _Signature) -> _Read:
        before = self._files.get(path)
        return before if before is not None and before[0] == signature else (signature, load_workflow(path))

    def _say(self, problems: set[str], what: str) -> None:
        for problem in sorted(problems - self._said):
            log.warning(what, extra={"problem": problem})
        self._said = problems


def _sign(path: Path) -> _Signature:
    """What changes with a file."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
