"""What a mapping may say: expressions, states, bodies that are left out, times; and how it is refused."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediation_orchestrator.documents.files import FileError, read
from remediation_orchestrator.events import Target
from remediation_orchestrator.gateway.formats.mapping import Mapping
from remediation_orchestrator.gateway.items import Found, Item, LeftOut, Refused, WebhookError

EXAMPLES = Path(__file__).parents[2] / "examples" / "mappings"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LEAST = {"source": "x", "name": "n", "target": {"name": "t"}}


def items(sent: object, **rules: Any) -> list[Item]:
    """What a body becomes by these rules."""
    raw = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    return list(Mapping.model_validate({**LEAST, **rules}).items_of(raw, NOW))


def label(template: str, sent: object) -> str:
    """What a template says of a body."""
    (found,) = items(sent, labels={"it": template})
    assert isinstance(found, Found)
    return found.signal.labels.get("it", "")


@pytest.mark.parametrize(
    ("template", "sent", "said"),
    [
        ("{a.b[0]}", {"a": {"b": [7]}}, "7"),
        ("{a || b}-{c}", {"a": "", "b": "x", "c": True}, "x-true"),
        (
            "{tags[?key == 'host'].value | [0]}",
            {"tags": [{"key": "env", "value": "p"}, {"key": "host", "value": "h"}]},
            "h",
        ),
        ("{cut(title, '^[[].*[]] (.+)$')}", {"title": "[Triggered] Disk"}, "Disk"),
        ("{cut(pod, '^(.+)-[a-z]{5}$')}", {"pod": "shop-abcde"}, "shop"),
        ("{cut(pod, '^x')}", {"pod": "shop"}, ""),
        (
            "{split(tags, ',')[?starts_with(@, 'host:')] | [0] | cut(@, 'host:(.*)')}",
            {"tags": "a:b, host:h,c"},
            "h",
        ),
        ("{from_json(text).a[1]}", {"text": '{"a": [1, 2]}'}, "2"),
        ("{from_json(text).a}", {"text": "no JSON"}, ""),
        ("{from_json(n)}{length(n)}{cut(n, 'x')}", {"n": 3}, ""),
        ("{ceil(to_number(load))}", {"load": "1e999"}, ""),
        ("{a}", {"a": {"b": 1}}, ""),
        ('{"odd key"}', {"odd key": "v"}, "v"),
        ("plain", {}, "plain"),
    ],
)
def test_an_expression_says_what_jmespath_says(template: str, sent: object, said: str) -> None:
    """And nothing where it cannot be asked of the body."""
    assert label(template, sent) == said


def test_a_body_of_several_alerts_is_several_items() -> None:
    """Places are looked up in the alert, then in the body around it; what lacks its target is refused by name."""
    sent = {"site": "fra", "alerts": [{"name": "a", "host": "h"}, {"name": "b"}]}
    good, bad = items(sent, items="alerts", name="{name}", target={"name": "{host}", "cluster": "{site}"})
    assert isinstance(good, Found)
    assert (str(good.signal.target), good.signal.resolves) == ("fra/h", False)
    assert isinstance(bad, Refused)
    assert bad.lines == ["alerts[1]: no target: {host} holds nothing"]


def test_a_body_says_in_what_its_target_stands() -> None:
    """Place by place; what holds nothing is left out, and what is too long is refused by name."""
    rules: dict[str, Any] = {"name": "n", "target": {"name": "{pod}", "cluster": "fra"}}
    within = [{"kind": "Node", "name": "{node}"}, {"kind": "Rack", "name": "{rack}"}]
    (good,) = items({"pod": "p", "node": "n1"}, **rules, within=within)
    assert isinstance(good, Found)
    assert good.signal.within == (Target("n1", "fra", "", "Node"),)
    (bad,) = items({"pod": "p", "node": "n", "rack": "r" * 1_025}, **rules, within=within)
    assert isinstance(bad, Refused)
    assert bad.lines == ["body: the within[1] is longer than 1024 characters"]


def test_of_several_alerts_those_that_are_none_are_left_out() -> None:
    """Whatever the case of their words; without words for firing all that is not over fires."""
    sent = [{"s": "OPEN"}, {"s": "closed"}, {"s": "acknowledged"}, {}]
    state = {"value": "{s}", "firing": ["open"], "resolved": ["Closed"]}
    found = items(sent, items="@", state=state)
    assert [type(one).__name__ for one in found] == ["Found", "Found", "LeftOut", "LeftOut"]
    assert isinstance(found[2], LeftOut)
    assert found[2].line() == "@[2]: left out: 'acknowledged' says neither that it fires nor that it is over"
    without = items(sent, items="@", state={"value": "{s}", "resolved": ["closed"]})
    said = [one.signal.status for one in without if isinstance(one, Found)]
    assert said == ["firing", "resolved", "firing", "firing"]


@pytest.mark.parametrize("sent", [[], {"alerts": 3}, {}])
def test_a_body_without_its_list_is_refused(sent: object) -> None:
    """Saying where it should be."""
    with pytest.raises(WebhookError) as caught:
        items(sent, items="alerts")
    assert caught.value.lines == ["alerts: must be a JSON array"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("source: a b\nname: n\ntarget: {name: t}", ":1: source: 1 to 128 of letters, digits, _ and -"),
        ("source: a\nname: '{..}'\ntarget: {name: t}", ":2: name: {..} is no JMESPath: invalid token"),
        ("source: a\nname: '{a'\ntarget: {name: t}", ":2: name: '{a': an expression stands in braces"),
        ("source: a\nname: '{nope(a)}'\ntarget: {name: t}", ":2: name: there is no function nope()"),
        ('source: a\nname: "{cut(a, b)}"\ntarget: {name: t}', ":2: name: cut() takes a text and a pattern in"),
        (
            "source: a\nname: \"{cut(a, '(')}\"\ntarget: {name: t}",
            ":2: name: no regular expression (RE2): missing )",
        ),
        (
            "source: a\nname: n\ntarget: {name: t}\nkinds: 3",
            ":4: unknown key kinds; known here: ",
        ),
        (
            "source: a\nname: n\ntarget: {name: t}\nresolved: {value: x, words: [y]}",
            ":4: unknown key resolved; did you mean state.resolved?",
        ),
        (
            "source: a\nname: n\ntarget: {name: t}\nstarts_at: {value: x, zone: Mars}",
            ":4: starts_at.zone: 'Mars' is",
        ),
        ("source: a\nname: n", ":1: target: field required"),
        ("source: [", ":1: not YAML: expected the node content, but found '<stream end>'"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused_by_name(tmp_path: Path, text: str, line: str) -> None:
    """With the file and the place."""
    file = tmp_path / "m.yaml"
    file.write_text(text)
    with pytest.raises(FileError) as caught:
        read(file, Mapping)
    assert str(caught.value).startswith(f"{file}{line}")


TEN = datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "how"),
    [
        ("2026-11-21T10:00:00Z", {}),
        ("2026-11-21T10:00:00.123456789Z", {}),
        ("2026-11-21 12:00:00 +0200", {}),
        ("2026-11-21 10:00:00 UTC", {}),
        ("2026-11-21T11:00:00", {"zone": "Europe/Berlin"}),
        ("2026.11.21 11:00:00", {"zone": "Europe/Berlin"}),
        ("2026/11/21 10:00:00 GMT", {"zone": "Europe/Berlin"}),
        ("Sat, 21 Nov 2026 10:00:00 +0000", {}),
        ("21.11.2026 um 10:00", {"formats": ["%d.%m.%Y um %H:%M"], "zone": "UTC"}),
        (1795255200, {}),
        ("1795255200000", {}),
        (1795255200000000, {}),
        (1795255200000000000, {}),
        (1795255200.0, {}),
    ],
)
def test_a_time_is_read_as_it_is_usually_written(said: object, how: dict[str, Any]) -> None:
    """In its own zone, or in the one that the mapping names."""
    (found,) = items({"at": said}, starts_at={"value": "{at}", **how})
    assert isinstance(found, Found)
    assert found.remarks == []
    assert found.signal.starts_at is not None
    assert found.signal.starts_at.replace(microsecond=0) == TEN


@pytest.mark.parametrize(
    "moment", ["yesterday", "2026-11-21T10:00:00", "1e400", "-1e18", "nan", "x" * 200, "2026-11-21T12:02:01Z"]
)
def test_a_time_that_is_none_is_left_out(moment: str) -> None:
    """Rather than taken for now; the alert stays, and it is said."""
    (item,) = items({"at": moment}, starts_at="{at}")
    assert isinstance(item, Found)
    assert item.signal.starts_at is None
    assert item.remarks[0].startswith("body.starts_at: ")


def test_a_body_is_left_out_by_what_it_says() -> None:
    """The first reason that holds is said."""
    rules = [{"when": "kind == 'ping'", "because": "a ping of {who}"}, {"when": "!alert"}]
    said = [
        items(sent, leave_out=rules)[0] for sent in ({"kind": "ping", "who": "p"}, {"kind": "x"}, {"alert": 1})
    ]
    assert [getattr(one, "why", None) for one in said] == [
        "left out: a ping of p",
        "left out: it is no alert",
        None,
    ]


ATOMS = st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.stem)
def test_whatever_stands_in_a_place_a_body_is_items_or_refused(file: Path) -> None:
    """Never a fault of the door: each place of a vendor's body holds anything, in turn."""
    mapping = read(file, Mapping)
    body = json.loads((EXAMPLES / "bodies" / f"{file.stem}.json").read_bytes())

    @settings(max_examples=100)
    @given(st.data())
    def see(data: st.DataObject) -> None:
        sent: Any = json.loads(json.dumps(body))
        at = sent
        while isinstance(at, dict) and at:
            key = data.draw(st.sampled_from(sorted(at)))
            if not isinstance(at[key], dict) or data.draw(st.booleans()):
                at[key] = data.draw(VALUES)
                break
            at = at[key]
        found = list(mapping.items_of(json.dumps(sent).encode(), NOW))
        assert all(isinstance(one, Found | Refused | LeftOut) for one in found)

    see()
