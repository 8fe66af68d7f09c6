"""Whose problem an alert is: its name and its target from its labels, by rules that a user can read and change.

Decided once, when the alert comes in, and stored with it. Pure: labels in; out an identity and what gave it."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, model_validator

from remediation_orchestrator.events import Target
from remediation_orchestrator.events.identity import NAME_LENGTH_MAX

from .patterns import Regex

Part = Literal["name", "cluster", "namespace", "kind", "target"]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TargetRule(_Input):
    """One way to find a target: the label that holds its name, its kind, and when this way is open."""

    label: str
    kind: str = ""
    kind_label: str | None = None
    when: dict[str, str] = {}
    strip: Regex | None = None

    def name(self, labels: Mapping[str, str]) -> str:
        """The target's name by this rule, or `""` where the labels do not have it."""
        found = labels.get(self.label, "")
        if not found or not all(fnmatchcase(labels.get(label, ""), wanted) for label, wanted in self.when.items()):
            return ""
        # What is too long for a name is refused as it is: nothing is looked for in it.
        return found if self.strip is None or len(found) > NAME_LENGTH_MAX else self.strip.replaced(found)

    def kind_of(self, labels: Mapping[str, str]) -> str:
        """The target's kind by this rule."""
        return (labels.get(self.kind_label, "") if self.kind_label else "") or self.kind


class Normalise(_Input):
    """Write a part of an identity in one way, whichever of several its source chose."""

    part: Part
    match: Regex
    replace: str = ""

    @model_validator(mode="after")
    def _groups_are_known(self) -> "Normalise":
        self.match.check(self.replace)
        return self


class Example(_Input):
    """Labels, and what the rules must make of them."""

    labels: dict[str, str]
    name: str | None = None
    cluster: str | None = None
    namespace: str | None = None
    kind: str | None = None
    target: str | None = None


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
_TARGET = [TargetRule(label=label, kind=kind) for label, kind in KINDS.items()]


class Identified(Struct, frozen=True):
    """An identity, and for each part of it the rule by which it was found."""

    name: str
    target: Target
    by: dict[str, str]


class Identity(_Input):
    """The rules, as their file has them. In each list the first label that an alert carries counts."""

    name: list[str] = Field(default=["alertname"], min_length=1)
    cluster: list[str] = ["cluster"]
    namespace: list[str] = ["namespace"]
    target: list[TargetRule] = Field(default=_TARGET, min_length=1)
    defaults: dict[Literal["cluster", "namespace"], str] = {}
    normalise: list[Normalise] = []
    examples: list[Example] = []

    @model_validator(mode="after")
    def _examples_hold(self) -> "Identity":
        for number, example in enumerate(self.examples):
            found = self.identify(example.labels, "labels")
            if isinstance(found, list):
                raise ValueError(f"examples[{number}]: {found[0]}")
            for part, wanted in example.model_dump(exclude={"labels"}, exclude_none=True).items():
                got = _part(found.name, found.target, part)
                if got != wanted:
                    raise ValueError(f"examples[{number}]: {part} is {got!r} by these rules, not {wanted!r}")
        return self

    def identify(self, labels: Mapping[str, str], where: str) -> Identified | list[str]:
        """The identity that labels give, or why they give none, one line each."""
        name = _first(self.name, labels)
        if name is None:
            return [f"{where}: no {' or '.join(self.name)}"]
        rule = next((number for number, one in enumerate(self.target) if one.name(labels)), None)
        if rule is None:
            tried = ", ".join(dict.fromkeys(one.label for one in self.target))
            return [f"{where}: {labels[name][:100]!r} names no target: none of {tried}"]
        chosen = self.target[rule]
        cluster, namespace = _first(self.cluster, labels), _first(self.namespace, labels)
        read = [name, namespace, cluster, chosen.label, chosen.kind_label]
        long = [one for one in read if one is not None and len(labels.get(one, "")) > NAME_LENGTH_MAX]
        if long:
            return [f"{where}.{one}: longer than {NAME_LENGTH_MAX} characters" for one in long]
        target = Target(
            name=chosen.name(labels),
            cluster=labels[cluster] if cluster else self.defaults.get("cluster", ""),
            namespace=labels[namespace] if namespace else self.defaults.get("namespace", ""),
            kind=chosen.kind_of(labels),
        )
        by = {"name": f"label {name}", "target": f"target[{rule}], label {chosen.label}"}
        by["cluster"] = f"label {cluster}" if cluster else "defaults"
        by["namespace"] = f"label {namespace}" if namespace else "defaults"
        return self.normalised(labels[name], target, by, where)

    def normalised(self, name: str, target: Target, by: dict[str, str], where: str) -> Identified | list[str]:
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


DEFAULT = Identity()


def _first(wanted: Sequence[str], labels: Mapping[str, str]) -> str | None:
    return next((label for label in wanted if labels.get(label)), None)


def _part(name: str, target: Target, part: str) -> str:
    if part == "name":
        return name
    return str(getattr(target, "name" if part == "target" else part))
