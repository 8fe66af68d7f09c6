"""What the adoption of a policy would change, key by key: nothing changes behind anybody's back."""

from collections.abc import Iterator, Set

import msgspec
from msgspec import Struct

from remediation_orchestrator.orchestrator.routing.policy import Policy

SILENT = "silent"
"""Of a key that a policy does not have: its check says nothing."""


class PolicyChange(Struct, frozen=True, rename={"before": "from", "after": "to"}):
    """One key, and what becomes of it. `by_default`: the file does not say it, so it takes its default."""

    key: str
    before: object
    after: object
    by_default: bool

    def row(self) -> list[str]:
        """The change, for people."""
        why = "not in the file: the default" if self.by_default else ""
        return [self.key, _shown(self.before), _shown(self.after), why]


def changes(before: Policy, after: Policy, said: Set[str] | None) -> Iterator[PolicyChange]:
    """The keys that differ, in the order of the policy; `said` are those that the file has, where there is one."""
    old, new = _flat(before), _flat(after)
    for key in dict.fromkeys([*old, *new]):
        if old.get(key) != new.get(key):
            yield PolicyChange(key, old.get(key), new.get(key), said is not None and key not in said)


def _flat(policy: Policy) -> dict[str, object]:
    flat: dict[str, object] = {}
    for section, said in policy.document().items():
        flat |= (
            {f"{section}.{key}": one for key, one in said.items()} if isinstance(said, dict) else {section: said}
        )
    return flat


def _shown(value: object) -> str:
    if value is None:
        return SILENT
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
