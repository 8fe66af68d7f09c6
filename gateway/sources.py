"""The kinds of bodies that the door reads, each under a name of its own: `POST /v1/<name>`. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus

import msgspec
from msgspec import Struct

from . import alertmanager, cloudevents, kubernetes
from .identity import DEFAULT, Identity
from .items import Found, Item, Items, Refused, WebhookError, refused
from .mapping import Mapping as BodyMapping
from .processing import NONE, Processing

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
    convert: Callable[[Received, Identity, datetime], Items]
    media_types: frozenset[str] = JSON
    too_often: HTTPStatus = HTTPStatus.TOO_MANY_REQUESTS


class Rules(Struct, frozen=True):
    """What a user has said of identities and of what signals mean."""

    identity: Identity = DEFAULT
    processing: Processing = NONE


def each_item(source: Source, received: Received, rules: Rules, now: datetime) -> Items:
    """A body's items as they are to be stored, one by one. WebhookError where it is no body of this source."""
    for item in source.convert(received, rules.identity, now):
        yield _processed(item, rules)


def check_some_good(items: Sequence[Item]) -> None:
    """Raises WebhookError where there is nothing in a body but what is wrong, or left out."""
    wrong = [line for item in items if isinstance(item, Refused) for line in item.lines]
    if wrong and not any(isinstance(item, Found) for item in items):
        raise WebhookError(wrong)


def items_for(source: Source, received: Received, rules: Rules, now: datetime) -> list[Item]:
    """All of a body's items. WebhookError where there is nothing in it but what is wrong."""
    items = list(each_item(source, received, rules, now))
    check_some_good(items)
    return items


def built_in(mappings: Sequence[BodyMapping] = ()) -> dict[str, Source]:
    """Every source by its name. ValueError where a mapping has a name that is taken."""
    found = {
        one.name: one
        for one in (
            # Its webhooks take 429 for final, and try again only after a 5xx.
            Source(
                "alertmanager",
                "Alertmanager's webhook, version 4",
                _alertmanager,
                too_often=HTTPStatus.SERVICE_UNAVAILABLE,
            ),
            Source("grafana", "Grafana alerting's webhook", _grafana),
            Source("kubernetes", "Kubernetes events, one or a list", _kubernetes),
            Source(
                "cloudevents",
                "CloudEvents 1.0: structured, binary and batch",
                _cloudevents,
                media_types=cloudevents.MEDIA_TYPES,
            ),
        )
    }
    for mapping in mappings:
        if mapping.source in found:
            raise ValueError(f"two sources are called {mapping.source!r}")
        found[mapping.source] = Source(
            mapping.source,
            f"{mapping.source}, by a mapping",
            _mapped(mapping),
            media_types=frozenset(mapping.media_types),
        )
    return found


def _processed(item: Item, rules: Rules) -> Item:
    if not isinstance(item, Found):
        return item
    signal, by = rules.processing.process(item.signal)
    return msgspec.structs.replace(item, signal=signal, by=item.by | by)


def _normalised(items: Iterable[Item], identity: Identity) -> Items:
    """Items whose source names the target itself, written as the rules want it."""
    return (_normalise(item, identity) for item in items)


def _normalise(item: Item, identity: Identity) -> Item:
    if not isinstance(item, Found):
        return item
    signal = item.signal
    found = identity.normalised(signal.name, signal.target, item.by, item.where)
    if isinstance(found, list):
        return refused(item.where, found, msgspec.to_builtins(signal))
    if (found.name, found.target) == (signal.name, signal.target):
        return item
    signal = msgspec.structs.replace(signal, name=found.name, target=found.target)
    return msgspec.structs.replace(item, signal=signal, by=found.by)


def _alertmanager(received: Received, identity: Identity, now: datetime) -> Items:
    return alertmanager.items_of(received.body, now, identity)


def _grafana(received: Received, identity: Identity, now: datetime) -> Items:
    return alertmanager.items_of(received.body, now, identity, grafana=True)


def _kubernetes(received: Received, identity: Identity, now: datetime) -> Items:
    return _normalised(kubernetes.items_of(received.body, now, identity), identity)


def _cloudevents(received: Received, identity: Identity, now: datetime) -> Items:
    return cloudevents.items_of(received.media_type, received.headers, received.body, now)


def _mapped(mapping: BodyMapping) -> Callable[[Received, Identity, datetime], Items]:
    def convert(received: Received, identity: Identity, now: datetime) -> Items:
        return _normalised(mapping.items_of(received.body, now), identity)

    return convert
