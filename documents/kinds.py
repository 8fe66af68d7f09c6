"""Kinds of values that people write: durations, and whatever one of our own types holds, as people write it."""

from datetime import timedelta
from typing import Annotated, Any

from msgspec import Struct, inspect
from pydantic import BaseModel, BeforeValidator, Field, PlainValidator, create_model

from remediation_orchestrator.events.durations import parse_duration

from .files import Written


def _duration(value: object) -> timedelta:
    if isinstance(value, str) and value.startswith("-"):
        raise ValueError(f"a duration is not negative: {value}")
    return parse_duration(value)


NUMBERS = (inspect.IntType, inspect.FloatType, inspect.TimeDeltaType)
# A file has sections, and these have numbers: null silences one that may be absent, and nothing of a matcher.
SECTION_DEPTH = 2
Duration = Annotated[timedelta, PlainValidator(_duration)]


def model_of(kind: type[Struct]) -> type[BaseModel]:
    """One of our types as people write it: every key that it has, each of which may be left out, and no other.

    Its own bounds hold. A section with nothing in it leaves all of its keys out. A text is not empty, but where
    one of several may stand."""
    return _model(_struct(kind), {})


def _struct(kind: type[Struct]) -> inspect.StructType:
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType)
    return found


def _model(kind: inspect.StructType, around: dict[type, str]) -> type[BaseModel]:
    """The model of a kind; `around` are the kinds in which it stands, each of which may stand in it again."""
    name = kind.cls.__name__
    inside = {**around, kind.cls: name}
    fields: dict[str, Any] = {one.encode_name: (_written(one.type, inside), None) for one in kind.fields}
    return create_model(name, __base__=Written, **fields)


def _written(kind: inspect.Type, around: dict[type, str]) -> Any:
    match kind:
        case inspect.UnionType(types=types):
            some = [one for one in types if not isinstance(one, inspect.NoneType)]
            if len(some) > 1:
                return _text_or_texts(some)
            silenced = len(around) == SECTION_DEPTH and isinstance(some[0], NUMBERS)
            return _written(some[0], around) | None if silenced else _written(some[0], around)
        case inspect.StructType(cls=cls) if cls in around:
            return around[cls]
        case inspect.StructType():
            return Annotated[_model(kind, around), BeforeValidator(lambda said: {} if said is None else said)]
        case inspect.VarTupleType(item_type=item):
            return list[_written(item, around)]  # type: ignore[misc]
        case inspect.DictType(value_type=value):
            return dict[str, _written(value, around)]  # type: ignore[misc]
        case inspect.IntType(ge=least, le=most):
            return Annotated[int, Field(ge=least, le=most)]
        case inspect.FloatType(ge=least, le=most):
            return Annotated[float, Field(ge=least, le=most)]
        case inspect.StrType(max_length=most):
            return Annotated[str, Field(min_length=1, max_length=most)]
        case inspect.BoolType():
            return bool
        case inspect.TimeDeltaType():
            return Duration
        case _:
            raise TypeError(f"nobody has written a {type(kind).__name__} yet")


def _text_or_texts(kinds: list[inspect.Type]) -> Any:
    """A text, or a list of texts: which of both is meant is seen before it is looked at any closer."""
    text, _ = kinds
    assert isinstance(text, inspect.StrType)
    most = text.max_length

    def texts(value: object) -> object:
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, str):
                raise ValueError(f"must be text, or a list of texts, not {one!r}")
            if most is not None and len(one) > most:
                raise ValueError(f"a text has at most {most:,} characters")
        return value

    return Annotated[Any, PlainValidator(texts)]
