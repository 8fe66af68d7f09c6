"""Policy files: what people write, checked for people. Text in, a complete policy as plain data out.

A file that is wrong in any point is refused whole, with one line for each point naming file and line;
a key that is left out takes its default. No routing happens here."""

import difflib
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

# Longer than any log is kept, and short enough that no time of ours overflows.
DURATION_MAX = timedelta(days=3650)
UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_DURATION = re.compile("".join(rf"(?:([0-9]{{1,15}}){unit})?" for unit in UNITS))

Location = tuple[int | str, ...]


class PolicyFileError(ValueError):
    """A policy file that is refused: one line for each thing that is wrong, with file and line."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def parse_duration(value: object) -> timedelta:
    """Read `90s`, `5m`, `1h30m`; units d, h, m, s and ms, the larger first. ValueError says what is wrong."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if isinstance(value, str) and value.startswith("-"):
        raise ValueError(f"a duration is not negative: {value}")
    if not value or match is None:
        raise ValueError(f"must be a duration such as 90s, 5m or 1h30m, not {value!r}")
    amounts = zip(match.groups(), UNITS.values(), strict=True)
    microseconds = sum(int(amount or 0) * (unit // timedelta(microseconds=1)) for amount, unit in amounts)
    if microseconds > DURATION_MAX // timedelta(microseconds=1):
        raise ValueError(f"at most {DURATION_MAX.days}d, not {value}")
    return timedelta(microseconds=microseconds)


def format_duration(duration: timedelta) -> str:
    """Write a duration with the largest unit that divides it exactly: 90s, 5m, 1d."""
    if not duration:
        return "0s"
    unit = next(unit for unit, length in UNITS.items() if not duration % length)
    return f"{duration // UNITS[unit]}{unit}"


Duration = Annotated[timedelta, PlainValidator(parse_duration), PlainSerializer(format_duration)]
Text = Annotated[str, StringConstraints(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Routing(_Section):
    consecutive_failure_threshold: int = Field(default=3, ge=1)
    consecutive_failure_cooldown: Duration = timedelta(hours=1)
    retry_limit: int = Field(default=5, ge=1)
    failure_memory: Duration = timedelta(hours=24)
    backoff_base: Duration = timedelta(minutes=1)
    backoff_cap: Duration = timedelta(minutes=10)
    jitter: float = Field(default=0.1, ge=0, le=1)
    signal_cooldown: Duration = timedelta(minutes=5)
    workflow_cooldown: Duration = timedelta(minutes=5)
    signal_max_age: Duration = timedelta(minutes=15)


class _Timeouts(_Section):
    starting: Duration = timedelta(minutes=5)
    analyzing: Duration = timedelta(minutes=10)
    executing: Duration = timedelta(minutes=30)
    approval: Duration = timedelta(minutes=15)
    verifying: Duration = timedelta(minutes=30)


class _TargetPattern(_Section):
    cluster: Text | None = None
    namespace: Text | None = None
    kind: Text | None = None
    name: Text | None = None

    @model_validator(mode="after")
    def _names_something(self) -> "_TargetPattern":
        if not self.model_fields_set:
            raise ValueError("a pattern names at least one of cluster, namespace, kind, name")
        return self


class _Scope(_Section):
    exclude: list[_TargetPattern] = []


class _Policy(_Section):
    routing: _Routing = _Routing()
    timeouts: _Timeouts = _Timeouts()
    scope: _Scope = _Scope()


def load(path: Path | str) -> dict[str, object]:
    """Read a policy file. PolicyFileError names everything that is wrong with it."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyFileError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise PolicyFileError([f"{path}: not UTF-8 text"]) from error
    return parse(text, str(path))


def parse(text: str, name: str) -> dict[str, object]:
    """Return the complete policy that `text` states, canonical and JSON-able; `name` is for the messages."""
    document = _Document(text)
    wrong = document.wrong
    try:
        policy = _Policy.model_validate(document.data)
    except ValidationError as error:
        wrong = wrong + [(document.line(one["loc"]), _message(one)) for one in error.errors(include_url=False)]
    if wrong:
        raise PolicyFileError([f"{name}:{line}: {message}" for line, message in sorted(wrong)])
    return policy.model_dump(exclude_none=True)


class _Document:
    """A YAML document as plain data, the line of every value and key in it, and what YAML itself finds wrong."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Location, int] = {}
        self.wrong: list[tuple[int, str]] = []
        self.data: object = {}
        try:
            if self._refuses_aliases(text):
                return
            self._loader = yaml.SafeLoader(text)
            node = self._loader.get_single_node()
            self.data = {} if node is None else self._value(node, ())
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self.wrong.append((line, f"not YAML: {error.problem or error.context}"))
        except (yaml.YAMLError, RecursionError) as error:
            self.wrong.append((1, f"not YAML: {str(error).splitlines()[0]}"))

    def line(self, location: Location) -> int:
        """Return the line of a place, or of the nearest place around it."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)

    def _refuses_aliases(self, text: str) -> bool:
        # An alias may contain itself, and a few of them may stand for gigabytes; a policy needs none.
        found = [token for token in yaml.scan(text, yaml.SafeLoader) if isinstance(token, yaml.AliasToken)]
        self.wrong += [(token.start_mark.line + 1, f"write it out: alias *{token.value}") for token in found]
        return bool(found)

    def _value(self, node: yaml.Node, location: Location) -> object:
        self.lines.setdefault(location, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(one, (*location, index)) for index, one in enumerate(node.value)]
        try:
            value: object = self._loader.construct_object(node)
        except ValueError:  # Looks like a date or a number, and is none: text.
            return str(node.value)
        # A section with nothing in it, or with comments only, takes its defaults.
        return {} if value is None and len(location) < 2 else value

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.wrong.append((line, "a key must be one word"))
                continue
            key = str(key_node.value)
            place = (*location, key)
            if key in found:
                first = self.lines[place]
                self.wrong.append((line, f"{_path(place)}: said twice, first on line {first}"))
                continue
            self.lines[place] = line
            found[key] = self._value(value_node, place)
        return found


def _path(location: Location) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


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
    return f"{_path(location) or 'the policy'}: {message}"


def _unknown_key(location: Location) -> str:
    known = _keys_beside(location)
    nearest = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known here: {', '.join(known)}"
    return f"unknown key {_path(location)}; {hint}"


def _keys_beside(location: Location) -> list[str]:
    sections: dict[Location, type[BaseModel]] = {(): _Policy}
    sections |= {("routing",): _Routing, ("timeouts",): _Timeouts, ("scope",): _Scope}
    return list(sections.get(location[:-1], _TargetPattern).model_fields)


DEFAULTS: dict[str, object] = parse("", "defaults")
