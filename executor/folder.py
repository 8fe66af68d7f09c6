"""The catalog's folder while it is in use: a file is read again when it has changed, and no other with it.

What is wrong with a file is said once, however often it is asked for."""

import asyncio
import logging
from pathlib import Path
from typing import TypeAlias

from remediation_orchestrator.documents.files import Mistake

from .catalog import Catalog, catalog_of, files_of, load_workflow
from .workflow_file import Workflow

log = logging.getLogger(__name__)

_Signature: TypeAlias = tuple[int, int, int]
_Read: TypeAlias = tuple[_Signature, Workflow | list[Mistake]]


class CatalogFolder:
    """Calling it gives the catalog as the folder had it at the last refresh."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Path, _Read] = {}
        self._catalog = Catalog()
        self._said: set[str] = set()
        self._looking = asyncio.Lock()

    def __call__(self) -> Catalog:
        """Return the catalog."""
        return self._catalog

    async def refresh(self) -> None:
        """Read each file again that came or changed, beside the event loop: claims are confirmed meanwhile."""
        async with self._looking:
            self._catalog = await asyncio.to_thread(self._look)
        if self._catalog.unread is not None:
            self._say({self._catalog.unread}, "catalog unread")
        else:
            self._say({str(problem) for problem in self._catalog.problems}, "workflow not served")

    def _look(self) -> Catalog:
        try:
            signed = {path: _sign(path) for path in files_of(self._folder)}
        except OSError as error:
            return Catalog(unread=f"{self._folder}: cannot be read: {error.strerror}")
        if self._catalog.unread is None and signed == {path: read[0] for path, read in self._files.items()}:
            return self._catalog
        self._files = {path: self._read(path, signature) for path, signature in signed.items()}
        return catalog_of({path: read[1] for path, read in self._files.items()})

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
