"""The mappings of the examples: a body of each vendor becomes the signal that it is about."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remediation_orchestrator.events import SignalReceived, SignalResolved
from remediation_orchestrator.gateway.items import Found, Refused, WebhookError
from remediation_orchestrator.gateway.mapping import Mapping
from remediation_orchestrator.gateway.rules_file import RulesFileError, load

FOLDER = Path(__file__).parents[2] / "examples" / "mappings"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BEGAN = datetime(2026, 11, 21, 10, tzinfo=UTC)
SIGNALS = {
    "azure-monitor": ("vm-cpu-high", "Resource/web-4", "high", BEGAN),
    "cloudwatch": ("rds-cpu-high", "EU (Frankfurt)/AWS/RDS/orders", "high", BEGAN),
    "datadog": ("Disk usage is high", "Host/web-1", "high", BEGAN),
    "dynatrace": ("Process unavailable", "HOST/ledger-3", "critical", None),
    "google-cloud": ("Uptime", "shop-prod/gce_instance/web-5", "critical", BEGAN),
    "newrelic": ("High error rate", "Entity/checkout", "critical", BEGAN),
    "opsgenie": ("disk-full", "Host/db-1", "critical", BEGAN),
    "pagerduty": ("Checkout is slow", "Service/checkout", "critical", BEGAN),
    "sentry": ("ReferenceError: cart is not defined", "Project/front-end", "high", BEGAN),
    "zabbix": ("High CPU utilization", "fra/Host/db-2", "warning", None),
}
OVER = {
    "azure-monitor": ('"Fired"', '"Resolved"'),
    "cloudwatch": ('\\"ALARM\\"', '\\"OK\\"'),
    "datadog": ("Triggered", "Recovered"),
    "dynatrace": ("OPEN", "RESOLVED"),
    "google-cloud": ('"open"', '"closed"'),
    "newrelic": ("ACTIVATED", "CLOSED"),
    "opsgenie": ("Create", "Close"),
    "pagerduty": ("incident.triggered", "incident.resolved"),
    "sentry": ('"created"', '"resolved"'),
    "zabbix": ('"event_value": "1"', '"event_value": "0"'),
}


def mapping(vendor: str) -> Mapping:
    """The example's mapping."""
    return load(FOLDER / f"{vendor}.yaml", Mapping)


def body(vendor: str) -> bytes:
    """The example's body."""
    return (FOLDER / "bodies" / f"{vendor}.json").read_bytes()


def test_there_are_ten_vendors_and_each_has_a_body() -> None:
    """And each mapping is ten lines or fewer, comments not counted."""
    files = sorted(FOLDER.glob("*.yaml"))
    assert [file.stem for file in files] == sorted(SIGNALS) == sorted(OVER)
    for file in files:
        lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        assert len(lines) <= 10, file.name


@pytest.mark.parametrize("vendor", SIGNALS)
def test_a_vendors_body_becomes_its_signal(vendor: str) -> None:
    """Name, target, severity and when it began."""
    (item,) = mapping(vendor).items_of(body(vendor), NOW)
    assert isinstance(item, Found)
    signal = item.signal
    assert isinstance(signal, SignalReceived)
    assert (signal.name, str(signal.target), signal.severity, signal.starts_at) == SIGNALS[vendor]
    assert signal.resolves


@pytest.mark.parametrize("vendor", OVER)
def test_a_vendors_body_says_that_it_is_over(vendor: str) -> None:
    """Of the same name and target, so that it ends the same problem."""
    firing, over = OVER[vendor]
    assert firing.encode() in body(vendor)
    (before,) = mapping(vendor).items_of(body(vendor), NOW)
    (after,) = mapping(vendor).items_of(body(vendor).replace(firing.encode(), over.encode(), 1), NOW)
    assert isinstance(before, Found)
    assert isinstance(after, Found)
    assert isinstance(after.signal, SignalResolved)
    assert (after.signal.name, after.signal.target) == (before.signal.name, before.signal.target)


def test_a_body_of_several_alerts_is_several_items() -> None:
    """Places are looked up in the alert, then in the body around it; what lacks its target is refused by name."""
    several = Mapping.model_validate(
        {"source": "x", "items": "alerts", "name": "{name}", "target": {"name": "{host}", "cluster": "{site}"}}
    )
    sent = {"site": "fra", "alerts": [{"name": "a", "host": "h"}, {"name": "b"}]}
    good, bad = several.items_of(json.dumps(sent).encode(), NOW)
    assert isinstance(good, Found)
    assert (str(good.signal.target), good.signal.resolves) == ("fra/h", False)
    assert isinstance(bad, Refused)
    assert bad.lines == ["alerts[1]: no target: {host} holds nothing"]


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (b"[]", "alerts: must be a JSON array"),
        (b'{"alerts": 3}', "alerts: must be a JSON array"),
        (b"{", "line 1, column 2: not JSON: Expecting property name enclosed in double quotes"),
    ],
)
def test_a_body_without_its_list_is_refused(sent: bytes, line: str) -> None:
    """Saying where it should be."""
    several = Mapping.model_validate({"source": "x", "items": "alerts", "name": "n", "target": {"name": "t"}})
    with pytest.raises(WebhookError) as caught:
        list(several.items_of(sent, NOW))
    assert caught.value.lines == [line]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("source: a b\nname: n\ntarget: {name: t}", ":1: source: 1 to 128 of letters, digits, _ and -"),
        ("source: a\nname: '{..}'\ntarget: {name: t}", ":2: name: {..} is no place: written as {a.b[0]|c}"),
        ("source: a\nname: n\ntarget: {name: t}\nkinds: 3", ":4: kinds: unknown key"),
        ("source: a\nname: n", ":1: target: field required"),
        ("source: [", ":1: not YAML: expected the node content, but found '<stream end>'"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused_by_name(tmp_path: Path, text: str, line: str) -> None:
    """With the file and the place."""
    file = tmp_path / "m.yaml"
    file.write_text(text)
    with pytest.raises(RulesFileError) as caught:
        load(file, Mapping)
    assert str(caught.value) == f"{file}{line}"


@pytest.mark.parametrize("moment", ["yesterday", "2026-11-21T10:00:00", "1e400", "-1e18", "nan"])
def test_a_time_that_is_none_is_left_out(moment: str) -> None:
    """Rather than taken for now; the alert stays, and it is said."""
    timed = Mapping.model_validate({"source": "x", "name": "n", "target": {"name": "t"}, "starts_at": "{at}"})
    (item,) = timed.items_of(json.dumps({"at": moment}).encode(), NOW)
    assert isinstance(item, Found)
    assert item.signal.starts_at is None
    assert item.remarks[0].startswith("body.starts_at: ")
