"""The mappings of the examples, held against what each vendor sends when an alert fires, fires again, is
acknowledged by somebody, is over, and when somebody tries the integration out."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from remediation_orchestrator.documents.files import read
from remediation_orchestrator.events import SignalReceived, SignalResolved
from remediation_orchestrator.gateway.formats.mapping import Mapping
from remediation_orchestrator.gateway.items import Found, Item, LeftOut

FOLDER = Path(__file__).parents[2] / "examples" / "mappings"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BEGAN = datetime(2026, 11, 21, 10, tzinfo=UTC)
SIGNALS = {
    "azure-monitor": ("vm-cpu-high", "Resource/web-4", "high", BEGAN),
    "cloudwatch": ("rds-cpu-high", "EU (Frankfurt)/AWS/RDS/orders", "high", BEGAN),
    "datadog": ("monitor-4711", "Host/web-1", "high", BEGAN),
    "dynatrace": ("Process unavailable", "HOST/ledger-3", "critical", None),
    "google-cloud": ("Uptime", "shop-prod/gce_instance/web-5", "critical", BEGAN),
    "newrelic": ("High error rate", "Entity/checkout", "critical", BEGAN),
    "opsgenie": ("disk-full", "Host/db-1", "critical", BEGAN),
    "pagerduty": ("Checkout is slow", "Service/checkout", "critical", BEGAN),
    "sentry": ("ReferenceError: cart is not defined", "Project/front-end", "high", BEGAN),
    "zabbix": ("High CPU utilization", "fra/Host/db-2", "warning", BEGAN),
}
ALERTS = {
    "azure-monitor": "/subscriptions/1/alerts/2",
    "cloudwatch": "arn:aws:cloudwatch:eu-central-1:1:alarm:rds-cpu-high",
    "datadog": "env:prod,host:web-1",
    "dynatrace": "P-2611",
    "google-cloud": "0.lk8",
    "newrelic": "f3a1",
    "opsgenie": "52a2",
    "pagerduty": "PGR0VU2",
    "sentry": "1170820242",
    "zabbix": "88213",
}
"""What each vendor calls what fires."""
FIRES, OVER, OUT = SignalReceived, SignalResolved, LeftOut
# What is another in a body than when it fires, by its place, and what that becomes.
SENT: dict[str, list[tuple[str, dict[str, Any], type]]] = {
    "azure-monitor": [
        ("over", {"data.essentials.monitorCondition": "Resolved"}, OVER),
        ("unknown", {"data.essentials.monitorCondition": "Acknowledged"}, OUT),
    ],
    "cloudwatch": [
        ("over", {"Message.NewStateValue": "OK"}, OVER),
        ("no data", {"Message.NewStateValue": "INSUFFICIENT_DATA"}, OUT),
        (
            "subscribed",
            {"Type": "SubscriptionConfirmation", "Message": "You have", "SubscribeURL": "https://a"},
            OUT,
        ),
        ("unsubscribed", {"Type": "UnsubscribeConfirmation", "Message": "You have"}, OUT),
        ("tried", {"Message": "hello"}, OUT),
    ],
    "datadog": [
        ("again", {"transition": "Re-Triggered", "title": "[Re-Triggered on {host:web-1}] Disk"}, FIRES),
        ("reminded", {"transition": "Renotify"}, FIRES),
        ("no data", {"transition": "No Data", "title": "[No data on {host:web-1}] Disk"}, FIRES),
        ("over", {"transition": "Recovered", "title": "[Recovered on {host:web-1}] Disk"}, OVER),
        ("tried", {"title": "[TEST] [Triggered on {host:web-1}] Disk"}, OUT),
        ("of no host", {"host": "", "transition": "Warn"}, FIRES),
    ],
    "dynatrace": [
        ("over", {"State": "RESOLVED"}, OVER),
        ("merged", {"State": "MERGED"}, OVER),
        ("tried", {"ProblemTitle": "Dynatrace problem notification test run"}, OUT),
    ],
    "google-cloud": [
        ("over", {"incident.state": "closed"}, OVER),
        ("tried", {"version": "test"}, OUT),
    ],
    "newrelic": [
        ("created", {"state": "CREATED"}, FIRES),
        ("acknowledged", {"state": "ACKNOWLEDGED"}, OUT),
        ("over", {"state": "CLOSED"}, OVER),
    ],
    "opsgenie": [
        *((one, {"action": one}, OUT) for one in ("Acknowledge", "UnAcknowledge", "AddNote", "Snooze", "AddTags")),
        *(
            (one, {"action": one}, OUT)
            for one in ("AssignOwnership", "TakeOwnership", "Escalate", "UpdatePriority")
        ),
        ("over", {"action": "Close"}, OVER),
        ("deleted", {"action": "Delete"}, OVER),
    ],
    "pagerduty": [
        ("again", {"event.event_type": "incident.reopened"}, FIRES),
        *(
            (one, {"event.event_type": f"incident.{one}"}, OUT)
            for one in (
                "acknowledged",
                "unacknowledged",
                "annotated",
                "reassigned",
                "escalated",
                "priority_updated",
            )
        ),
        ("over", {"event.event_type": "incident.resolved"}, OVER),
        ("tried", {"event": {"event_type": "pagey.ping", "data": {"message": "Hello", "type": "ping"}}}, OUT),
    ],
    "sentry": [
        ("again", {"action": "unresolved"}, FIRES),
        ("assigned", {"action": "assigned"}, OUT),
        ("archived", {"action": "archived"}, OUT),
        ("over", {"action": "resolved"}, OVER),
        ("installed", {"data": {"installation": {"status": "installed"}}}, OUT),
        ("a comment", {"data": {"comment": "x"}}, OUT),
    ],
    "zabbix": [
        ("again", {"event_id": "88214", "event_time": "11:30:00"}, FIRES),
        ("acknowledged", {"event_update_status": "1", "event_update_action": "acknowledged"}, OUT),
        ("over", {"event_value": "0"}, OVER),
    ],
}
CASES = [(vendor, *case) for vendor, cases in SENT.items() for case in cases]


def mapping(vendor: str) -> Mapping:
    """The example's mapping."""
    return read(FOLDER / f"{vendor}.yaml", Mapping)


def sent(vendor: str, changes: dict[str, Any] | None = None) -> bytes:
    """The example's body, with some of it changed; what stands in a text that is JSON, in there."""
    body = json.loads((FOLDER / "bodies" / f"{vendor}.json").read_bytes())
    for place, value in (changes or {}).items():
        _set(body, place.split("."), value)
    return json.dumps(body).encode()


def _set(body: dict[str, Any], path: list[str], value: object) -> None:
    first, *rest = path
    if not rest:
        body[first] = value
    elif isinstance(body[first], str):
        inner = json.loads(body[first])
        _set(inner, rest, value)
        body[first] = json.dumps(inner)
    else:
        _set(body[first], rest, value)


def item(vendor: str, changes: dict[str, Any] | None = None) -> Item:
    """What it becomes."""
    (found,) = mapping(vendor).items_of(sent(vendor, changes), NOW)
    return found


def test_there_are_ten_vendors_and_each_has_a_body() -> None:
    """And each mapping is some ten lines, comments not counted."""
    files = sorted(FOLDER.glob("*.yaml"))
    assert [file.stem for file in files] == sorted(SIGNALS) == sorted(SENT)
    for file in files:
        lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
        assert len(lines) <= 15, file.name


@pytest.mark.parametrize("vendor", SIGNALS)
def test_a_vendors_body_becomes_its_signal(vendor: str) -> None:
    """Name, target, severity and when it began."""
    found = item(vendor)
    assert isinstance(found, Found)
    signal = found.signal
    assert isinstance(signal, SignalReceived)
    assert (signal.name, str(signal.target), signal.severity, signal.starts_at) == SIGNALS[vendor]
    assert (signal.resolves, found.remarks) == (True, [])
    assert signal.alert == ALERTS[vendor]


@pytest.mark.parametrize(("vendor", "what", "changes", "becomes"), CASES)
def test_what_a_vendor_sends_fires_is_over_or_is_left_out(
    vendor: str, what: str, changes: dict[str, Any], becomes: type
) -> None:
    """Of the same name and target whatever the state, so that it is one problem, and of the same id when that is
    over; what people do is no alert."""
    before, after = item(vendor), item(vendor, changes)
    assert isinstance(before, Found)
    if becomes is LeftOut:
        assert isinstance(after, LeftOut), what
        assert after.line().startswith("body: left out: ")
        return
    assert isinstance(after, Found), what
    assert type(after.signal) is becomes
    assert (after.signal.name, after.signal.target) == (before.signal.name, before.signal.target)
    assert becomes is SignalReceived or after.signal.alert == before.signal.alert


def test_whoever_must_confirm_a_subscription_is_told_where() -> None:
    """SNS sends nothing until somebody has opened that address."""
    (_, _, changes, _) = next(case for case in CASES if case[1] == "subscribed")
    found = item("cloudwatch", changes)
    assert isinstance(found, LeftOut)
    assert found.why == "left out: SNS asks to be confirmed: open https://a"
    assert "text/plain" in mapping("cloudwatch").media_types
