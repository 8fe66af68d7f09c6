"""Webhook bodies of Alertmanager (version 4) and of Grafana's alerting (version 1), into signals.

Pure: bytes in, items or clear lines out. An alert's target is the workload where its labels tell of one, so the
alerts of its pods are one problem. The sender's own fingerprint hashes every label, the pod's name too: it tells
the alerts of a problem apart, and is the signal's `alert`. The signal's own is derived from target and name."""

from datetime import datetime
from http import HTTPStatus
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from remediation_orchestrator.events import SignalReceived, SignalResolved
from remediation_orchestrator.events.identity import NAME_LENGTH_MAX
from remediation_orchestrator.gateway.bodies import Received, Source
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
from remediation_orchestrator.gateway.severities import severity_of


class _Alert(BaseModel):
    status: Literal["firing", "resolved"]
    labels: Labels
    annotations: Labels = {}
    starts_at: object = Field(default=None, alias="startsAt")
    fingerprint: str | None = Field(default=None, max_length=NAME_LENGTH_MAX)


class _Body(BaseModel):
    version: Literal["4"]
    alerts: list[object]


class _GrafanaBody(BaseModel):
    version: Literal["1"]
    alerts: list[object]


def items_of(body: bytes, now: datetime, identity: IdentityRules = DEFAULT, *, grafana: bool = False) -> Items:
    """Yield one item an alert, in their order."""
    try:
        alerts = (_GrafanaBody if grafana else _Body).model_validate(read_json(body)).alerts
    except ValidationError as error:
        raise WebhookError([line_of(one["loc"], one["msg"]) for one in error.errors(include_url=False)]) from error
    for index, alert in enumerate(bound_items(alerts)):
        yield _item(f"alerts[{index}]", alert, now, identity)


def _item(where: str, item: object, now: datetime, identity: IdentityRules) -> Item:
    try:
        alert = _Alert.model_validate(item)
    except ValidationError as error:
        lines = [f"{where}.{line_of(one['loc'], one['msg'])}" for one in error.errors(include_url=False)]
        return refuse(where, [line.replace(f"{where}.body:", f"{where}:") for line in lines], item)
    why = identity.left_out(alert.labels)
    if why is not None:
        return LeftOut(where, f"left out: {why}")
    found = identity.identify(alert.labels, f"{where}.labels")
    if isinstance(found, list):
        return refuse(where, found, item)
    starts_at, remarks = began(alert.starts_at, now, f"{where}.startsAt")
    kind = SignalReceived if alert.status == "firing" else SignalResolved
    signal = kind(
        name=found.name,
        target=found.target,
        status=alert.status,
        severity=severity_of(alert.labels.get("severity", "")),
        labels=alert.labels,
        annotations=alert.annotations,
        starts_at=starts_at,
        resolves=True,
        alert=alert.fingerprint or "",
    )
    return Found(where, signal, found.by, remarks=remarks)


def _alertmanager(received: Received, identity: IdentityRules, now: datetime) -> Items:
    return items_of(received.body, now, identity)


def _grafana(received: Received, identity: IdentityRules, now: datetime) -> Items:
    return items_of(received.body, now, identity, grafana=True)


SOURCES = (
    # Its webhooks take 429 for final, and try again only after a 5xx.
    Source(
        "alertmanager",
        "Alertmanager's webhook, version 4",
        _alertmanager,
        too_often=HTTPStatus.SERVICE_UNAVAILABLE,
    ),
    Source("grafana", "Grafana alerting's webhook", _grafana),
)
