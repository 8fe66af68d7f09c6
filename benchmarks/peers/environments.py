"""An environment of its own for each peer, with the locked versions, made by uv; nothing of ours is in it."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.systems import System
from benchmarks.stage import ROOT

FOLDER = ROOT / ".peers"


class MissingError(Exception):
    """A peer cannot be had here, and why, in one line."""


def python(system: System, folder: Path, *, install: bool) -> Path:
    """The Python that has the peer, installed first where that is wanted."""
    environment = folder / system.package
    found = environment / "bin" / "python"
    if install and (uv := _uv()):
        _sync(uv, system.group, environment)
    if not found.exists():
        raise MissingError(f"{system.name}: not installed in {environment}, which uv would make")
    return found


def version(system: System, interpreter: Path) -> str:
    """Which release of the peer that environment has."""
    packages = [str(path) for path in interpreter.parents[1].glob("lib/python*/site-packages")]
    found = importlib.metadata.distributions(name=system.package, path=packages)
    return next(one.version for one in found)


def _sync(uv: str, group: str, environment: Path) -> None:
    command = [uv, "sync", "--locked", "--quiet", "--only-group", group, "--python", sys.executable]
    where = {"UV_PROJECT_ENVIRONMENT": str(environment), "UV_PYTHON_DOWNLOADS": "never"}
    ran = subprocess.run(command, cwd=ROOT, env={**os.environ, **where}, capture_output=True, text=True)
    if ran.returncode:
        lines = ran.stderr.strip().splitlines() or ["uv said nothing"]
        raise MissingError(f"{group}: {lines[-1].strip()}")


def _uv() -> str | None:
    own = ROOT / ".uv" / "bin" / "uv"
    return os.environ.get("UV") or shutil.which("uv") or (str(own) if own.exists() else None)
