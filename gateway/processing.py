"""Signal processing: how bad it is, where it is, and how soon it matters, by rules that a user writes.

The first rule that matches wins. Each carries examples, and a file whose examples do not hold is refused. Pure."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal

import msgspec
from pydantic import Field, model_validator

from remediation_orchestrator.documents.files import Written

from .items import AnySignal

Outcome = Literal["severity", "environment", "priority"]
# Each may look at what the ones before it have found.
OUTCOMES: tuple[Outcome, ...] = ("severity", "environment", "priority")
_TARGET = {"cluster": "cluster", "namespace": "namespace", "kind": "kind", "target": "name"}
_PLAIN = ("name", "severity", "environment", "priority")


class ProcessingExample(Written):
    """As much of a signal as a rule looks at."""

    name: str = "Example"
    severity: str = "unknown"
    environment: str = ""
    cluster: str = ""
    namespace: str = ""
    kind: str = ""
    target: str = "example"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}

    def values(self) -> dict[str, str]:
        """Return what rules compare."""
        plain = self.model_dump(exclude={"labels", "annotations"})
        return plain | _flat("labels", self.labels) | _flat("annotations", self.annotations)


class Rule(Written):
    """A value, and when it holds: each pattern must match (`*`, `?`, `[…]`), of a list one of them."""

    value: str = Field(min_length=1, max_length=100)
    when: dict[str, str | list[str]] = {}
    examples: list[ProcessingExample] = []

    @model_validator(mode="after")
    def _keys_are_known(self) -> "Rule":
        for key in self.when:
            if key not in (*_PLAIN[:3], *_TARGET) and not key.startswith(("labels.", "annotations.")):
                raise ValueError(f"when: {key} is nothing that a signal has")
        return self

    def matches(self, values: dict[str, str]) -> bool:
        """Whether all of it holds."""
        return all(
            any(fnmatchcase(values.get(key, ""), one) for one in ([wanted] if isinstance(wanted, str) else wanted))
            for key, wanted in self.when.items()
        )


class Processing(Written):
    """The rules, as their file has them. Where none matches, a signal keeps what its source said."""

    severity: list[Rule] = []
    environment: list[Rule] = []
    priority: list[Rule] = []

    @model_validator(mode="after")
    def _examples_hold(self) -> "Processing":
        for outcome in OUTCOMES:
            for number, rule in enumerate(self._rules(outcome)):
                for index, example in enumerate(rule.examples):
                    won = _first(self._rules(outcome), example.values())
                    if won != number:
                        other = "none" if won is None else f"{outcome}[{won}]"
                        raise ValueError(f"{outcome}[{number}].examples[{index}]: {other} matches it first")
        return self

    def process(self, signal: AnySignal) -> tuple[AnySignal, dict[str, str]]:
        """The signal with what the rules find, and by which rule they found it."""
        if not any(self._rules(outcome) for outcome in OUTCOMES):
            return signal, {}
        values = {"name": signal.name, "severity": signal.severity, "environment": signal.environment}
        values |= {key: getattr(signal.target, part) for key, part in _TARGET.items()}
        values |= _flat("labels", signal.labels) | _flat("annotations", signal.annotations)
        found: dict[str, str] = {}
        by: dict[str, str] = {}
        for outcome in OUTCOMES:
            rules = self._rules(outcome)
            number = _first(rules, values)
            if number is not None:
                found[outcome] = values[outcome] = rules[number].value
                by[outcome] = f"{outcome}[{number}]"
        return (msgspec.structs.replace(signal, **found) if found else signal), by

    def _rules(self, outcome: Outcome) -> Sequence[Rule]:
        rules: list[Rule] = getattr(self, outcome)
        return rules


NONE = Processing()


def _first(rules: Sequence[Rule], values: dict[str, str]) -> int | None:
    return next((number for number, rule in enumerate(rules) if rule.matches(values)), None)


def _flat(what: str, pairs: dict[str, str]) -> dict[str, str]:
    return {f"{what}.{key}": value for key, value in pairs.items()}
