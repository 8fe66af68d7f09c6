"""Whose problem an alert is: its name and its target from its labels, by rules that a user can read and change.

Decided once, when the alert comes in, and stored with it. Pure: labels in; out an identity and what gave it."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import msgspec
from msgspec import Struct
from pydantic import Field, TypeAdapter, model_validator

from remediation_orchestrator.documents.files import Written
from remediation_orchestrator.events import Target
from remediation_orchestrator.events.identity import NAME_LENGTH_MAX

from .patterns import Regex
from .targets import LABEL_OF_KIND, LEAVE_OUT, TARGET

Part = Literal["name", "cluster", "namespace", "kind", "target"]

EXPORTED = "exported_"


class TargetRule(Written):
    """One way to find a target: the label that holds its name, its kind, and when this way is open."""

    label: str
    kind: str = ""
    kind_label: str | None = None
    when: dict[str, str] = {}
    match: Regex | None = None
    namespaced: bool = True

    def name(self, labels: Mapping[str, str]) -> str:
        """The target's name by this rule, or `""` where it is not open."""
        found = labels.get(self.label, "")
        if not found or not _match(self.when, labels):
            return ""
        # What is too long for a name is refused as it is: nothing is looked for in it.
        return found if self.match is None or len(found) > NAME_LENGTH_MAX else self.match.found(found)

    def kind_of(self, labels: Mapping[str, str]) -> str:
        """The target's kind by this rule."""
        return (labels.get(self.kind_label, "") if self.kind_label else "") or self.kind


class Normalise(Written):
    """Write a part of an identity in one way, whichever of several its source chose."""

    part: Part
    match: Regex
    replace: str = ""

    @model_validator(mode="after")
    def _groups_are_known(self) -> "Normalise":
        self.match.check(self.replace)
        return self


class IdentityExample(Written):
    """Labels, and what the rules must make of them."""

    labels: dict[str, str]
    name: str | None = None
    cluster: str | None = None
    namespace: str | None = None
    kind: str | None = None
    target: str | None = None


class Identified(Struct, frozen=True):
    """An identity, and for each part of it the rule by which it was found."""

    name: str
    target: Target
    by: dict[str, str]


class TargetCandidate(Struct, frozen=True):
    """A way that is open, and where it leads."""

    rule: TargetRule
    name: str
    kind: str
    by: str


class IdentityRules(Written):
    """The rules, as their file has them. In each list the first label that an alert carries counts."""

    name: list[str] = Field(default=["alertname"], min_length=1)
    cluster: list[str] = ["cluster"]
    namespace: list[str] = ["namespace"]
    target: list[TargetRule] = Field(default=TypeAdapter(list[TargetRule]).validate_python(TARGET), min_length=1)
    leave_out: list[Annotated[dict[str, str], Field(min_length=1)]] = LEAVE_OUT
    defaults: dict[Literal["cluster", "namespace"], str] = {}
    normalise: list[Normalise] = []
    examples: list[IdentityExample] = []

    @model_validator(mode="after")
    def _examples_hold(self) -> "IdentityRules":
        for number, example in enumerate(self.examples):
            found = self.identify(example.labels, "labels")
            if isinstance(found, list):
                raise ValueError(f"examples[{number}]: {found[0]}")
            for part, wanted in example.model_dump(exclude={"labels"}, exclude_none=True).items():
                got = _part(found.name, found.target, part)
                if got != wanted:
                    raise ValueError(f"examples[{number}]: {part} is {got!r} by these rules, not {wanted!r}")
        return self

    def left_out(self, labels: Mapping[str, str]) -> str | None:
        """Why what has these labels is no alert, or None where it is one."""
        found = next((one for one in self.leave_out if _match(one, labels)), None)
        if found is None:
            return None
        return " and ".join(f"{label} is {labels.get(label, '')[:100]!r}" for label in found)

    def identify(self, labels: Mapping[str, str], where: str) -> Identified | list[str]:
        """The identity that labels give, or why they give none, one line each."""
        labels = _of_the_subject(labels)
        name, cluster = _first(self.name, labels), _first(self.cluster, labels)
        if name is None:
            return [f"{where}: no {' or '.join(self.name)}"]
        ways = self._ways(labels if cluster else {**labels, "cluster": self.defaults.get("cluster", "")})
        if not ways:
            tried = ", ".join(dict.fromkeys(one.label for one in self.target))
            return [f"{where}: {labels[name][:100]!r} names no target: none of {tried}"]
        chosen = ways[0]
        namespace = _first(self.namespace, labels) if chosen.rule.namespaced else None
        read = [name, namespace, cluster, chosen.rule.label, chosen.rule.kind_label]
        long = [one for one in read if one is not None and len(labels.get(one, "")) > NAME_LENGTH_MAX]
        if long:
            return [f"{where}.{one}: longer than {NAME_LENGTH_MAX} characters" for one in long]
        by = {"name": f"label {name}", "target": chosen.by}
        by |= {"runner-up": ways[1].by} if ways[1:] else {}
        by["cluster"] = f"label {cluster}" if cluster else "defaults"
        target = Target(
            chosen.name, labels[cluster] if cluster else self.defaults.get("cluster", ""), "", chosen.kind
        )
        if chosen.rule.namespaced:
            by["namespace"] = f"label {namespace}" if namespace else "defaults"
            found = labels[namespace] if namespace else self.defaults.get("namespace", "")
            target = msgspec.structs.replace(target, namespace=found)
        return self.normalise_identity(labels[name], target, by, where)

    def named(self, kind: str, name: str) -> TargetCandidate | None:
        """Return what the rules make of an object that is named by its kind: a pod, say, may be a Deployment's."""
        label = LABEL_OF_KIND.get(kind, kind.lower())
        return next((way for way in self._ways({label: name}) if way.rule.label == label), None)

    def _ways(self, labels: Mapping[str, str]) -> list[TargetCandidate]:
        """The first way that is open, and the next by another label that leads to another target."""
        ways: list[TargetCandidate] = []
        for number, rule in enumerate(self.target):
            name, kind = rule.name(labels), rule.kind_of(labels)
            if not name:
                continue
            if not ways:
                ways.append(TargetCandidate(rule, name, kind, f"target[{number}], label {rule.label}"))
            elif rule.label != ways[0].rule.label and (name, kind) != (ways[0].name, ways[0].kind):
                by = f"target[{number}], label {rule.label}"
                return [*ways, TargetCandidate(rule, name, kind, f"{kind}/{name[:100]}: {by}")]
        return ways

    def normalise_identity(
        self, name: str, target: Target, by: dict[str, str], where: str
    ) -> Identified | list[str]:
        """An identity written as `normalise` wants it; a part that it would empty is an objection."""
        parts = {"name": name, "cluster": target.cluster, "namespace": target.namespace, "kind": target.kind}
        parts["target"] = target.name
        by = dict(by)
        for number, one in enumerate(self.normalise):
            written = one.match.replaced(parts[one.part], one.replace)
            if len(written) > NAME_LENGTH_MAX:
                return [
                    f"{where}: the {one.part} is longer than {NAME_LENGTH_MAX} characters when it is normalised"
                ]
            if written != parts[one.part]:
                by[one.part] = ", ".join(filter(None, (by.get(one.part), f"normalise[{number}]")))
            parts[one.part] = written
        empty = [part for part in ("name", "target") if not parts[part]]
        if empty:
            return [f"{where}: the {part} is empty when it is normalised" for part in empty]
        target = Target(parts["target"], parts["cluster"], parts["namespace"], parts["kind"])
        return Identified(parts["name"], target, by)


DEFAULT = IdentityRules()


def _of_the_subject(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels as what was scraped has them: where the scrape has such a label too, Prometheus says `exported_`."""
    own = {
        one.removeprefix(EXPORTED): value for one, value in labels.items() if one.startswith(EXPORTED) and value
    }
    return {**labels, **own}


def _match(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(fnmatchcase(labels.get(label, ""), one) for label, one in wanted.items())


def _first(wanted: Sequence[str], labels: Mapping[str, str]) -> str | None:
    return next((label for label in wanted if labels.get(label)), None)


def _part(name: str, target: Target, part: str) -> str:
    if part == "name":
        return name
    return str(getattr(target, "name" if part == "target" else part))
