"""Policy files: what people write, checked for people. Text in, a complete policy as plain data out.

A file that is wrong in any point is refused whole, with one line for each point naming file and line;
a key that is left out takes its default. No routing happens here."""

import difflib
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Struct
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import ErrorDetails

from remediation_orchestrator.documents.reader import DocumentError, path_of, read_document, read_file

from .routing.durations import format_duration, parse_duration
from .routing.policy import DEFAULT, Policy, PolicyError, RoutingPolicy, Timeouts, policy_of
from .routing.policy import Count as CoreCount
from .routing.policy import Share as CoreShare

Location = tuple[int | str, ...]


class PolicyFileError(ValueError):
    """A policy file that is refused: one line for each thing that is wrong, with file and line."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def _duration(value: object) -> timedelta:
    if not isinstance(value, str):
        raise ValueError(f"a duration is written as 90s, 5m or 1h30m, not {value!r}")
    if value.startswith("-"):
        raise ValueError(f"a duration is not negative: {value}")
    return parse_duration(value)


Duration = Annotated[timedelta, PlainValidator(_duration), PlainSerializer(format_duration)]
# Every key may be left out, and none may be empty: the default is the core's.
UNSAID: Any = None
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, StringConstraints(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _section_of(section: type[Struct]) -> type[_Section]:
    """A section of the core's policy, as people write it: every number that the core has, and no other."""
    keys: dict[str, Any] = {key.name: (_written(key.type), UNSAID) for key in msgspec.structs.fields(section)}
    return create_model(f"_{section.__name__}", __base__=_Section, **keys)


def _written(kind: Any) -> Any:
    kinds = {type(None): None, timedelta: Duration, CoreCount: Count, CoreShare: Share}
    return next(filter(None, (kinds[one] for one in get_args(kind) or (kind,))))


_Routing, _Timeouts = _section_of(RoutingPolicy), _section_of(Timeouts)


class _TargetPattern(_Section):
    cluster: Text = UNSAID
    namespace: Text = UNSAID
    kind: Text = UNSAID
    name: Text = UNSAID

    @model_validator(mode="after")
    def _names_something(self) -> "_TargetPattern":
        if not self.model_fields_set:
            raise ValueError("a pattern names at least one of cluster, namespace, kind, name")
        return self


class _Scope(_Section):
    exclude: list[_TargetPattern] = UNSAID


class _Policy(_Section):
    routing: _Routing = UNSAID  # type: ignore[valid-type]
    timeouts: _Timeouts = UNSAID  # type: ignore[valid-type]
    scope: _Scope = UNSAID


class PolicyFile(Struct, frozen=True):
    """What a file states: the complete policy, and which of its keys the file says itself (`routing.jitter`)."""

    document: dict[str, object]
    said: frozenset[str]


def load(path: Path | str) -> dict[str, object]:
    """The complete policy of a file. PolicyFileError names everything that is wrong with it."""
    return read(path).document


def read(path: Path | str) -> PolicyFile:
    """Read a policy file. PolicyFileError names everything that is wrong with it."""
    try:
        content = read_file(Path(path))
    except OSError as error:
        raise PolicyFileError([f"{path}: cannot be read: {error.strerror}"]) from error
    except DocumentError as error:
        raise PolicyFileError([f"{path}: {error}"]) from error
    return _read(content, str(path))


def parse(content: bytes | str, name: str) -> dict[str, object]:
    """Return the complete policy that a file states, canonical and JSON-able; `name` is for the messages."""
    return _read(content, name).document


def _read(content: bytes | str, name: str) -> PolicyFile:
    try:
        document = read_document(content)
    except DocumentError as error:
        raise PolicyFileError([f"{name}:{error.line or 1}: {error}"]) from error
    wrong = document.wrong
    try:
        said = _Policy.model_validate(_sections(document.data)).model_dump(exclude_unset=True)
        complete: dict[str, object] = _plain(policy_of(_over_defaults(said)))
    except ValidationError as error:
        wrong = wrong + [(document.line(one["loc"]), _message(one)) for one in error.errors(include_url=False)]
    except PolicyError as error:  # What only the core can say of a policy; it begins with the key.
        wrong = [*wrong, (document.line(_place_in(str(error))), str(error))]
    if wrong:
        raise PolicyFileError([f"{name}:{line}: {message}" for line, message in sorted(wrong)])
    return PolicyFile(complete, frozenset(f"{section}.{key}" for section, keys in said.items() for key in keys))


def _place_in(message: str) -> Location:
    """The place with which a message begins: `scope.exclude[0].name: ...`."""
    parts = re.findall(r"[^.\[\]]+", message.partition(":")[0])
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def _over_defaults(said: dict[str, dict[str, object]]) -> dict[str, object]:
    sections: dict[str, dict[str, object]] = _plain(DEFAULT)
    return {section: {**keys, **said.get(section, {})} for section, keys in sections.items()}


def _plain(policy: Policy) -> Any:
    return msgspec.json.decode(msgspec.json.encode(policy.document()))


def _sections(data: object) -> object:
    """A file or a section with nothing in it, or with comments only, takes its defaults."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        return data
    return {key: {} if value is None else value for key, value in data.items()}


def _message(error: ErrorDetails) -> str:
    location, value, context = error["loc"], error["input"], error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(location)
        case "greater_than_equal":
            message = f"must be at least {context['ge']:g}, not {value}"
        case "less_than_equal":
            message = f"must be at most {context['le']:g}, not {value}"
        case "int_type":
            message = f"must be a whole number, not {value!r}"
        case "float_type":
            message = f"must be a number, not {value!r}"
        case "string_too_short":
            message = "must not be empty"
        case "string_type":
            message = f"must be text, not {value!r}"
        case "list_type":
            message = "must be a list"
        case "model_type" | "model_attributes_type":
            message = "must be a section of keys"
        case _:
            message = error["msg"].removeprefix("Value error, ")
    return f"{path_of(location) or 'the policy'}: {message}"


def _unknown_key(location: Location) -> str:
    known = _keys_beside(location)
    nearest = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known here: {', '.join(known)}"
    return f"unknown key {path_of(location)}; {hint}"


def _keys_beside(location: Location) -> list[str]:
    sections: dict[Location, type[BaseModel]] = {(): _Policy}
    sections |= {("routing",): _Routing, ("timeouts",): _Timeouts, ("scope",): _Scope}
    return list(sections.get(location[:-1], _TargetPattern).model_fields)


DEFAULTS: dict[str, object] = _plain(DEFAULT)
