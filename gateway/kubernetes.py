"""Kubernetes events, of core/v1 and events.k8s.io/v1, one or a list, into signals. Pure.

They never say that a problem is over."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from remediation_orchestrator.events import Severity, SignalReceived, Target
from remediation_orchestrator.events.identity import NAME_LENGTH_MAX

from .items import Found, Item, Items, Labels, Time, WebhookError, counted, line_of, read_json, refused

# An event may say anything; `Normal` is what Kubernetes calls all that is not a `Warning`.
SEVERITIES = {"Warning": Severity.WARNING, "Normal": Severity.INFO}
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
    created: Time | None = Field(default=None, alias="creationTimestamp")


class _Series(_Input):
    observed: Time | None = Field(default=None, alias="lastObservedTime")


class _Event(_Input):
    reason: str = Field(min_length=1, max_length=_BOUND)
    type: str = "Normal"
    message: str = ""
    note: str = ""
    metadata: _Metadata = _Metadata()
    involved: _Object | None = Field(default=None, alias="involvedObject")
    regarding: _Object | None = None
    last: Time | None = Field(default=None, alias="lastTimestamp")
    at: Time | None = Field(default=None, alias="eventTime")
    series: _Series | None = None


def items_of(body: bytes, cluster: str = "") -> Items:
    """Yield one item an event. Kubernetes does not say which cluster it is, so the door is told."""
    read = read_json(body)
    if not isinstance(read, dict):
        raise WebhookError(["body: must be a JSON object"])
    if "items" not in read:
        yield _item("event", read, cluster)
        return
    items = read["items"]
    if not isinstance(items, list):
        raise WebhookError(["items: must be a JSON array"])
    for index, item in enumerate(counted(items)):
        yield _item(f"items[{index}]", item, cluster)


def _item(where: str, item: Any, cluster: str) -> Item:
    try:
        event = _Event.model_validate(item)
    except ValidationError as error:
        lines = [f"{where}.{line_of(one['loc'], one['msg'])}" for one in error.errors(include_url=False)]
        return refused(where, lines, item)
    about = event.involved or event.regarding
    if about is None:
        return refused(where, [f"{where}: names no target: neither involvedObject nor regarding"], item)
    target = Target(about.name, cluster, about.namespace or event.metadata.namespace, about.kind)
    observed = event.series.observed if event.series else None
    signal = SignalReceived(
        name=event.reason,
        target=target,
        severity=SEVERITIES.get(event.type, Severity.UNKNOWN),
        labels={"type": event.type, **(event.metadata.labels or {})},
        annotations={"message": event.message or event.note},
        starts_at=observed or event.last or event.at or event.metadata.created,
    )
    field = "involvedObject" if event.involved else "regarding"
    return Found(where, signal, {"name": "reason", "target": field, "cluster": "defaults", "namespace": field})
