"""A sweep: one key of the policy, and the values to try."""

import click
from msgspec import Struct

from remediation_orchestrator.events.wording import plainly
from remediation_orchestrator.orchestrator.routing.policy import (
    Policy,
    PolicyError,
    RoutingPolicy,
    Timeouts,
    VerificationPolicy,
    policy_of,
)

from .output import BadInputError

SECTIONS = {
    "routing": RoutingPolicy.__struct_fields__,
    "timeouts": Timeouts.__struct_fields__,
    "verification": VerificationPolicy.__struct_fields__,
}


class Sweep(Struct, frozen=True):
    """One key, and the values to try, as they were written."""

    section: str
    key: str
    values: list[str]

    def policies(self, base: Policy) -> list[Policy]:
        """The base policy with each of the values. Raises BadInputError for a value that fits no policy."""
        return [self._policy(base, value) for value in self.values]

    def _policy(self, base: Policy, value: str) -> Policy:
        document = base.document()
        document.setdefault(self.section, {})[self.key] = _number_or_text(value)
        try:
            return policy_of(document)
        except PolicyError as error:
            raise BadInputError(f"--sweep {self.key}={value}: {plainly(str(error))}") from error


class SweepType(click.ParamType[Sweep]):
    """`backoff_base=30s,1m,2m`."""

    name = "key=value,value,..."

    def convert(self, value: str | Sweep, param: click.Parameter | None, ctx: click.Context | None) -> Sweep:
        """Read it, or say how it is written."""
        if isinstance(value, Sweep):
            return value
        name, _, rest = value.partition("=")
        key = name.rpartition(".")[2]
        section = next((one for one, keys in SECTIONS.items() if key in keys), None)
        values = [one.strip() for one in rest.split(",") if one.strip()]
        if section is None or name not in (key, f"{section}.{key}"):
            known = ", ".join(key for keys in SECTIONS.values() for key in keys)
            self.fail(f"no key of a policy: {name!r}; known are {known}", param, ctx)
        if not values:
            self.fail(f"no values to try; write {key}=30s,1m,2m", param, ctx)
        return Sweep(section, key, values)


def _number_or_text(text: str) -> object:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
