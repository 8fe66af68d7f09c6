"""What a newer version would have written: frames of its own, and events of types that we do not know."""

from datetime import UTC, datetime

import msgspec

from remediation_orchestrator.events import DecisionFrame, OrchestratorStarted, encode
from remediation_orchestrator.events.codec import Attributes, join_frame

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
ATTRIBUTES = Attributes(id="1", source="/test", time=AT)
NEWER = "99.0.0"


def unknown(kind: str) -> bytes:
    """An event of a type that we do not know."""
    return msgspec.json.encode(
        {"specversion": "1.0", "id": "1", "source": "/test", "type": kind, "time": AT, "data": {}}
    )


def frame(as_of: int, *more: bytes, version: str = NEWER, previous: str = "", log: str = "0123abcd") -> bytes:
    """The first frame of an orchestrator of another version."""
    head = DecisionFrame(as_of=as_of, read=as_of, orchestrator="newer", previous=previous, not_after=AT)
    started = OrchestratorStarted("newer", version, log)
    return join_frame([encode(head, ATTRIBUTES), encode(started, ATTRIBUTES), *more])
