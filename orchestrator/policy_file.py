"""Policy files: what people write, checked for people. A complete policy comes out, or a line for each mistake.

What a policy has, and within which bounds, is written down in the core alone; a key that is left out takes its
default. No routing happens here."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from remediation_orchestrator.documents.files import File, open_file
from remediation_orchestrator.documents.kinds import model_of

from .routing.policy import DEFAULT, RULES, VERIFICATION, Policy, objections

_Written = model_of(Policy)


class PolicyFile(Struct, frozen=True):
    """What a file states: the complete policy, and which of its keys the file says itself (`routing.jitter`)."""

    policy: Policy
    said: frozenset[str]


def read(path: Path) -> PolicyFile:
    """Read a policy file. FileError names everything that is wrong with it."""
    return _read(open_file(path))


def parse(content: str, name: str) -> PolicyFile:
    """Read what a policy file would have; `name` is for the messages. FileError names everything that is wrong."""
    return _read(File(content.encode(), Path(name)))


def _read(file: File) -> PolicyFile:
    written = file.check(_Written, file.data)
    said: dict[str, Any] = {} if written is None else written.model_dump(exclude_unset=True)
    policy = _over_defaults(said)
    for place, message in objections(policy):
        file.complain(place, message)
    keys = {f"{section}.{key}" for section, keys in said.items() if section not in RULES for key in keys}
    return file.whole(PolicyFile(policy, frozenset(keys | {name for name in RULES if name in said})))


def _over_defaults(said: dict[str, Any]) -> Policy:
    meant = msgspec.structs.replace(DEFAULT, verification=VERIFICATION if "verification" in said else None)
    sections: dict[str, Any] = msgspec.to_builtins(meant, builtin_types=(timedelta,))
    complete = {
        section: said.get(section, ()) if section in RULES else {**keys, **said.get(section, {})}
        for section, keys in sections.items()
        if keys is not None
    }
    return msgspec.convert(complete, Policy, builtin_types=(timedelta,))
