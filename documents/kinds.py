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


Duration = Annotated[timedelta, PlainValidator(_duration)]


def model_of(kind: type[Struct]) -> type[BaseModel]:
    """One of our types as people write it: every key that it has, each of which may be left out, and no other.

    Its own bounds hold. A section with nothing in it leaves all of its keys out, and a text is not empty."""
    fields: dict[str, Any] = {one.name: (_written(one.type), None) for one in _struct(kind).fields}
    return create_model(kind.__name__, __base__=Written, **fields)


def _struct(kind: type[Struct]) -> inspect.StructType:
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType)
    return found


def _written(kind: inspect.Type) -> Any:
    match kind:
        case inspect.UnionType(types=types):
            (only,) = (one for one in types if not isinstance(one, inspect.NoneType))
            return _written(only)
        case inspect.StructType(cls=cls):
            return Annotated[model_of(cls), BeforeValidator(lambda said: {} if said is None else said)]
        case inspect.VarTupleType(item_type=item):
            return list[_written(item)]  # type: ignore[misc]
        case inspect.IntType(ge=least, le=most):
            return Annotated[int, Field(ge=least, le=most)]
        case inspect.FloatType(ge=least, le=most):
            return Annotated[float, Field(ge=least, le=most)]
        case inspect.StrType():
            return Annotated[str, Field(min_length=1)]
        case inspect.TimeDeltaType():
            return Duration
        case _:
            raise TypeError(f"nobody has written a {type(kind).__name__} yet")
