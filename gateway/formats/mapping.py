"""Any other JSON into signals, by a mapping that a user writes in ten lines. Pure: no code, only places and words.

A value is text with JMESPath expressions in braces: `{host.name}`, `{alerts[0].id || id}`; see `expressions`."""

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from msgspec.structs import astuple
from pydantic import AfterValidator, Field, field_validator

from remediation_orchestrator.documents.files import Written
from remediation_orchestrator.events import SignalReceived, SignalResolved, Target
from remediation_orchestrator.events.identity import NAME_LENGTH_MAX, WITHIN_MAX, within_of
from remediation_orchestrator.events.subjects import TOKEN
from remediation_orchestrator.gateway.bodies import Received, Source, normalise_items
from remediation_orchestrator.gateway.expressions import Asked, Body, Filled, Template
from remediation_orchestrator.gateway.identity import IdentityRules
from remediation_orchestrator.gateway.items import (
    STORED_BYTES_MAX,
    TOO_MUCH,
    BodyTooLargeError,
    Found,
    Item,
    Items,
    LeftOut,
    Refused,
    WebhookError,
    began,
    bound_items,
    read_json,
    refuse,
)
from remediation_orchestrator.gateway.severities import severity_of

NOTHING = Template("")


def _known(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{zone!r} is no time zone, such as Europe/Berlin") from error
    return zone


class TargetMapping(Written):
    """Where the parts of a target are."""

    name: Filled
    cluster: Filled = NOTHING
    namespace: Filled = NOTHING
    kind: Filled = NOTHING

    def fill(self, body: Body, item: object) -> Target:
        """The target that an item names."""
        parts = (self.name, self.cluster, self.namespace, self.kind)
        return Target(*(part.fill(body, item) for part in parts))


class StateMapping(Written):
    """What an item says of its problem, by these words, whatever their case: that it is over, or that it fires.

    Without `firing` all that is not over fires. With it, what is neither is no alert: it is left out."""

    value: Filled
    resolved: list[str] = Field(min_length=1)
    firing: list[str] | None = Field(default=None, min_length=1)

    def is_over(self, word: str) -> bool | None:
        """Whether it is over; None where it is no alert."""
        said = word.strip().lower()
        if said in {one.lower() for one in self.resolved}:
            return True
        return False if self.firing is None or said in {one.lower() for one in self.firing} else None


class LeaveOut(Written):
    """When a body is none of alerts at all, and what is said of it."""

    when: Asked
    because: Filled = Template("it is no alert")


class TimeMapping(Written):
    """When something began: as it is usually written, or by `formats` of strptime; `zone` is for where none is."""

    value: Filled
    formats: list[str] = []
    zone: Annotated[str, AfterValidator(_known)] | None = None


class Mapping(Written):
    """One vendor's bodies. `items` is the place of the list of its alerts, where it sends several at once.

    `alert` is the vendor's id of what fires, the same when that is over: a problem is over when all are. `within`
    are others in which the target stands; one that holds nothing is left out."""

    source: str
    media_types: list[str] = Field(default=["application/json"], min_length=1)
    leave_out: list[LeaveOut] = []
    items: Asked | None = None
    name: Filled
    target: TargetMapping
    within: list[TargetMapping] = Field(default=[], max_length=WITHIN_MAX)
    alert: Filled = NOTHING
    state: StateMapping | None = None
    severity: Filled = NOTHING
    severities: dict[str, str] = {}
    starts_at: TimeMapping = TimeMapping(value=NOTHING)
    labels: dict[str, Filled] = {}
    annotations: dict[str, Filled] = {}

    @field_validator("source")
    @classmethod
    def _one_word(cls, source: str) -> str:
        if TOKEN.fullmatch(source) is None:
            raise ValueError("1 to 128 of letters, digits, _ and -")
        return source

    @field_validator("starts_at", mode="before")
    @classmethod
    def _in_short(cls, said: object) -> object:
        return {"value": said} if isinstance(said, str) else said

    def items_of(self, raw: bytes, now: datetime) -> Items:
        """Yield one item an alert of the body. Its places are looked up in the alert, then in the body."""
        body = Body(read_json(raw))
        for one in self.leave_out:
            if body.ask_whole(one.when):
                yield LeftOut("body", f"left out: {one.because.fill(body, body.read)[:NAME_LENGTH_MAX]}")
                return
        if self.items is None:
            yield self._item("body", body, body.read, now)
            return
        found = body.ask_whole(self.items)
        if not isinstance(found, list):
            raise WebhookError([f"{self.items.text}: must be a JSON array"])
        characters = 0
        for index, item in enumerate(bound_items(found)):
            yield (read := self._item(f"{self.items.text}[{index}]", body, item, now))
            characters += _length(read)
            if characters > STORED_BYTES_MAX:  # A text that stands in the body once may be a label of every item.
                raise BodyTooLargeError([TOO_MUCH])

    def _item(self, where: str, body: Body, item: object, now: datetime) -> Item:
        word = self.state.value.fill(body, item) if self.state else ""
        over = self.state.is_over(word) if self.state else False
        if over is None:
            return LeftOut(where, f"left out: {word[:100]!r} says neither that it fires nor that it is over")
        name, target = self.name.fill(body, item), self.target.fill(body, item)
        around = [found for one in self.within if (found := one.fill(body, item)).name]
        alert = self.alert.fill(body, item)
        wrong = self._wrong(where, name, target, alert, around)
        if wrong:
            return refuse(where, wrong, item)
        at = self.starts_at
        starts_at, remarks = began(
            at.value.fill(body, item),
            now,
            f"{where}.starts_at",
            formats=at.formats,
            zone=ZoneInfo(at.zone) if at.zone else None,
        )
        said = self.severity.fill(body, item)
        signal = (SignalResolved if over else SignalReceived)(
            name=name,
            target=target,
            status="resolved" if over else "firing",
            severity=severity_of(self.severities.get(said, said)),
            labels=_filled(self.labels, body, item),
            annotations=_filled(self.annotations, body, item),
            starts_at=starts_at,
            resolves=self.state is not None,
            alert=alert,
            within=within_of(target, around),
        )
        return Found(where, signal, {"name": self.name.text, "target": self.target.name.text}, remarks=remarks)

    def _wrong(self, where: str, name: str, target: Target, alert: str, within: list[Target]) -> list[str]:
        """What is missing of an identity, and what of it is too long."""
        parts = {"name": name, "target": target.name, "cluster": target.cluster}
        parts |= {"namespace": target.namespace, "kind": target.kind, "alert": alert}
        parts |= {f"within[{place}]": max(astuple(one), key=len) for place, one in enumerate(within)}
        templates = {"name": self.name, "target": self.target.name}
        wrong = [
            f"{where}: no {one}: {said.text} holds nothing" for one, said in templates.items() if not parts[one]
        ]
        long = [part for part, value in parts.items() if len(value) > NAME_LENGTH_MAX]
        return wrong + [f"{where}: the {part} is longer than {NAME_LENGTH_MAX} characters" for part in long]


def _filled(templates: dict[str, Template], body: Body, item: object) -> dict[str, str]:
    return {key: value for key, one in templates.items() if (value := one.fill(body, item))}


def _length(item: Item) -> int:
    """How many characters of text an item has, as far as they may be many."""
    if not isinstance(item, Found):
        return len(item.raw) if isinstance(item, Refused) else 0
    texts = (*item.signal.labels.values(), *item.signal.annotations.values())
    return sum(map(len, texts))


def source_of(mapping: Mapping) -> Source:
    """A user's mapping as a source of its own."""

    def convert(received: Received, identity: IdentityRules, now: datetime) -> Items:
        return normalise_items(mapping.items_of(received.body, now), identity)

    media_types = frozenset(mapping.media_types)
    return Source(mapping.source, f"{mapping.source}, by a mapping", convert, media_types=media_types)
