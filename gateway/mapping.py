"""Any other JSON into signals, by a mapping that a user writes in ten lines. Pure: no code, only places and words.

A value is text with places in braces: `{host.name}`, `{alerts[0].id}`; of `{a|b}` the first that holds something.
Where a place goes on into text that is itself JSON, that is read too."""

import json
import re
from datetime import datetime
from typing import Annotated

from msgspec import Struct
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from remediation_orchestrator.events import SignalReceived, SignalResolved, Target
from remediation_orchestrator.events.identity import NAME_LENGTH_MAX
from remediation_orchestrator.events.subjects import TOKEN

from .alertmanager import severity_of
from .items import (
    STORED_BYTES_MAX,
    TOO_MUCH,
    Found,
    Item,
    Items,
    TooLargeError,
    WebhookError,
    began,
    counted,
    read_json,
    refused,
)

_PLACE = re.compile(r"\{([^{}]*)\}")
_STEP = re.compile(r"[^.\[\]|]+|\[(\d{1,6})\]")
_PATH = re.compile(r"([^.\[\]|]+|\[\d{1,6}\])(\.[^.\[\]|]+|\[\d{1,6}\])*")


def _checked(template: str) -> str:
    for place in _PLACE.findall(template):
        for path in place.split("|"):
            if _PATH.fullmatch(path.strip()) is None:
                raise ValueError(f"{{{place}}} is no place: written as {{a.b[0]|c}}")
    return template


Template = Annotated[str, AfterValidator(_checked)]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TargetMapping(_Input):
    """Where the parts of a target are."""

    name: Template
    cluster: Template = ""
    namespace: Template = ""
    kind: Template = ""


class Resolved(_Input):
    """How a body says that a problem is over: this value is one of these words, whatever their case."""

    value: Template
    words: list[str] = Field(min_length=1)


class Mapping(_Input):
    """One vendor's bodies. `items` is the place of the list of its alerts, where it sends several at once."""

    source: str
    items: str | None = None
    name: Template
    target: TargetMapping
    resolved: Resolved | None = None
    severity: Template = ""
    severities: dict[str, str] = {}
    starts_at: Template = ""
    labels: dict[str, Template] = {}
    annotations: dict[str, Template] = {}

    @field_validator("source")
    @classmethod
    def _one_word(cls, source: str) -> str:
        if TOKEN.fullmatch(source) is None:
            raise ValueError("1 to 128 of letters, digits, _ and -")
        return source

    @field_validator("items")
    @classmethod
    def _a_place(cls, items: str | None) -> str | None:
        if items is not None and _PATH.fullmatch(items) is None:
            raise ValueError("a place such as a.b[0]")
        return items

    def items_of(self, body: bytes, now: datetime) -> Items:
        """Yield one item an alert of the body. Its places are looked up in the alert, then in the body."""
        read = read_json(body)
        texts = _Texts()
        if self.items is None:
            yield self._item("body", _Places([read], texts), now)
            return
        found = texts.look(read, self.items)
        if not isinstance(found, list):
            raise WebhookError([f"{self.items}: must be a JSON array"])
        characters = 0
        for index, one in enumerate(counted(found)):
            item = self._item(f"{self.items}[{index}]", _Places([one, read], texts), now)
            yield item
            characters += _length(item)
            if characters > STORED_BYTES_MAX:  # A text that stands in the body once may be a label of every item.
                raise TooLargeError([TOO_MUCH])

    def _item(self, where: str, places: "_Places", now: datetime) -> Item:
        target = Target(**{part: places.fill(text) for part, text in self.target.model_dump().items()})
        name = places.fill(self.name)
        wrong = [
            f"{where}: no {part}: {text} holds nothing"
            for part, text, value in (("name", self.name, name), ("target", self.target.name, target.name))
            if not value
        ]
        parts = {"name": name, "target": target.name, "cluster": target.cluster}
        parts |= {"namespace": target.namespace, "kind": target.kind}
        wrong += [
            f"{where}: the {part} is longer than {NAME_LENGTH_MAX} characters"
            for part, value in parts.items()
            if len(value) > NAME_LENGTH_MAX
        ]
        if wrong:
            return refused(where, wrong, places.objects[0])
        starts_at, remarks = began(places.fill(self.starts_at), now, f"{where}.starts_at")
        over = self.resolved is not None and self._is_over(self.resolved, places)
        word = places.fill(self.severity)
        said = self.severities.get(word)
        signal = (SignalResolved if over else SignalReceived)(
            name=name,
            target=target,
            status="resolved" if over else "firing",
            severity=severity_of(word if said is None else said),
            labels={key: value for key, text in self.labels.items() if (value := places.fill(text))},
            annotations={key: value for key, text in self.annotations.items() if (value := places.fill(text))},
            starts_at=starts_at,
            resolves=self.resolved is not None,
        )
        return Found(where, signal, {"name": self.name, "target": self.target.name}, remarks=remarks)

    @staticmethod
    def _is_over(resolved: Resolved, places: "_Places") -> bool:
        return places.fill(resolved.value).strip().lower() in {word.lower() for word in resolved.words}


class _Texts:
    """Texts of one body that are themselves JSON, each of them read once, however many places go on into it."""

    def __init__(self) -> None:
        self._unfolded: dict[str, object] = {}

    def look(self, value: object, path: str) -> object:
        """What stands at a place, or None."""
        for step in _STEP.finditer(path):
            if isinstance(value, str):
                value = self._unfold(value)
            if step[1] is not None:
                index = int(step[1])
                value = value[index] if isinstance(value, list) and index < len(value) else None
            else:
                value = value.get(step[0]) if isinstance(value, dict) else None
        return value

    def _unfold(self, text: str) -> object:
        if text not in self._unfolded:
            try:
                self._unfolded[text] = json.loads(text)
            except (ValueError, RecursionError):
                self._unfolded[text] = None
        return self._unfolded[text]


class _Places(Struct, frozen=True):
    """What places are looked up in: the first object that has one counts."""

    objects: list[object]
    texts: _Texts

    def fill(self, template: str) -> str:
        """The template with its places filled; a place that holds nothing becomes nothing."""
        return _PLACE.sub(lambda match: self._first(match[1]), template).strip()

    def _first(self, place: str) -> str:
        for path in place.split("|"):
            for one in self.objects:
                found = _text(self.texts.look(one, path.strip()))
                if found:
                    return found
        return ""


def _length(item: Item) -> int:
    """How many characters of text an item has, as far as they may be many."""
    if not isinstance(item, Found):
        return 0
    texts = (*item.signal.labels.values(), *item.signal.annotations.values())
    return sum(map(len, texts))


def _text(value: object) -> str:
    if value is None or isinstance(value, dict | list):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text.encode(errors="replace").decode()
