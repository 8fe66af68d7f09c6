"""The kinds of bodies that the door reads, each under a name of its own: `POST /v1/<name>`. Pure."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from .bodies import Received, Source
from .formats import alertmanager, cloudevents, kubernetes
from .formats.mapping import Mapping, source_of
from .identity import DEFAULT, IdentityRules
from .items import Found, Item, Items, Refused, WebhookError
from .processing import NONE, Processing

SOURCES = (*alertmanager.SOURCES, *kubernetes.SOURCES, *cloudevents.SOURCES)


class Rules(Struct, frozen=True):
    """What a user has said of identities and of what signals mean."""

    identity: IdentityRules = DEFAULT
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


def built_in(mappings: Sequence[Mapping] = ()) -> dict[str, Source]:
    """Every source by its name. ValueError where a mapping has a name that is taken."""
    found = {one.name: one for one in SOURCES}
    for mapping in mappings:
        if mapping.source in found:
            raise ValueError(f"two sources are called {mapping.source!r}")
        found[mapping.source] = source_of(mapping)
    return found


def _processed(item: Item, rules: Rules) -> Item:
    if not isinstance(item, Found):
        return item
    signal, by = rules.processing.process(item.signal)
    return msgspec.structs.replace(item, signal=signal, by=item.by | by)
