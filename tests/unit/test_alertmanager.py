"""Alertmanager's bodies become signals, or say clearly why not."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from doors import signals_of as read_signals

from remediation_orchestrator.events import Severity, SignalReceived, SignalResolved, Target
from remediation_orchestrator.gateway.items import WebhookError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def found(text: bytes) -> list[SignalReceived | SignalResolved]:
    """What a body becomes."""
    return read_signals(text, NOW)


def alert(status: str = "firing", **labels: str) -> dict[str, Any]:
    """Write an alert as Alertmanager does."""
    return {
        "status": status,
        "labels": {"alertname": "DiskFilling", "severity": "warning", **labels},
        "annotations": {"summary": "The disk of the ledger is filling"},
        "startsAt": "2026-11-21T10:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": "0123456789abcdef",
    }


def body(*alerts: object, version: object = "4") -> bytes:
    """Write the body around alerts."""
    return json.dumps({"version": version, "receiver": "ro", "status": "firing", "alerts": alerts}).encode()


def wrong(text: bytes) -> list[str]:
    """Return what the body is refused with."""
    with pytest.raises(WebhookError) as caught:
        found(text)
    return caught.value.lines


def test_a_firing_alert_becomes_a_signal_whose_source_resolves() -> None:
    """Labels, annotations and the start are kept; nanoseconds become microseconds."""
    (signal,) = found(body(alert(cluster="eu-1", namespace="shop", deployment="ledger")))
    assert signal == SignalReceived(
        name="DiskFilling",
        target=Target(cluster="eu-1", namespace="shop", kind="Deployment", name="ledger"),
        status="firing",
        severity=Severity.WARNING,
        labels={
            "alertname": "DiskFilling",
            "severity": "warning",
            "cluster": "eu-1",
            "namespace": "shop",
            "deployment": "ledger",
        },
        annotations={"summary": "The disk of the ledger is filling"},
        starts_at=datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC),
        resolves=True,
        alert="0123456789abcdef",
    )


def test_a_resolved_alert_becomes_a_resolved_signal() -> None:
    """Resolved alerts are not processed like firing ones."""
    firing, resolved = found(body(alert(pod="a"), alert("resolved", pod="b")))
    assert isinstance(firing, SignalReceived)
    assert isinstance(resolved, SignalResolved)
    assert resolved.status == "resolved"


def test_two_pods_of_one_deployment_are_one_problem() -> None:
    """Alertmanager's fingerprint differs with the pod: it is the alert, and the identity is derived."""
    pods = [{**alert(deployment="ledger", pod=f"ledger-{one}"), "fingerprint": one} for one in ("a", "b")]
    one, two = found(body(*pods))
    assert (one.alert, two.alert) == ("a", "b")
    assert (one.target, one.fingerprint) == (two.target, two.fingerprint)
    assert one.fingerprint == ""


def test_an_alert_without_a_fingerprint_names_no_alert() -> None:
    """As one whose fingerprint is null; one that is no text, or longer than a name, is refused by its place."""
    without = alert(pod="a")
    del without["fingerprint"]
    (signal,) = found(body(without))
    assert signal.alert == found(body({**without, "fingerprint": None}))[0].alert == ""
    for strange in (7, "x" * 1_025):
        assert wrong(body({**without, "fingerprint": strange}))[0].startswith("alerts[0].fingerprint: ")


WORKLOADS = {
    "deployment": "Deployment",
    "statefulset": "StatefulSet",
    "daemonset": "DaemonSet",
    "cronjob": "CronJob",
    "job_name": "Job",
    "persistentvolumeclaim": "PersistentVolumeClaim",
    "pod": "Pod",
    "node": "Node",
    "instance": "Host",
    "service": "Service",
    "job": "ScrapeJob",
}


@pytest.mark.parametrize(("label", "kind"), WORKLOADS.items())
def test_the_target_is_the_first_label_in_the_order(label: str, kind: str) -> None:
    """All labels behind this one are there too, and lose: who owns stands before who is owned, the scrape last."""
    behind = list(WORKLOADS)[list(WORKLOADS).index(label) :]
    (signal,) = found(body(alert(**{one: f"the-{one}" for one in reversed(behind)})))
    assert (signal.target.kind, signal.target.name) == (kind, f"the-{label}")


def test_an_empty_label_is_no_label() -> None:
    """As Prometheus has it."""
    (signal,) = found(body(alert(deployment="", pod="ledger-1")))
    assert signal.target.kind == "Pod"


@pytest.mark.parametrize(
    ("said", "severity"),
    [
        ("critical", "critical"),
        ("page", "critical"),
        ("error", "high"),
        ("Warning", "warning"),
        ("notice", "info"),
        ("", "unknown"),
        ("P1", "unknown"),
    ],
)
def test_severities_are_said_in_the_words_of_the_field(said: str, severity: str) -> None:
    """A word that nobody knows is unknown."""
    (signal,) = found(body(alert(severity=said, pod="a")))
    assert signal.severity == severity


def test_a_body_without_alerts_is_no_signal() -> None:
    """And no error: Alertmanager is not told to send it again."""
    assert found(body()) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b'{"version": "4",\n "alerts": [}', "line 2, column 13: not JSON: Expecting value"),
        (b"\xff", "byte 0: not UTF-8"),
        (b"[" * 100_000, "body: nested too deeply"),
        (b"[]", "body: must be a JSON object"),
        (body(version="3"), "version: must be '4'"),
        (body(3), "alerts[0]: must be a JSON object"),
        (body(alert() | {"labels": None}), "alerts[0].labels: must be a JSON object"),
        (body(alert(pod="a"), alert() | {"labels": {"a": 1}}), "alerts[1].labels.a: must be a valid string"),
        (body(alert("gone", pod="a")), "alerts[0].status: must be 'firing' or 'resolved'"),
        (body(alert(alertname="", pod="a")), "alerts[0].labels: no alertname"),
        (body(alert(pod="a" * 1_025)), "alerts[0].labels.pod: longer than 1024 characters"),
    ],
)
def test_a_bad_body_is_one_clear_line(text: bytes, line: str) -> None:
    """What is wrong, and where."""
    assert wrong(text) == [line]


def test_an_alert_without_a_target_is_named() -> None:
    """Every such alert, and what would have made it one."""
    lines = wrong(body(alert(region="eu"), alert(pod="a"), alert()))
    assert [line.partition(":")[0] for line in lines] == ["alerts[0].labels", "alerts[2].labels"]
    assert "'DiskFilling' names no target: none of deployment, statefulset," in lines[0]
