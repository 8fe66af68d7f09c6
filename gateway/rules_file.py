"""YAML files that people write for the door, read with messages for people. They are read once, when it opens."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from .items import line_of

T = TypeVar("T", bound=BaseModel)


class RulesFileError(ValueError):
    """A file that cannot be used: one line for each thing that is wrong, the file's name before it."""

    def __init__(self, file: Path, lines: list[str]) -> None:
        super().__init__("\n".join(f"{file}: {line}" for line in lines))


def load(file: Path, kind: type[T]) -> T:
    """Read a file. RulesFileError names everything that is wrong with it, and quotes no value of it."""
    try:
        read = yaml.safe_load(file.read_text(encoding="utf-8"))
        return kind.model_validate({} if read is None else read)
    except OSError as error:
        raise RulesFileError(file, [error.strerror or "cannot be read"]) from error
    except UnicodeDecodeError as error:
        raise RulesFileError(file, [f"byte {error.start}: not UTF-8"]) from error
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise RulesFileError(
            file, [f"{place}not YAML: {getattr(error, 'problem', None) or 'it cannot be read'}"]
        ) from error
    except ValidationError as error:
        lines = [
            line_of(one["loc"], one["msg"].replace("Extra inputs are not permitted", "unknown key"))
            for one in error.errors(include_url=False, include_input=False)
        ]
        raise RulesFileError(file, [line.replace("body: ", "", 1) for line in lines]) from error
