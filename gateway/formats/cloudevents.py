"""CloudEvents 1.0 over HTTP: structured, binary and batch. What they carry is read as the log reads it. Pure."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from remediation_orchestrator.events import (
    Recorded,
    SignalReceived,
    SignalResolved,
    StoredMessage,
    decode,
    subjects,
)
from remediation_orchestrator.events.codec import attributes_of
from remediation_orchestrator.events.identity import DEFAULT_CELL
from remediation_orchestrator.events.wording import plainly
from remediation_orchestrator.gateway.bodies import Received, Source
from remediation_orchestrator.gateway.identity import IdentityRules
from remediation_orchestrator.gateway.items import Found, Item, Items, WebhookError, bound_items, read_json, refuse

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
BINARY = "application/json"
MEDIA_TYPES = frozenset({STRUCTURED, BATCH, BINARY})
REQUIRED = ("specversion", "id", "source", "type")

# Any will do: a signal is read alike on each of them.
_SUBJECT = subjects.signal(DEFAULT_CELL, "cloudevents")


def items_of(media_type: str, headers: Mapping[str, str], body: bytes, now: datetime) -> Items:
    """Yield one item an event."""
    read = read_json(body)
    if media_type == BATCH:
        if not isinstance(read, list):
            raise WebhookError(["body: must be a JSON array"])
        for index, item in enumerate(bound_items(read)):
            yield _item(f"[{index}]", item, now)
        return
    if media_type == BINARY:
        given = {name.removeprefix("ce-"): value for name, value in headers.items() if name.startswith("ce-")}
        missing = [f"ce-{name}: missing" for name in REQUIRED if name not in given]
        if missing:
            raise WebhookError(missing)
        read = {**given, "datacontenttype": BINARY, "data": read}
    yield _item("event", read, now)


def _item(where: str, item: object, now: datetime) -> Item:
    if not isinstance(item, dict):
        return refuse(where, [f"{where}: must be a JSON object"], item)
    missing = [f"{where}.{name}: missing" for name in REQUIRED if not item.get(name)]
    if missing:
        return refuse(where, missing, item)
    try:
        written = msgspec.json.encode({"time": now, **item})
    except (UnicodeEncodeError, RecursionError):
        return refuse(where, [f"{where}: holds what UTF-8 cannot say"], item)
    (found,) = decode(StoredMessage(1, now, _SUBJECT, written))
    if not isinstance(found, Recorded):
        return refuse(where, [f"{where}: {plainly(found.message)}"], item)
    attributes = attributes_of(written)
    if attributes is None:
        return refuse(where, [f"{where}: an attribute is not of its type"], item)
    signal = found.event
    assert isinstance(signal, SignalReceived | SignalResolved)  # The subject takes no other.
    data = item["data"]
    said = data.get("starts_at") if isinstance(data, dict) and signal.starts_at is None else None
    remarks = [] if said is None else [f"{where}.data.starts_at: {said!a:.100} is no time that can be: left out"]
    by = {"name": "data.name", "target": "data.target"}
    return Found(where, signal, by, attributes, remarks)


def _convert(received: Received, identity: IdentityRules, now: datetime) -> Items:
    return items_of(received.media_type, received.headers, received.body, now)


SOURCES = (
    Source("cloudevents", "CloudEvents 1.0: structured, binary and batch", _convert, media_types=MEDIA_TYPES),
)
