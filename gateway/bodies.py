"""What a format of bodies is: a name at the door, and how such a body becomes items. Pure."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from http import HTTPStatus

import msgspec
from msgspec import Struct

from .identity import IdentityRules
from .items import Found, Item, Items, refuse

JSON = frozenset({"application/json"})


class Received(Struct, frozen=True):
    """A body, unpacked, and what its headers say of it."""

    media_type: str
    headers: Mapping[str, str]
    body: bytes


class Source(Struct, frozen=True):
    """One kind of body. `too_often` is what tells its sender to come again later."""

    name: str
    title: str
    convert: Callable[[Received, IdentityRules, datetime], Items]
    media_types: frozenset[str] = JSON
    too_often: HTTPStatus = HTTPStatus.TOO_MANY_REQUESTS


def normalise_items(items: Iterable[Item], identity: IdentityRules) -> Items:
    """Items whose source names the target itself, written as the rules want it."""
    return (_normalise(item, identity) for item in items)


def _normalise(item: Item, identity: IdentityRules) -> Item:
    if not isinstance(item, Found):
        return item
    signal = item.signal
    found = identity.normalise_identity(signal.name, signal.target, item.by, item.where)
    if isinstance(found, list):
        return refuse(item.where, found, msgspec.to_builtins(signal))
    if (found.name, found.target) == (signal.name, signal.target):
        return item
    signal = msgspec.structs.replace(signal, name=found.name, target=found.target)
    return msgspec.structs.replace(item, signal=signal, by=found.by)
