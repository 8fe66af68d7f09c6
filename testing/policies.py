"""The policy that a test asks for by `@pytest.mark.ro_policy(...)`."""

import json
from collections.abc import Mapping
from pathlib import Path

from remediation_orchestrator.orchestrator import policy_file
from remediation_orchestrator.orchestrator.routing.policy import Policy


def policy_given(given: object, folder: Path) -> Policy:
    """A policy from a file (a path, relative to `folder`), from a mapping with a file's keys, or as it is.

    As in a file, a key that is left out takes its default. FileError says what is wrong."""
    match given:
        case Policy():
            return given
        case str() | Path():
            return policy_file.read(folder / given).policy
        case Mapping():
            return policy_file.parse(json.dumps(given, default=dict), "ro_policy").policy
        case _:
            raise TypeError(f"ro_policy takes a file, a mapping or a Policy, not {given!r}")
