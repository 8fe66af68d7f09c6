"""Read a file that a person wrote into what it means, or say all that is wrong with it, each with its line.

One way for all of them: policies, workflows, and what the door is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from remediation_orchestrator.events.places import Place, path_of

from .reader import WRONG_MAX, DocumentError, read_document, read_file
from .words import words_of

T = TypeVar("T")
Kind = TypeVar("Kind", bound=BaseModel)


class Written(BaseModel):
    """What people write: an unknown key is refused, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True)
class Mistake:
    """What is wrong with a file, for the person who wrote it."""

    file: Path
    message: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.message}"


class FileError(ValueError):
    """A file that cannot be used: one line for each thing that is wrong, with the file and the line before it."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


class File:
    """A file as it was written, and what is wrong with it as far as it was looked at.

    `secret`: no message quotes a value of it."""

    def __init__(self, content: bytes, name: Path, *, secret: bool = False) -> None:
        """Raises FileError where it cannot be read at all."""
        self.content = content
        self._name = name
        self._secret = secret
        try:
            self._document = read_document(content)
        except DocumentError as error:
            raise FileError([Mistake(name, str(error), error.line)]) from error
        self.data = {} if self._document.data is None else self._document.data
        """What it says. One with nothing in it, or with comments only, leaves everything out."""
        self._mistakes = [Mistake(name, message, line) for line, message in self._document.wrong]

    @property
    def mistakes(self) -> list[Mistake]:
        """What is wrong with it, in the order of its lines."""
        return sorted(self._mistakes, key=lambda one: one.line or 0)

    def check(self, kind: type[Kind], data: object, place: Place = ()) -> Kind | None:
        """Return what stands at a place; None where something is wrong with that."""
        try:
            return kind.model_validate(data)
        except ValidationError as error:
            for one in error.errors(include_url=False)[:WRONG_MAX]:
                inside = (*place, *one["loc"])
                seen = inside if one["type"] == "missing" else self._document.known(inside)
                words = words_of(one, seen, kind, secret=self._secret)
                self._mistakes.append(Mistake(self._name, words, self._document.line(inside)))
            return None

    def complain(self, place: Place, message: str) -> None:
        """Say what else is wrong, and where."""
        where = path_of(self._document.known(place))
        line = self._document.line(place)
        self._mistakes.append(Mistake(self._name, f"{where}: {message}" if where else message, line))

    def whole(self, value: T | None) -> T:
        """Return what was read of it. Raises FileError where anything is wrong with it."""
        if value is None or self._mistakes:
            raise FileError(self.mistakes)
        return value


def open_file(path: Path, *, secret: bool = False) -> File:
    """Open a file. Raises FileError where it cannot be read at all."""
    try:
        content = read_file(path)
    except OSError as error:
        raise FileError([Mistake(path, f"cannot be read: {error.strerror}")]) from error
    except DocumentError as error:
        raise FileError([Mistake(path, str(error), error.line)]) from error
    return File(content, path, secret=secret)


def read(path: Path, kind: type[Kind], *, secret: bool = False) -> Kind:
    """Read a file. FileError names everything that is wrong with it."""
    file = open_file(path, secret=secret)
    return file.whole(file.check(kind, file.data))
