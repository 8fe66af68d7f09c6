"""Read a value from JSON, or all of a family in one pass, and say in one line what is wrong where it is none."""

from typing import Any, Literal, Protocol, TypeVar, Union, get_args

import msgspec
from msgspec import Raw

from .commands import Command
from .duplicates import StoredDecision
from .subjects import FACTS, Family

T = TypeVar("T")

_VERBATIM = ("parameters", "policy")
"""What is somebody else's to read, nulls and all."""
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


class UndecodableError(Exception):
    """What is wrong with one item, on its way to becoming an `Undecodable`."""

    def __init__(self, message: str, unknown_type: str | None = None) -> None:
        super().__init__(message)
        self.unknown_type = unknown_type


def read(decoder: msgspec.json.Decoder[T], item: bytes | Raw, kind: Any = None, where: str = "") -> T:
    """Decode, and where that fails once more without nulls: an optional value may be absent or null."""
    try:
        return decoder.decode(item)
    except msgspec.ValidationError as error:
        if kind is None or b"null" not in bytes(item):
            raise UndecodableError(_place(error, where)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableError(f"not JSON: {error}") from error
    try:
        converted: T = msgspec.convert(_without_nulls(msgspec.json.decode(item)), kind)
    except msgspec.ValidationError as error:
        raise UndecodableError(_place(error, where)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # The first look ended where it had seen enough.
        raise UndecodableError(f"not JSON: {error}") from error
    return converted


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: inner if key in _VERBATIM else _without_nulls(inner)
            for key, inner in value.items()
            if inner is not None
        }
    return value


def _place(error: msgspec.ValidationError, where: str) -> str:
    return str(error).replace("`$.", f"`{where}." if where else "`").replace(" - at `$`", "")


def decoder_of(kind: Any) -> msgspec.json.Decoder[Any]:
    """The one decoder of a kind of value."""
    found = _decoders.get(kind)
    if found is None:
        found = _decoders[kind] = msgspec.json.Decoder(kind)
    return found


HOME: dict[Family, tuple[type, ...]] = {
    **FACTS,
    Family.DECISION: get_args(StoredDecision),
    Family.COMMAND: get_args(Command),
}
"""What may be said on the subjects of each family."""


class _Told(Protocol):
    """A CloudEvent whose type has told how to read its data."""

    data: Any


def _told(family: Family) -> Any:
    """The CloudEvents of a family as one union, so that type and data are read in one pass."""
    version = ("specversion", Literal["1.0"])
    return Union[  # noqa: UP007 - of a tuple
        tuple(
            msgspec.defstruct(
                kind.__name__, [version, ("data", kind)], tag_field="type", tag=f"{kind.__name__}.v1", gc=False
            )
            for kind in HOME[family]
        )
    ]


ONE: dict[Family, msgspec.json.Decoder[_Told]] = {family: msgspec.json.Decoder(_told(family)) for family in Family}
MANY: dict[Family, msgspec.json.Decoder[list[_Told]]] = {
    family: msgspec.json.Decoder(list[_told(family)])  # type: ignore[misc]
    for family in Family
}
