"""The catalog's folder while it is in use: read again when one of its files has changed."""

import logging
from pathlib import Path

from .catalog import Catalog, files_of, load_catalog

log = logging.getLogger(__name__)

_Signature = tuple[tuple[str, int, int], ...]


class CatalogFolder:
    """Calling it gives the catalog as the folder has it now; an unreadable folder leaves the last one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._signature: _Signature | None = None
        self._catalog = Catalog()

    def __call__(self) -> Catalog:
        """Return the catalog, read again if a file came, went or changed."""
        try:
            signature = self._sign()
            if signature != self._signature:
                self._catalog = load_catalog(self._folder)
                self._signature = signature
                for problem in self._catalog.problems:
                    log.warning("workflow not served", extra={"problem": str(problem)})
        except OSError as error:
            log.warning("catalog unread", extra={"folder": str(self._folder), "error": error.strerror})
        return self._catalog

    def _sign(self) -> _Signature:
        found = [(path.name, path.stat()) for path in files_of(self._folder)]
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)
