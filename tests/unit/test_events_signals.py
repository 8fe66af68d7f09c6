"""A signal is read alike whichever way it came: its time and its severity cost nobody an alert."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from remediation_orchestrator.events import Recorded, SignalReceived, StoredMessage, decode

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
SMALLEST = {"name": "Crash", "target": {"name": "checkout"}}


def one(payload: object) -> SignalReceived:
    """The last signal of a message."""
    found = decode(StoredMessage(41, NOW, "ro.main.signal.test", json.dumps(payload).encode()))[-1]
    assert isinstance(found, Recorded), found
    assert isinstance(found.event, SignalReceived)
    return found.event


def cloud_event(data: object) -> dict[str, object]:
    """A CloudEvent around a signal."""
    return {"specversion": "1.0", "id": "1", "source": "/me", "type": "SignalReceived.v1", "data": data}


@pytest.mark.parametrize(
    "said",
    [
        "yesterday",
        3,
        {"a": 1},
        "2026-11-21T10:00:00",
        "2031-01-01T00:00:00Z",
        "2026-11-21T10:02:00.000001Z",
        "2026-11-21T12:02:00.000001+02:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
@pytest.mark.parametrize("around", [lambda one: one, lambda one: [SMALLEST, one], lambda one: cloud_event(one)])
def test_a_time_that_is_none_or_lies_ahead_costs_no_signal(
    said: object, around: Callable[[object], object]
) -> None:
    """Bare, in an array and as a CloudEvent; the log's readers have the same of it as the door."""
    found = one(around({**SMALLEST, "starts_at": said, "severity": "high"}))
    assert (found.starts_at, found.severity) == (None, "high")


def test_a_time_within_what_clocks_disagree_by_is_kept() -> None:
    """Two minutes, also in another zone."""
    for said in ("2026-11-21T10:02:00Z", "2026-11-21T12:02:00+02:00"):
        assert one({**SMALLEST, "starts_at": said}).starts_at == datetime(2026, 11, 21, 10, 2, tzinfo=UTC)


def test_severity_is_read_in_any_case() -> None:
    """However a signal came: what was said is known in lower case."""
    for payload in ({**SMALLEST, "severity": "CRITICAL"}, cloud_event({**SMALLEST, "severity": "Critical"})):
        assert one(payload).severity == "critical"
