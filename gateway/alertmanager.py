"""Alertmanager's webhook bodies, version 4, into signals. Pure: bytes in, facts or clear lines out.

An alert's target is the workload where its labels name one, so the alerts of its pods are one problem.
Alertmanager's own fingerprint hashes every label, the pod's name too, and is not taken over: the signals
go without one, and the log derives it from the target and the name."""

import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, ValidationError

from remediation_orchestrator.events import Severity, SignalReceived, SignalResolved, Target
from remediation_orchestrator.events.identity import NAME_LENGTH_MAX

# The first of these that an alert carries is its target: who owns before who is owned. Prometheus often sets
# `job` to the name of a scrape job, so it stands behind the workloads that run for ever.
KINDS = {
    "deployment": "Deployment",
    "statefulset": "StatefulSet",
    "daemonset": "DaemonSet",
    "cronjob": "CronJob",
    "job": "Job",
    "node": "Node",
    "persistentvolumeclaim": "PersistentVolumeClaim",
    "service": "Service",
    "pod": "Pod",
}

# What alerting rules say, in the words of the field; any other word, and none, is `unknown`.
SEVERITIES = {
    **dict.fromkeys(("critical", "page", "fatal", "emergency", "disaster"), Severity.CRITICAL),
    **dict.fromkeys(("high", "error", "major"), Severity.HIGH),
    **dict.fromkeys(("warning", "warn", "medium", "minor"), Severity.WARNING),
    **dict.fromkeys(("info", "information", "informational", "notice", "low", "none"), Severity.INFO),
}


class WebhookError(ValueError):
    """A body that cannot be taken: one line for each thing that is wrong, saying what and where."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def _only_text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be a time such as 2026-11-21T10:00:00Z")
    return value


class _Alert(BaseModel):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: Annotated[AwareDatetime, BeforeValidator(_only_text)] | None = Field(default=None, alias="startsAt")


class _Body(BaseModel):
    version: Literal["4"]
    alerts: list[_Alert]


def signals_of(body: bytes) -> list[SignalReceived | SignalResolved]:
    """Return one signal an alert, in their order. WebhookError names everything that is wrong."""
    alerts = _parse(body).alerts
    wrong = [line for index, alert in enumerate(alerts) for line in _objections(index, alert)]
    if wrong:
        raise WebhookError(wrong)
    return [_signal(alert) for alert in alerts]


def _parse(body: bytes) -> _Body:
    try:
        return _Body.model_validate(json.loads(body))
    except json.JSONDecodeError as error:
        raise WebhookError([f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}"]) from error
    except ValidationError as error:
        raise WebhookError([_line(one["loc"], one["msg"]) for one in error.errors(include_url=False)]) from error
    except UnicodeDecodeError as error:
        raise WebhookError([f"byte {error.start}: not UTF-8"]) from error
    except RecursionError as error:
        raise WebhookError(["body: nested too deeply"]) from error
    except ValueError as error:  # A number of thousands of digits, which Python refuses to read.
        raise WebhookError([f"body: {error}"]) from error


def _line(location: tuple[int | str, ...], message: str) -> str:
    """Write `alerts[0].labels.pod: must be a valid string`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    message = message.removeprefix("Value error, ")
    if message.startswith("Input should be a valid dictionary"):
        message = "must be a JSON object"
    message = message.replace("Input should be a valid list", "must be a JSON array")
    message = message.replace("Input should be", "must be")
    return f"{path or 'body'}: {message[:1].lower()}{message[1:]}"


def _objections(index: int, alert: _Alert) -> list[str]:
    where, labels = f"alerts[{index}].labels", alert.labels
    name = labels.get("alertname", "")
    if not name:
        return [f"{where}: no alertname"]
    read = ["alertname", "namespace", "cluster"]
    label = _target_label(labels)
    if label is None:
        return [f"{where}: {name[:100]!r} names no target: none of {', '.join(KINDS)}"]
    long = [one for one in [*read, label] if len(labels.get(one, "")) > NAME_LENGTH_MAX]
    return [f"{where}.{one}: longer than {NAME_LENGTH_MAX} characters" for one in long]


def _target_label(labels: Mapping[str, str]) -> str | None:
    return next((label for label in KINDS if labels.get(label)), None)


def _signal(alert: _Alert) -> SignalReceived | SignalResolved:
    labels = alert.labels
    label = _target_label(labels)
    assert label is not None  # _objections refused the others.
    firing = alert.status == "firing"
    return (SignalReceived if firing else SignalResolved)(
        name=labels["alertname"],
        target=Target(
            cluster=labels.get("cluster", ""),
            namespace=labels.get("namespace", ""),
            kind=KINDS[label],
            name=labels[label],
        ),
        status=alert.status,
        severity=SEVERITIES.get(labels.get("severity", "").strip().lower(), Severity.UNKNOWN),
        labels=labels,
        annotations=alert.annotations,
        starts_at=alert.starts_at,
        resolves=True,
    )
