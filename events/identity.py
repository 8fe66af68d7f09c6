"""Who and what an event is about. Every identity is derived from its cause, never from chance."""

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Annotated, NewType, TypeAlias

import msgspec
from msgspec import Meta, Struct

# Names are copied into decisions and commands, so they are bounded; no monitoring system comes near this.
NAME_LENGTH_MAX = 1_024

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
Part: TypeAlias = Annotated[str, Meta(max_length=NAME_LENGTH_MAX)]
Zoned: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""A moment; a time without a zone is none, and cannot be compared with any."""

CellName = NewType("CellName", str)
Fingerprint = NewType("Fingerprint", str)
Position = NewType("Position", str)
"""Where an event stands: its message's stream sequence, and `-index` where the message is a frame."""
RemediationId = NewType("RemediationId", str)
ExecutionId = NewType("ExecutionId", str)

DEFAULT_CELL = CellName("main")
_CELL = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_POSITION = re.compile(r"[1-9][0-9]{0,18}(-(0|[1-9][0-9]{0,8}))?")
_NAMED = re.compile(r"(?:rr|wfe)-([0-9]+(?:-[0-9]+)?)(?:-r[0-9]+)?")


class Target(Struct, frozen=True, order=True, gc=False):
    """The resource that a workflow would repair, compared exactly, case and all; absent parts are `""`."""

    name: Name
    cluster: Part = ""
    namespace: Part = ""
    kind: Part = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.cluster, self.namespace, self.kind, self.name) if part)


# As many as anything stands in: a container in a pod on a node in a rack. Each conflict costs a look at every one.
WITHIN_MAX = 16

Within: TypeAlias = Annotated[tuple[Target, ...], Meta(max_length=WITHIN_MAX)]
"""In which other targets one stands, such as the node of a pod."""


def within_of(target: Target, said: Iterable[Target]) -> tuple[Target, ...]:
    """In which others a target stands: each once and not itself, in its own cluster where none is said."""
    settled = (one if one.cluster else msgspec.structs.replace(one, cluster=target.cluster) for one in said)
    return tuple(one for one in dict.fromkeys(settled) if one != target)


class Words(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a signal says of its problem besides where it is, as it was classified. What it leaves out is empty."""

    name: Name
    severity: Part = ""
    environment: Part = ""
    priority: Part = ""
    team: Part = ""


class WorkflowRef(Struct, frozen=True, gc=False):
    """A workflow of the catalog, by its id, and the values for its parameters."""

    id: Name
    parameters: dict[str, object] = {}


def cell_name(text: str) -> CellName:
    """Return `text` as a cell's name, or raise ValueError saying what a name looks like."""
    if _CELL.fullmatch(text) is None:
        raise ValueError(f"a cell's name is 1 to 32 of a-z, 0-9 and inner hyphens, not {text!r}")
    return CellName(text)


def fingerprint_of(target: Target, name: str) -> Fingerprint:
    """Identify one problem of one workload: the SHA-256 of `[cluster, namespace, kind, target, signal]`."""
    parts = [target.cluster, target.namespace, target.kind, target.name, name]
    return Fingerprint(hashlib.sha256(msgspec.json.encode(parts)).hexdigest())


def plan_of(workflow: WorkflowRef, target: Target) -> str:
    """Identify what a person is asked for: the SHA-256, in hex, of `[workflow, file, parameters, target]`.

    Nothing names a workflow's file yet, so it is `""`. Objects are sorted by their keys, at every depth."""
    where = [target.cluster, target.namespace, target.kind, target.name]
    plan = msgspec.json.encode([workflow.id, "", workflow.parameters, where], order="sorted")
    return hashlib.sha256(plan).hexdigest()


def position(sequence: int, index: int | None = None) -> Position:
    """Name the place of an event: `41`, or `42-3` for the fourth event of a frame."""
    return Position(str(sequence) if index is None else f"{sequence}-{index}")


# Asked for wherever a signal is judged, folded and looked at, one right after the other.
@lru_cache(maxsize=4_096)
def position_key(position: str) -> tuple[int, int]:
    """Return a position as (sequence, index), which sorts as the log does. ValueError where it is none."""
    if _POSITION.fullmatch(position) is None:
        raise ValueError(f"not a position: {position!r}")
    sequence, _, index = position.partition("-")
    return int(sequence), int(index or 0)


def remediation_id(signal: Position) -> RemediationId:
    """Name the remediation that the signal at this position opens."""
    return RemediationId(f"rr-{signal}")


def named_by(text: str) -> RemediationId | None:
    """The remediation that its id names, or that of one of its runs or analyses; None for anything else."""
    named = _NAMED.fullmatch(text)
    return remediation_id(Position(named[1])) if named else None


def signal_named_by(text: str) -> Position | None:
    """The position of a remediation's first signal, named so or by itself; None for what is no position."""
    named = _NAMED.fullmatch(text)
    place = named[1] if named else text
    return Position(place) if _POSITION.fullmatch(place) else None


def signal_of(remediation: RemediationId) -> Position:
    """Return the position of the first signal of a remediation."""
    return Position(remediation.removeprefix("rr-"))


def execution_id(signal: Position, run: int) -> ExecutionId:
    """Name the n-th run (from 1) of the remediation that the signal at this position opened."""
    return ExecutionId(f"wfe-{signal}" if run == 1 else f"wfe-{signal}-r{run}")


def run_number(execution: ExecutionId) -> int:
    """Which run (from 1) of its remediation an execution is."""
    number = execution.partition("-r")[2]
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 10 else 1


def remediation_of(execution: ExecutionId) -> RemediationId:
    """Name the remediation that an execution is a run of."""
    return RemediationId("rr-" + execution.removeprefix("wfe-").partition("-r")[0])


def analysis_id(remediation: RemediationId, analysis: int) -> str:
    """Name the n-th analysis (from 1) that a remediation asks for."""
    return remediation if analysis == 1 else f"{remediation}-r{analysis}"
