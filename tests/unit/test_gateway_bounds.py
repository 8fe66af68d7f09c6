"""What anybody may send costs the door little, and never much at once: whatever shape a body has."""

import gc
import gzip
import json
import re
import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import pytest
from doors import alert, webhook

from remediation_orchestrator.events import CellName
from remediation_orchestrator.gateway import delivery
from remediation_orchestrator.gateway.bodies import Received, Source
from remediation_orchestrator.gateway.formats.cloudevents import BATCH
from remediation_orchestrator.gateway.formats.mapping import Mapping
from remediation_orchestrator.gateway.frames import StoredBody, body_of, digest_of
from remediation_orchestrator.gateway.identity import IdentityRules
from remediation_orchestrator.gateway.items import (
    DIGITS_MAX,
    ITEMS_MAX,
    LABELS_MAX,
    STORED_BYTES_MAX,
    VALUES_MAX,
    BodyTooLargeError,
    Found,
    Item,
    LeftOut,
    Refused,
    WebhookError,
)
from remediation_orchestrator.gateway.sources import Rules, built_in, check_some_good, each_item
from remediation_orchestrator.web.problems import HttpProblem

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
JSON = "application/json"
# A turn of work; measured are a tenth of it at most, on a slow machine.
STEP_SECONDS = 0.1
FULL = delivery.BODY_BYTES_MAX - 1_000
MAPPING = Mapping.model_validate(
    {
        "source": "any",
        "items": "alerts",
        "name": "{rule.deep[0]|text.name}",
        "target": {"name": "{text.deep[0].host|host}"},
        "labels": {f"l{number}": "{text.deep[3].nothing|text.deep[1]}" for number in range(30)},
    }
)
SOURCES = built_in([MAPPING])
GREEDY = Rules(
    identity=IdentityRules.model_validate(
        {
            "target": [{"label": "pod", "match": "(a+)+$|(.*)*[0-9]+$"}],
            "normalise": [{"part": "target", "match": "(a+)+$"}, {"part": "name", "match": "(.*)*x"}],
        }
    )
)


def work(source: Source, body: bytes, rules: Rules, media_type: str) -> Generator[None, None, StoredBody]:
    """What the door does with a body, step by step."""
    items: list[Item] = []
    for item in each_item(source, Received(media_type, {}, body), rules, NOW):
        items.append(item)
        yield
    kept = [item for item in items if not isinstance(item, LeftOut)]
    check_some_good(kept)
    return (yield from body_of(CellName("main"), source.name, digest_of(body), kept, NOW))


def array(item: bytes, *, size: int = FULL) -> bytes:
    """As many of an item as fit."""
    return b"[" + b",".join([item] * (size // (len(item) + 1))) + b"]"


def alerts(items: bytes) -> bytes:
    """A body of Alertmanager's around an array."""
    return b'{"version":"4","alerts":' + items + b"}"


LONG_TEXT = json.dumps({"deep": [{"host": "h"}, "x" * 2_000, *range(20_000)], "name": "n"})
SHAPES: dict[str, tuple[str, bytes]] = {
    "empty alerts": ("alertmanager", alerts(array(b"{}"))),
    "as many empty alerts as are looked at": ("alertmanager", alerts(array(b"{}", size=3 * ITEMS_MAX))),
    "the smallest signals": (
        "alertmanager",
        alerts(array(b'{"status":"firing","labels":{"alertname":"a","pod":"b"}}')),
    ),
    "alerts without a target": ("alertmanager", alerts(array(b'{"status":"firing","labels":{"alertname":"a"}}'))),
    "labels that are no text": (
        "alertmanager",
        webhook({"status": "firing", "labels": {str(n): n for n in range(25_000)}}),
    ),
    "as many of these as are looked at": (
        "alertmanager",
        webhook(*[{"status": "firing", "labels": {str(n): n for n in range(LABELS_MAX - 1)}}] * 20),
    ),
    "one long label of digits": ("alertmanager", webhook(alert(pod="1" * (FULL - 1_000) + "x"))),
    "names that a pattern could not be done with": (
        "alertmanager",
        webhook(*[alert(pod="a" * 1_000 + "x")] * 200),
    ),
    "brackets": ("alertmanager", alerts(b"[" * (FULL // 2) + b"]" * (FULL // 2))),
    "numbers": ("alertmanager", alerts(array(b"1e5"))),
    "as many numbers as are read": ("alertmanager", alerts(array(b"1e5", size=4 * VALUES_MAX - 100))),
    "as many objects as are read": ("alertmanager", alerts(array(b"{}", size=3 * VALUES_MAX // 2 - 100))),
    "long numbers": ("alertmanager", alerts(array(b"9" * DIGITS_MAX))),
    "surrogates": ("alertmanager", alerts(b'["' + b"\\ud83d\\ude00" * (FULL // 13) + b'"]')),
    "empty events": ("kubernetes", b'{"items":' + array(b"{}", size=3 * ITEMS_MAX) + b"}"),
    "empty cloud events": ("cloudevents", array(b"{}", size=3 * ITEMS_MAX)),
    "a long text that every alert goes on into": (
        "any",
        json.dumps({"text": LONG_TEXT, "alerts": [{} for _ in range(4_000)]}).encode(),
    ),
}


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Nothing that the tests before have left behind is collected meanwhile: a door's process has no such heap."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("shape", SHAPES)
def test_no_body_of_any_shape_holds_the_door_up(shape: str) -> None:
    """In time of the processor, so that a busy machine does not count."""
    name, body = SHAPES[shape]
    steps = work(SOURCES[name], body, GREEDY, BATCH if name == "cloudevents" else JSON)
    longest, took, ended = 0.0, 0.0, False
    while not ended:
        began = time.thread_time()
        try:
            next(steps)
        except (StopIteration, WebhookError):
            ended = True
        longest = max(longest, time.thread_time() - began)
        took += time.thread_time() - began
    assert longest < STEP_SECONDS
    assert took < 10 * STEP_SECONDS


def refusal(source: str, body: bytes, rules: Rules | None = None) -> WebhookError:
    """With what a body is refused."""
    with pytest.raises(WebhookError) as caught:
        for _ in work(SOURCES[source], body, rules or Rules(), JSON):
            pass
    return caught.value


def test_items_are_counted_before_one_of_them_is_looked_at() -> None:
    """One more than the bound, all of them wrong: that is the only line."""
    for number in (ITEMS_MAX + 1, 80_000):
        found = refusal("alertmanager", webhook(*[{}] * number))
        assert isinstance(found, BodyTooLargeError)
        assert found.lines == [f"{number:,} items, and a body has at most 20,000: send fewer at once"]


def test_labels_are_counted_before_one_of_them_is_looked_at() -> None:
    """And the alert beside it is taken."""
    many = alert(labels={str(number): number for number in range(LABELS_MAX + 1)})
    received = Received(JSON, {}, webhook(many, alert()))
    bad, good = each_item(SOURCES["alertmanager"], received, Rules(), NOW)
    assert isinstance(good, Found)
    assert isinstance(bad, Refused)
    assert bad.lines == ["alerts[0].labels: 1,001 of them, and there are at most 1,000"]


def test_a_text_that_a_mapping_repeats_in_every_alert_is_counted_as_it_grows() -> None:
    """A body of a quarter of a megabyte would become hundreds."""
    body = json.dumps(
        {"text": "x" * 100_000, "alerts": [{"host": str(number)} for number in range(4_000)]}
    ).encode()
    given = {
        "source": "many",
        "items": "alerts",
        "name": "n",
        "target": {"name": "{host}"},
        "labels": {"l": "{text}"},
    }
    items = Mapping.model_validate(given).items_of(body, NOW)
    for _ in range(STORED_BYTES_MAX // 100_000 + 1):
        next(items)
    with pytest.raises(BodyTooLargeError):
        next(items)


def test_a_name_that_grows_beyond_its_bound_when_it_is_normalised_is_refused() -> None:
    """However often it is doubled."""
    doubled: list[dict[str, Any]] = [{"part": "name", "match": ".+", "replace": r"\g<0>\0"}] * 60
    found = IdentityRules.model_validate({"normalise": doubled}).identify({"alertname": "x", "pod": "p"}, "labels")
    assert found == ["labels: the name is longer than 1024 characters when it is normalised"]


def test_a_length_is_known_before_a_pattern_is_looked_for() -> None:
    """What is no name is refused as it is."""
    found = GREEDY.identity.identify({"alertname": "x", "pod": "1" * 2_000}, "labels")
    assert found == ["labels.pod: longer than 1024 characters"]


@pytest.mark.parametrize(
    ("source", "body"),
    [
        (
            "alertmanager",
            '{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"a","pod":"b"},"startsAt":%s}]}',
        ),
        ("kubernetes", '{"reason":"a","regarding":{"name":"b"},"lastTimestamp":%s}'),
        (
            "cloudevents",
            '{"specversion":"1.0","id":"1","source":"/me","type":"SignalReceived.v1",'
            '"data":{"name":"a","target":{"name":"b"},"starts_at":%s}}',
        ),
        ("mapped", '{"at":%s}'),
    ],
)
@pytest.mark.parametrize(
    ("moment", "taken"),
    [
        ("0001-01-01T00:00:00+14:00", False),
        ("0001-01-01T00:00:00-14:00", True),
        ("0001-01-01T00:00:00Z", True),
        ("9999-12-31T23:59:59.999999-14:00", False),
        ("9999-12-31T23:59:59.999999Z", False),
        ("9999-12-31T23:59:59.999999+14:00", False),
        ("0000-01-01T00:00:00Z", False),
    ],
)
def test_a_time_at_the_edges_is_a_value_or_left_out(source: str, body: str, moment: str, taken: bool) -> None:
    """Never a fault of the door, nor the end of an alert: what is no time, or lies ahead, is left out and said."""
    mapped = {"source": "mapped", "name": "n", "target": {"name": "t"}, "starts_at": "{at}"}
    sources = built_in([Mapping.model_validate(mapped)])
    media_type = "application/cloudevents+json" if source == "cloudevents" else JSON
    received = Received(media_type, {}, (body % json.dumps(moment)).encode())
    (item,) = each_item(sources[source], received, Rules(), NOW)
    assert isinstance(item, Found)
    assert (item.signal.starts_at is not None, item.remarks == []) == (taken, taken)


def test_what_unpacks_to_far_more_than_it_is_was_made_to_be_large() -> None:
    """Within the bound of bytes, too; a thousand alike alerts are well below it."""
    headers = {"content-encoding": "gzip"}
    usual = webhook(*(alert(pod=f"pod-{number}") for number in range(1_400)))
    assert delivery.unpack(headers, gzip.compress(usual)) == usual
    for bomb in (b"0" * FULL, alerts(array(b"{}"))):
        with pytest.raises(HttpProblem) as caught:
            delivery.unpack(headers, gzip.compress(bomb))
        assert caught.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        assert caught.value.detail == "the body unpacks to more than 250 times its size"


@pytest.mark.parametrize(
    ("pattern", "replace", "line"),
    [
        ("(?=a)", "", "no regular expression (RE2): invalid perl operator: (?="),
        ("x" * 1_001, "", "a regular expression has at most 1,000 characters"),
        ("(a{1000}){1000}", "", "no regular expression (RE2)"),
        ("(a)", r"\2", r"the replacement's \2 is no group of the pattern"),
        ("(?P<one>a)", r"\g<two>", r"the replacement's \g<two> is no group of the pattern"),
    ],
)
def test_a_pattern_that_cannot_be_bounded_is_refused(pattern: str, replace: str, line: str) -> None:
    """When its file is read, and not when an alert comes."""
    with pytest.raises(ValueError, match=re.escape(line)):
        IdentityRules.model_validate({"normalise": [{"part": "name", "match": pattern, "replace": replace}]})


def test_groups_of_a_pattern_stand_in_its_replacement() -> None:
    """By number and by name; a group that matched nothing is nothing."""
    given = [{"part": "target", "match": "^(?P<a>[^-]+)-(x)?(.*)$", "replace": r"\3-ü-\g<a>\2"}]
    found = IdentityRules.model_validate({"normalise": given}).identify(
        {"alertname": "n", "pod": "é-b-c"}, "labels"
    )
    assert not isinstance(found, list)
    assert found.target.name == "b-c-ü-é"
