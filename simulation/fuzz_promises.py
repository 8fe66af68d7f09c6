"""What the contract says of reading one message, held against what was read of it, and counted otherwise."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from remediation_orchestrator.events import Recorded, StoredMessage, Undecodable, WorkflowRef, decode
from remediation_orchestrator.events.codec import is_copy
from remediation_orchestrator.events.subjects import Family, parse

NESTING_MAX = 100
PARAMETERS_BYTES_MAX = 65_536
FACT_BYTES_MAX = 262_144
# To read each element by itself costs as much as all together: where there are few, it is done.
ALONE_MAX = 40
# Which field of an event says what it is about, and so on which subject it counts.
ABOUT = {Family.ANALYSIS: "remediation", Family.EXECUTION: "execution"}


def broken_by_reading(message: StoredMessage, found: list[Recorded | Undecodable]) -> Iterator[str]:
    """Every promise about reading that does not hold of what was found in a message."""
    try:
        subject = parse(message.subject)
    except ValueError:
        return
    events = [one for one in found if isinstance(one, Recorded)]
    for one in events:
        about = getattr(one.event, ABOUT.get(subject.family, ""), subject.rest)
        if about != subject.rest:
            yield f"an event about {about!r} counts on {message.subject}"
        workflow = getattr(one.event, "workflow", None)
        if subject.family.is_fact and isinstance(workflow, WorkflowRef) and workflow.parameters:
            size = len(msgspec.json.encode(workflow.parameters))
            if size > PARAMETERS_BYTES_MAX:
                yield f"parameters of {size:,} bytes are taken"
    if subject.family.is_fact and len(message.payload) <= FACT_BYTES_MAX and not is_copy(message):
        yield from _of_a_fact(message, found, events)


def _of_a_fact(
    message: StoredMessage, found: list[Recorded | Undecodable], events: list[Recorded]
) -> Iterator[str]:
    try:
        value = msgspec.json.decode(message.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    if _depth(value) > NESTING_MAX and events:
        yield f"nested {_depth(value)} deep, and read all the same"
    if isinstance(value, list) and len(value) <= ALONE_MAX and _depth(value) <= NESTING_MAX:
        items = msgspec.json.decode(message.payload, type=list[msgspec.Raw])
        read = {one.position for one in found}
        for index, item in enumerate(items):
            alone = decode(replace(message, payload=b"[" + bytes(item) + b"]"))
            good = any(isinstance(one, Recorded) for one in alone)
            if good and f"{message.sequence}-{index}" not in read:
                yield f"element {index} of {len(items)} is good, and was not read"


def _depth(value: Any) -> int:
    """How deep arrays and objects stand in one another."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth
