"""`ro asyncapi`: every subject and event of the log as an AsyncAPI 3.0 document, from the structs themselves."""

import importlib.metadata
from typing import get_args

import click
import msgspec
import yaml

from remediation_orchestrator.events import Command, SignalReceived
from remediation_orchestrator.events.codec import CONTENT_TYPE, SPECVERSION, TYPES
from remediation_orchestrator.events.duplicates import StoredDecision
from remediation_orchestrator.events.subjects import FACTS, Family

from .support.connection import json_option
from .support.output import json_line

ADDRESSES = {
    Family.SIGNAL: ("ro.{cell}.signal.{source}", "Signals, from anyone; bare JSON signals too, one or an array."),
    Family.ANALYSIS: ("ro.{cell}.analysis.{remediation}", "What analysers found."),
    Family.EXECUTION: ("ro.{cell}.execution.{execution}", "Runs; the first that counts decides who may begin."),
    Family.OPERATOR: ("ro.{cell}.operator.{verb}.{who}", "What operators say."),
    Family.DECISION: ("ro.{cell}.decision", "Frames of decisions, by the active orchestrator alone."),
    Family.COMMAND: ("ro.{cell}.command.{kind}.{id}", "One command a message, by the active orchestrator alone."),
}
PARAMETERS = {
    "cell": "1 to 32 of a-z, 0-9 and inner hyphens; the default cell is main.",
    "source": "Who says so, one word.",
    "remediation": "rr-<position of its first signal>",
    "execution": "wfe-<position of the remediation's first signal>, then -r2, -r3 ...",
    "verb": "approve, reject, clear, cancel, retry, adopt, shadow, archive or accept.",
    "who": "The operator, as `by` says: 1 to 64 of letters, digits, _ and -.",
    "kind": "workflow, analyze, cancel or notify.",
    "id": "What the command is about.",
}
BARE = "Signal"


@click.command("asyncapi")
@json_option
def verb(as_json: bool) -> None:
    """Print the AsyncAPI document of all subjects, as YAML or with --json as JSON."""
    if as_json:
        json_line(document())
    else:
        click.echo(yaml.safe_dump(document(), sort_keys=False, allow_unicode=True), nl=False)


def document() -> dict[str, object]:
    """The whole document, as plain data."""
    kinds = list(TYPES.values())
    _, schemas = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}", schema_hook=_any
    )
    messages = {name: _message(name, kind) for name, kind in TYPES.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "remediation-orchestrator",
            "version": importlib.metadata.version("remediation-orchestrator"),
            "description": "One log a cell, on the JetStream stream RO_<cell>; every message is stored.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {family.value: _channel(family) for family in Family},
        "operations": {
            f"publish-{family.value}": {"action": "send", "channel": {"$ref": f"#/channels/{family.value}"}}
            for family in Family
        },
        "components": {
            "messages": messages | {BARE: _bare()},
            "schemas": {**schemas, "CloudEvent": _envelope()},
        },
    }


def events_of(family: Family) -> list[str]:
    """The types of the events that may stand on the subjects of a family."""
    if family.is_fact:
        kinds: tuple[type, ...] = FACTS[family]
    else:
        kinds = get_args(StoredDecision if family is Family.DECISION else Command)
    return [f"{kind.__name__}.v1" for kind in kinds]


def _channel(family: Family) -> dict[str, object]:
    address, description = ADDRESSES[family]
    names = [*events_of(family), *([BARE] if family is Family.SIGNAL else [])]
    words = [word[1:-1] for word in address.split(".") if word.startswith("{")]
    return {
        "address": address,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "parameters": {word: {"description": PARAMETERS[word]} for word in words},
    }


def _message(name: str, kind: type) -> dict[str, object]:
    said = {"type": {"const": name}, "data": {"$ref": f"#/components/schemas/{kind.__name__}"}}
    return {
        "name": name,
        "summary": (kind.__doc__ or "").splitlines()[0],
        "contentType": "application/cloudevents+json",
        "payload": {
            "allOf": [{"$ref": "#/components/schemas/CloudEvent"}, {"type": "object", "properties": said}]
        },
    }


def _bare() -> dict[str, object]:
    return {
        "name": BARE,
        "summary": "A signal without its envelope.",
        "payload": {"$ref": f"#/components/schemas/{SignalReceived.__name__}"},
    }


def _envelope() -> dict[str, object]:
    """CloudEvents 1.0, as far as it is used here. A frame is an array of them."""
    text = {"type": "string"}
    return {
        "type": "object",
        "description": "A CloudEvent; several in a JSON array are a frame, stored together or not at all.",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": SPECVERSION},
            "id": text,
            "source": text,
            "type": text,
            "subject": {**text, "description": "The fingerprint."},
            "time": {**text, "format": "date-time"},
            "datacontenttype": {"const": CONTENT_TYPE},
            "causationid": text,
            "correlationid": {**text, "description": "The remediation."},
            "traceparent": text,
            "data": {"type": "object"},
        },
    }


def _any(kind: type) -> dict[str, object]:
    """A parameter's value and a policy's document are any JSON."""
    if kind is object:
        return {"description": "Any JSON value."}
    raise NotImplementedError
