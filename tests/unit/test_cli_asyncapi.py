"""The AsyncAPI document says what the structs and the subjects say, all of it and nothing else."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from remediation_orchestrator.cli.asyncapi import BARE, document
from remediation_orchestrator.cli.main import main
from remediation_orchestrator.events import CellName
from remediation_orchestrator.events.codec import TYPES
from remediation_orchestrator.events.subjects import Family, bound_subjects


@pytest.fixture(scope="module")
def page() -> Any:
    """The document as a reader gets it."""
    result = CliRunner().invoke(main, ["asyncapi", "--json"])
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_every_event_is_a_message_of_one_channel(page: Any) -> None:
    """And every message is an event, besides the bare signal."""
    said = Counter(name for channel in page["channels"].values() for name in channel["messages"])
    assert said == Counter([*TYPES, BARE])
    assert set(page["components"]["messages"]) == {*TYPES, BARE}


def test_every_family_of_subjects_is_a_channel_and_the_stream_is_bound_to_it(page: Any) -> None:
    """A parameter stands for one word."""
    assert set(page["channels"]) == {family.value for family in Family}
    addresses = {_with_stars(channel["address"]) for channel in page["channels"].values()}
    assert addresses == set(bound_subjects(CellName("*")))


def test_every_parameter_of_an_address_is_described(page: Any) -> None:
    """And no other."""
    for channel in page["channels"].values():
        words = {word[1:-1] for word in channel["address"].split(".") if word.startswith("{")}
        assert set(channel["parameters"]) == words


@pytest.mark.parametrize("name", TYPES)
def test_the_data_of_every_event_has_the_fields_of_its_struct(page: Any, name: str) -> None:
    """Under the names of the wire."""
    message = page["components"]["messages"][name]
    properties = message["payload"]["allOf"][1]["properties"]
    assert properties["type"] == {"const": name}
    schema = page["components"]["schemas"][properties["data"]["$ref"].rpartition("/")[2]]
    assert set(schema["properties"]) == set(TYPES[name].__struct_encode_fields__)  # type: ignore[attr-defined]


def test_every_reference_leads_somewhere(page: Any) -> None:
    """Inside the document."""
    for reference in _references(page):
        place = page
        for word in reference.removeprefix("#/").split("/"):
            place = place[word]


def test_yaml_says_the_same() -> None:
    """For people."""
    assert yaml.safe_load(CliRunner().invoke(main, ["asyncapi"]).stdout) == json.loads(json.dumps(document()))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _with_stars(address: str) -> str:
    return ".".join("*" if word.startswith("{") else word for word in address.split("."))
