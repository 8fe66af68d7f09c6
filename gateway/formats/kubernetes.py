"""Kubernetes events, of core/v1 and events.k8s.io/v1, one or a list, into signals. Pure.

They never say that a problem is over."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from remediation_orchestrator.events import Severity, SignalReceived, Target
from remediation_orchestrator.events.identity import NAME_LENGTH_MAX
from remediation_orchestrator.gateway.bodies import Received, Source, normalise_items
from remediation_orchestrator.gateway.identity import DEFAULT, IdentityRules
from remediation_orchestrator.gateway.items import (
    Found,
    Item,
    Items,
    Labels,
    LeftOut,
    WebhookError,
    began,
    bound_items,
    line_of,
    read_json,
    refuse,
)

# What Kubernetes calls all that is not a `Warning`: that an image was pulled, that a pod was started.
NORMAL = "Normal"
_BOUND = NAME_LENGTH_MAX


class _Input(BaseModel):
    model_config = ConfigDict(populate_by_name=True)


class _Object(_Input):
    kind: str = Field(default="", max_length=_BOUND)
    namespace: str = Field(default="", max_length=_BOUND)
    name: str = Field(min_length=1, max_length=_BOUND)


class _Metadata(_Input):
    name: str = ""
    namespace: str = Field(default="", max_length=_BOUND)
    labels: Labels | None = None
    created: object = Field(default=None, alias="creationTimestamp")


class _Series(_Input):
    observed: object = Field(default=None, alias="lastObservedTime")


class _Event(_Input):
    reason: str = Field(min_length=1, max_length=_BOUND)
    type: str = ""
    message: str = ""
    note: str = ""
    metadata: _Metadata = _Metadata()
    involved: _Object | None = Field(default=None, alias="involvedObject")
    regarding: _Object | None = None
    last: object = Field(default=None, alias="lastTimestamp")
    at: object = Field(default=None, alias="eventTime")
    series: _Series | None = None


def items_of(body: bytes, now: datetime, identity: IdentityRules = DEFAULT) -> Items:
    """Yield one item an event. Kubernetes does not say which cluster it is, so the door's defaults do."""
    read = read_json(body)
    if not isinstance(read, dict):
        raise WebhookError(["body: must be a JSON object"])
    if "items" not in read:
        yield _item("event", read, now, identity)
        return
    items = read["items"]
    if not isinstance(items, list):
        raise WebhookError(["items: must be a JSON array"])
    for index, item in enumerate(bound_items(items)):
        yield _item(f"items[{index}]", item, now, identity)


def _item(where: str, item: Any, now: datetime, identity: IdentityRules) -> Item:
    try:
        event = _Event.model_validate(item)
    except ValidationError as error:
        lines = [f"{where}.{line_of(one['loc'], one['msg'])}" for one in error.errors(include_url=False)]
        return refuse(where, lines, item)
    if event.type == NORMAL:
        return LeftOut(where, f"left out: type is {NORMAL!r}, which is no problem")
    about = event.involved or event.regarding
    if about is None:
        return refuse(where, [f"{where}: names no target: neither involvedObject nor regarding"], item)
    field = "involvedObject" if event.involved else "regarding"
    by = {"name": "reason", "target": field, "cluster": "defaults", "namespace": field}
    observed = event.series.observed if event.series else None
    said = observed or event.last or event.at or event.metadata.created
    starts_at, remarks = began(said, now, f"{where}.lastTimestamp")
    signal = SignalReceived(
        name=event.reason,
        target=_target(about, event.metadata.namespace, identity, by),
        severity=Severity.WARNING if event.type == "Warning" else Severity.UNKNOWN,
        labels={**({"type": event.type} if event.type else {}), **(event.metadata.labels or {})},
        annotations={"message": event.message or event.note},
        starts_at=starts_at,
    )
    return Found(where, signal, by, remarks=remarks)


def _target(about: _Object, namespace: str, identity: IdentityRules, by: dict[str, str]) -> Target:
    """Return what an event is about, as an alert about the same would have it: a pod may be a Deployment's."""
    target = Target(about.name, identity.defaults.get("cluster", ""), about.namespace or namespace, about.kind)
    way = identity.named(about.kind, about.name)
    if way is None:
        return target
    by["target"] = f"{by['target']}, {way.by}"
    return Target(way.name, target.cluster, target.namespace if way.rule.namespaced else "", way.kind)


def _convert(received: Received, identity: IdentityRules, now: datetime) -> Items:
    return normalise_items(items_of(received.body, now, identity), identity)


SOURCES = (Source("kubernetes", "Kubernetes events, one or a list", _convert),)
