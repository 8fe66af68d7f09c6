"""The pages that a reader follows: their blocks, and a terminal in which they are run as they are printed.

A block says in its first line what it is. `sh` is typed line by line into a terminal, `sh stays` into one of its
own, where its last line goes on; `text` right behind it is what its last line prints. What else stands in a page
is read by its own reader, or is a `figure`, which nobody prints."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# A verb takes half a second, and the machine may be busy.
PATIENCE = 60.0
_FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(Struct, frozen=True):
    """One block of a page."""

    kind: str
    body: str
    prints: str | None = None
    """What stands behind it as its output."""

    @property
    def commands(self) -> list[str]:
        """What is typed: its lines without their remarks."""
        lines = (line.partition("  #")[0].partition(" # ")[0].strip() for line in self.body.splitlines())
        return [line for line in lines if line]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page in their order, each output with what prints it."""
    text = page.read_text()
    found = list(_FENCED.finditer(text))
    for number, one in enumerate(found):
        behind = found[number + 1] if number + 1 < len(found) else None
        printed = behind is not None and behind[1] == "text" and not text[one.end() : behind.start()].strip()
        yield Block(one[1], one[2], behind[2] if behind is not None and printed else None)


def clone(folder: Path) -> Path:
    """A folder as a reader's clone is, after `make test`, as far as its pages speak of it."""
    for name in ("examples", "docs", "Makefile"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    return folder


class Terminal:
    """A reader's shell in a folder: what it exports, later lines know."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"}

    def run(self, command: str) -> str:
        """Type a line, and return what it prints. AssertionError where it fails."""
        kept = self._folder / ".environment"
        done = subprocess.run(
            ["/bin/sh", "-c", f"{command}\nstatus=$?; env -0 > {kept}; exit $status"],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        self._environment = dict(one.split("=", 1) for one in kept.read_text().split("\0") if one)
        return done.stdout

    def begin(self, command: str) -> "subprocess.Popen[str]":
        """Type a line that goes on."""
        return subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )


def alike(command: str, text: str) -> list[str]:
    """What of an output is the same each time: of an exported log all of it, else neither times nor digests."""
    lines = [line.rstrip() for line in text.rstrip().splitlines()]
    if "--log " in command:
        return lines
    return [re.sub(r"\d+", "0", re.sub(r"\b[0-9a-f]{8,}\b", "#", line)) for line in lines]


def environment(**more: str) -> dict[str, str]:
    """Our own, with the commands of this environment in front."""
    here = Path(sys.executable).parent
    return {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}", **more}
