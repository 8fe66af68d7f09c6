"""What is wrong with a value, in words for the person who wrote it: what it must be, and which key is meant."""

import difflib
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from remediation_orchestrator.events.places import Place, path_of

# How alike a key has to be for somebody to have meant it: half of its letters.
ALIKE = 0.5
_KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a section of keys",
    "model_type": "a section of keys",
}
"""What a value must be, by what pydantic calls the error."""


def words_of(error: ErrorDetails, place: Place, kind: type[BaseModel], *, secret: bool) -> str:
    """One line without the file: the place, and what is wrong there. A secret value is not quoted.

    `kind` is what the whole of it should be; `place` is where it stands, as people see it."""
    if error["type"] == "extra_forbidden":
        return _unknown_key(place, error["loc"], kind)
    if error["type"] == "value_error":  # Our own words.
        message = error["msg"].removeprefix("Value error, ")
        return f"{path_of(place)}: {message}" if place else message
    message = _must_be(error, secret=secret)
    return f"{path_of(place) or 'the file'}: {message}"


def _must_be(error: ErrorDetails, *, secret: bool) -> str:
    value, context = error["input"], error.get("ctx", {})
    quoted = "" if secret else f", not {'null' if value is None else repr(value)}"
    match error["type"]:
        case "greater_than_equal":
            return f"must be at least {context['ge']:g}{quoted}"
        case "less_than_equal":
            return f"must be at most {context['le']:g}{quoted}"
        case "int_type" | "float_type" | "string_type" | "bool_type" as name:
            return f"must be {_KINDS[name]}{quoted}"
        case name if name in _KINDS:
            return f"must be {_KINDS[name]}"
        case "string_too_short" if context["min_length"] == 1:
            return "must not be empty"
        case _:
            message = error["msg"].replace("Input should be", "must be")
            return f"{message[:1].lower()}{message[1:]}"


def _unknown_key(place: Place, location: Place, kind: type[BaseModel]) -> str:
    known = sorted(_keys_beside(location, kind))
    inside = sorted(
        f"{key}.{location[-1]}" for key in known if location[-1] in _keys_inside((*location[:-1], key), kind)
    )
    nearest = inside or difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=ALIKE)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known here: {', '.join(known)}"
    return f"unknown key {path_of(place)}; {hint}"


def _keys_beside(location: Place, kind: object) -> set[str]:
    """The keys that are known where the last of a location stands."""
    return _keys_inside(location[:-1], kind)


def _keys_inside(location: Place, kind: object) -> set[str]:
    """The keys that are known of what stands at a location."""
    kinds = [kind]
    for part in location:
        kinds = [inner for one in kinds for inner in _inside(one, part)]
    return {
        key for one in kinds if isinstance(one, type) and issubclass(one, BaseModel) for key in one.model_fields
    }


def _inside(kind: Any, part: int | str) -> Iterator[object]:
    """Return what may stand at a key or an index of a kind of value."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        yield from () if field is None else _plain(field.annotation)
    elif get_args(kind):
        yield from _plain(get_args(kind)[-1 if isinstance(part, str) else 0])


def _plain(kind: Any) -> Iterator[object]:
    """A kind of value without what is said beside it; of several each."""
    if get_origin(kind) is Annotated:
        yield from _plain(get_args(kind)[0])
    elif isinstance(kind, type) or get_origin(kind) in (list, dict, tuple):
        yield kind
    else:
        for one in get_args(kind):
            yield from _plain(one)
