"""Grafana's bodies, Kubernetes events and CloudEvents become signals, or say what is wrong, and where."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from doors import alert

from remediation_orchestrator.events import SignalReceived, SignalResolved
from remediation_orchestrator.gateway.bodies import Received
from remediation_orchestrator.gateway.formats.cloudevents import BATCH, BINARY, STRUCTURED
from remediation_orchestrator.gateway.identity import IdentityRules
from remediation_orchestrator.gateway.items import Found, Item, LeftOut, Refused, WebhookError
from remediation_orchestrator.gateway.sources import Rules, built_in, items_for

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BACK_OFF: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "ledger.17a", "namespace": "shop", "creationTimestamp": "2026-11-21T09:00:00Z"},
    "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "ledger-1"},
    "reason": "BackOff",
    "message": "Back-off restarting failed container",
    "type": "Warning",
    "firstTimestamp": "2026-11-21T09:00:00Z",
    "lastTimestamp": "2026-11-21T10:00:00Z",
    "eventTime": None,
    "series": None,
}
DATA = {"name": "DiskFilling", "target": {"name": "db-1"}}
EVENT = {"specversion": "1.0", "id": "1", "source": "/me", "type": "SignalReceived.v1", "data": DATA}
HEADERS = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/me", "ce-type": "SignalResolved.v1"}


def convert(
    name: str,
    sent: object,
    media_type: str = "application/json",
    headers: dict[str, str] | None = None,
    rules: Rules | None = None,
) -> list[Item]:
    """What a body of this source becomes."""
    received = Received(media_type, headers or {}, json.dumps(sent).encode())
    return items_for(built_in()[name], received, rules or Rules(), NOW)


def lines(name: str, sent: object, media_type: str = "application/json") -> list[str]:
    """What a body is refused with."""
    with pytest.raises(WebhookError) as caught:
        convert(name, sent, media_type)
    return caught.value.lines


def signal(item: Item) -> SignalReceived | SignalResolved:
    """The signal of an item that is one."""
    assert isinstance(item, Found)
    return item.signal


def test_grafanas_alerts_are_read_as_alertmanagers() -> None:
    """By the same rules; only the version of the body differs."""
    body = {"receiver": "ro", "version": "1", "orgId": 1, "alerts": [alert(values={"A": 1}, dashboardURL="")]}
    (item,) = convert("grafana", body)
    assert (signal(item).name, signal(item).resolves) == ("DiskFilling", True)
    assert lines("grafana", {**body, "version": "4"}) == ["version: must be '1'"]


def test_a_kubernetes_event_becomes_a_signal_that_never_resolves() -> None:
    """Its reason is the name, its object the target, its newest moment the start; the door says which cluster."""
    rules = Rules(identity=IdentityRules.model_validate({"defaults": {"cluster": "eu-1"}}))
    (item,) = convert("kubernetes", BACK_OFF, rules=rules)
    found = signal(item)
    assert (found.name, str(found.target), found.severity) == ("BackOff", "eu-1/shop/Pod/ledger-1", "warning")
    assert (found.resolves, found.starts_at) == (False, datetime(2026, 11, 21, 10, tzinfo=UTC))


def test_the_newer_form_of_a_kubernetes_event_is_read_too() -> None:
    """And a list of them, each by itself."""
    newer = {
        "kind": "Event",
        "metadata": {"name": "x"},
        "eventTime": "2026-11-21T10:00:00.123456Z",
        "regarding": {"kind": "Node", "name": "worker-1"},
        "reason": "NodeNotReady",
        "note": "gone",
        "type": "Warning",
    }
    one, two, three = convert("kubernetes", {"kind": "EventList", "items": [newer, BACK_OFF, {"reason": "X"}]})
    assert (str(signal(one).target), signal(one).severity) == ("Node/worker-1", "warning")
    assert signal(two).name == "BackOff"
    assert isinstance(three, Refused)
    assert three.lines == ["items[2]: names no target: neither involvedObject nor regarding"]


def test_what_kubernetes_calls_normal_is_left_out() -> None:
    """That a pod was started needs no repair; what says nothing of its type may be anything."""
    normal, unsaid = {**BACK_OFF, "type": "Normal"}, {**BACK_OFF, "type": ""}
    one, two = convert("kubernetes", {"items": [normal, unsaid]})
    assert isinstance(one, LeftOut)
    assert one.line() == "items[0]: left out: type is 'Normal', which is no problem"
    assert signal(two).severity == "unknown"


def test_an_event_is_about_what_an_alert_about_the_same_is_about() -> None:
    """A pod is its Deployment's where its name was made for one; a node has no namespace."""
    objects = {
        ("Pod", "shop", "ledger-5d8f9c7b6-x2x4z"): "shop/Deployment/ledger",
        ("Pod", "shop", "db-0"): "shop/Pod/db-0",
        ("ReplicaSet", "shop", "ledger-5d8f9c7b6"): "shop/Deployment/ledger",
        ("Job", "shop", "backup-29245678"): "shop/Job/backup-29245678",
        ("Node", "", "worker-1"): "Node/worker-1",
        ("Certificate", "shop", "tls"): "shop/Certificate/tls",
        ("Namespace", "", "shop"): "shop/Namespace/shop",
    }
    about = [{"kind": kind, "namespace": place, "name": name} for kind, place, name in objects]
    found = convert("kubernetes", {"items": [{**BACK_OFF, "involvedObject": one} for one in about]})
    assert [str(signal(item).target) for item in found] == list(objects.values())


def test_the_test_of_a_contact_point_in_grafana_is_left_out() -> None:
    """It is of no alert."""
    labels = {"alertname": "TestAlert", "instance": "Grafana"}
    (item,) = convert("grafana", {"version": "1", "alerts": [alert(labels=labels)]})
    assert isinstance(item, LeftOut)


def test_cloudevents_keep_what_their_sender_said_of_them() -> None:
    """Structured, batch and binary; a resolved type is a resolved signal."""
    (one,) = convert("cloudevents", {**EVENT, "time": "2026-11-21T10:00:00Z"}, STRUCTURED)
    assert isinstance(one, Found)
    assert one.attributes is not None
    assert (one.attributes.id, one.attributes.source) == ("1", "/me")
    assert isinstance(signal(one), SignalReceived)
    batch = convert("cloudevents", [EVENT, {**EVENT, "id": "2"}], BATCH)
    assert [signal(item).target.name for item in batch] == ["db-1", "db-1"]
    (three,) = convert("cloudevents", DATA, BINARY, HEADERS)
    assert isinstance(signal(three), SignalResolved)


def test_an_alert_is_named_by_those_who_can_say_that_it_is_over() -> None:
    """A CloudEvent's signal as it says itself; an event of Kubernetes never says it, and would hold for a day."""
    (event,) = convert("cloudevents", {**EVENT, "data": {**DATA, "alert": "a-1"}}, STRUCTURED)
    assert signal(event).alert == "a-1"
    (kubernetes,) = convert("kubernetes", {**BACK_OFF, "metadata": {"uid": "u-1", "name": "x"}})
    assert signal(kubernetes).alert == ""
    (grafana,) = convert("grafana", {"version": "1", "alerts": [alert(fingerprint="c6eadffa33fcdf37")]})
    assert signal(grafana).alert == "c6eadffa33fcdf37"


def test_what_is_no_cloudevent_is_refused_by_name() -> None:
    """What is missing, of which event; and what no signal may be."""
    assert lines("cloudevents", EVENT | {"id": ""}, STRUCTURED) == ["event.id: missing"]
    assert lines("cloudevents", [3], BATCH) == ["[0]: must be a JSON object"]
    assert lines("cloudevents", {}, BATCH) == ["body: must be a JSON array"]
    assert lines("cloudevents", DATA, BINARY)[0] == "ce-specversion: missing"
    foreign = {**EVENT, "type": "RoutingDecided.v1"}
    assert lines("cloudevents", foreign, STRUCTURED)[0].startswith("event: `signal` is missing")
    assert lines("cloudevents", {**EVENT, "type": "x"}, STRUCTURED) == ["event: unknown event type 'x'"]
    assert lines("cloudevents", {**EVENT, "specversion": "0.3"}, STRUCTURED)[0].startswith(
        "event: not a CloudEvent"
    )


def test_an_event_of_a_batch_that_is_no_signal_does_not_take_the_others_along() -> None:
    """It stands where it stood, refused."""
    one, two = convert("cloudevents", [{**EVENT, "data": {"name": "X"}}, EVENT], BATCH)
    assert isinstance(one, Refused)
    assert isinstance(two, Found)
