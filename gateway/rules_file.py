"""Files that people write for the door, read with messages for people. They are read once, when it opens."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from remediation_orchestrator.documents.reader import DocumentError, read_document, read_file

from .items import line_of

T = TypeVar("T", bound=BaseModel)


class RulesFileError(ValueError):
    """A file that cannot be used: one line for each thing that is wrong, with the file and the line before it."""

    def __init__(self, file: Path, wrong: list[tuple[int | None, str]]) -> None:
        super().__init__(
            "\n".join(f"{file}:{line}: {what}" if line else f"{file}: {what}" for line, what in wrong)
        )


def load(file: Path, kind: type[T]) -> T:
    """Read a file. RulesFileError names everything that is wrong with it, and quotes no value of it."""
    try:
        document = read_document(read_file(file))
    except OSError as error:
        raise RulesFileError(file, [(None, error.strerror or "cannot be read")]) from error
    except DocumentError as error:
        raise RulesFileError(file, [(error.line, str(error))]) from error
    wrong: list[tuple[int | None, str]] = list(document.wrong)
    try:
        read = kind.model_validate({} if document.data is None else document.data)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            said = line_of(one["loc"], one["msg"].replace("Extra inputs are not permitted", "unknown key"))
            wrong.append((document.line(one["loc"]), said.removeprefix("body: ")))
    if wrong:
        raise RulesFileError(file, wrong)
    return read
