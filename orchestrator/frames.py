"""Decisions as they are stored: each in its CloudEvent, gathered into frames that fit into a message."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec import Struct

from remediation_orchestrator.events import (
    Command,
    Decision,
    DecisionFrame,
    LogArchived,
    OrchestratorStarted,
    PhaseChanged,
    PolicyRejected,
    Position,
    RoutingDecided,
    ShadowDecided,
    SignalRejected,
    TargetReleased,
    VerificationEnded,
    WorkflowRevoked,
    encode,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.events.duplicates import DuplicatesDecided, StoredDecision, gather_duplicates
from remediation_orchestrator.events.subjects import command_id

# The server takes messages of up to 1 MiB. One decision stays below half of that: a fact has at most 256 KiB.
FRAME_BYTES_MAX = 512 * 1024
# Decisions are stored when there are so many: whoever stands by hears of a leader that is at a long round.
STORED_MAX = 4_000


class Batch(Struct, frozen=True):
    """What is stored together: the decision that stands at each place, or is the first there, and the bytes."""

    decisions: list[Decision]
    encoded: list[bytes]


def batches(decisions: Iterable[Decision], source: str, now: datetime) -> Iterator[Batch]:
    """Encode decisions, and part them so that each batch fits into a frame."""
    batch = Batch([], [])
    size = 0
    for decision, stored in gather_duplicates(decisions):
        encoded = encode(stored, decision_attributes(stored, source, now))
        apart = not isinstance(decision, ShadowDecided)  # It stands behind its verdict, in the same frame.
        if batch.decisions and apart and size + len(encoded) > FRAME_BYTES_MAX:
            yield batch
            batch, size = Batch([], []), 0
        batch.decisions.append(decision)
        batch.encoded.append(encoded)
        size += len(encoded)
    if batch.decisions:
        yield batch


def decision_attributes(decision: StoredDecision, source: str, now: datetime) -> Attributes:
    """The attributes around a decision; its id follows from its cause."""
    match decision:
        case RoutingDecided():
            return Attributes(
                id=f"{decision.signal}.{decision.attempt}",
                source=source,
                time=now,
                subject=decision.situation.fingerprint,
                causationid=decision.because.position or "",
                correlationid=decision.remediation,
            )
        case DuplicatesDecided():
            return duplicates_attributes(decision.signals[0][0], source, now)
        case PhaseChanged():
            return Attributes(
                id=f"{decision.remediation}.{decision.attempt}.{decision.phase}",
                source=source,
                time=now,
                subject=decision.fingerprint,
                causationid=decision.because.position or "",
                correlationid=decision.remediation,
            )
        case ShadowDecided():
            return Attributes(id=f"{decision.signal}.{decision.attempt}.shadow", source=source, time=now)
        case DecisionFrame():
            return Attributes(id=f"frame.{decision.previous[:16]}", source=source, time=now)
        case OrchestratorStarted():
            return Attributes(id=f"{decision.orchestrator}.started", source=source, time=now)
        case VerificationEnded():
            return Attributes(id=f"{decision.execution}.verified", source=source, time=now)
        case TargetReleased():
            return Attributes(id=f"{decision.execution}.released", source=source, time=now)
        case LogArchived() | SignalRejected() | PolicyRejected():
            what = "archived" if isinstance(decision, LogArchived) else "rejected"
            return Attributes(f"{decision.position}.{what}", source, now, causationid=decision.position)


def duplicates_attributes(first: Position, source: str, now: datetime) -> Attributes:
    """The attributes around duplicates in a row, the first of which is of the signal at this position."""
    return Attributes(id=f"{first}.duplicates", source=source, time=now, causationid=first)


def revocation_attributes(fact: WorkflowRevoked, source: str, now: datetime) -> Attributes:
    """The attributes around the end of a run that nobody has begun."""
    return Attributes(id=f"{fact.execution}.revoked", source=source, time=now)


def command_attributes(command: Command, source: str, now: datetime) -> Attributes:
    """The attributes around a command; its id follows from what it is about."""
    return Attributes(
        id=".".join(command_id(command)),
        source=source,
        time=now,
        subject=getattr(command, "fingerprint", ""),
        causationid=command.decided_at,
        correlationid=command.remediation,
    )
