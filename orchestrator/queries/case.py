"""One remediation's history as a test case: the part of its log that its verdicts could depend on.

What a verdict reads belongs to its fingerprint and its target, so everything about those is kept, and about
whatever shares one with them; the rest of the log could not have made a difference. A case is an exported log
with gaps: its decisions are the expected ones, its first frame has the policy, a header names the remediation.
It keeps no chain and no commands; whether a log was tampered with is asked of the whole log, never of a case."""

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from remediation_orchestrator.events import (
    BlockCleared,
    Duplicate,
    Event,
    Fingerprint,
    OrchestratorStarted,
    PhaseChanged,
    PolicyAdopted,
    PolicyRejected,
    PolicyShadowed,
    Recorded,
    RemediationId,
    RoutingDecided,
    SignalReceived,
    SignalRejected,
    SignalResolved,
    StoredMessage,
    Target,
    TargetReleased,
    decode,
    encode,
)
from remediation_orchestrator.events.about import about
from remediation_orchestrator.events.codec import head_in, join_frame
from remediation_orchestrator.events.identity import position_key
from remediation_orchestrator.events.subjects import Family, parse
from remediation_orchestrator.orchestrator.frames import decision_attributes

from .audit import audit
from .findings import Drift, Finding
from .moments import Moments

HEADER = "Ro-Case"
"""On the first message of a case: the remediation that it is about."""
SOURCE = "/ro/case"
"""Of a verdict that the case has written anew."""

JUDGED = frozenset({Drift.PROJECTION, Drift.JUDGEMENT, Drift.RECORD, Drift.CAUSE, Drift.OVERLAP})
"""What an audit can find in a decision itself; the rest is about the log around it, which a case does not have."""

CaseSubject = Fingerprint | Target


class Case(Struct, frozen=True):
    """One remediation's history, cut out of its log."""

    remediation: RemediationId
    messages: list[StoredMessage]

    def differences(self) -> Iterator[Finding]:
        """Judge all of it again, and yield each place where another verdict than the recorded one is given."""
        return (finding for finding in audit(self.messages) if finding.drift in JUDGED)


def read_case(messages: Iterable[StoredMessage]) -> Case:
    """Take messages for a case. Raises ValueError where they are none."""
    found = list(messages)
    marked = [one.headers[HEADER] for one in found if one.headers and HEADER in one.headers]
    if not marked:
        raise ValueError("no test case: no message says which remediation it is about")
    remediation = RemediationId(marked[0])
    if not any(one.remediation == remediation for one in _verdicts(found)):
        raise ValueError(f"no test case: there is no verdict on {remediation}")
    return Case(remediation, found)


class Links:
    """The first reading of a log: which fingerprints and targets hang together, and where each thing ends."""

    def __init__(self) -> None:
        self._linked: dict[CaseSubject, set[CaseSubject]] = {}
        self._fingerprints: dict[RemediationId, Fingerprint] = {}
        self._ends: dict[RemediationId, int] = {}
        self._moments = Moments()

    def take(self, message: StoredMessage) -> None:
        """Read the next message of the log."""
        records = decode(message)
        self._moments.take(message, records)
        for event in (record.event for record in records if isinstance(record, Recorded)):
            if isinstance(event, RoutingDecided) and not isinstance(event.verdict, Duplicate):
                self._link(event.situation.fingerprint, event.situation.target)
                self._fingerprints[event.remediation] = event.situation.fingerprint
            named = about(event)
            if named is not None and parse(message.subject).family is not Family.COMMAND:
                self._ends[named] = message.sequence

    def excerpt(self, remediation: RemediationId) -> "Excerpt | None":
        """Return what a second reading keeps for a remediation; None where the log has no verdict on it."""
        fingerprint = self._fingerprints.get(remediation)
        if fingerprint is None:
            return None
        keys: set[CaseSubject] = set()
        found: list[CaseSubject] = [fingerprint]
        while found:
            key = found.pop()
            if key not in keys:
                keys.add(key)
                found.extend(self._linked.get(key, ()))
        return Excerpt(remediation, keys, self._fingerprints, self._ends[remediation], self._moments)

    def _link(self, one: CaseSubject, other: CaseSubject) -> None:
        self._linked.setdefault(one, set()).add(other)
        self._linked.setdefault(other, set()).add(one)


class Excerpt:
    """The second reading: it keeps of each message what belongs to the case."""

    def __init__(
        self,
        remediation: RemediationId,
        keys: set[CaseSubject],
        fingerprints: dict[RemediationId, Fingerprint],
        end: int,
        moments: Moments,
    ) -> None:
        self._remediation = remediation
        self._keys = keys
        self._fingerprints = fingerprints
        self._end = end
        self._moments = moments
        self._kept: set[int] = set()
        self._marked = False
        self._adopted = False

    def part(self, message: StoredMessage) -> StoredMessage | None:
        """Return what is kept of the next message of the log; None where nothing is."""
        family = parse(message.subject).family
        if message.sequence > self._end or family is Family.COMMAND:
            return None
        kept = self._frame(message) if family is Family.DECISION else self._fact(message)
        if kept is not None:
            self._kept.add(kept.sequence)
            if not self._marked:
                self._marked = True
                kept = replace(kept, headers={**(kept.headers or {}), HEADER: self._remediation})
        return kept

    def _fact(self, message: StoredMessage) -> StoredMessage | None:
        events = [record.event for record in decode(message) if isinstance(record, Recorded)]
        if not any(self._belongs(event) for event in events):
            return None
        return self._moments.of(message)  # What made it differ from the stamp may not belong to the case.

    def _frame(self, message: StoredMessage) -> StoredMessage | None:
        records = decode(message)
        if len(records) < 2 or head_in(records) is None:
            return None
        kept = [record for record in records if isinstance(record, Recorded) and self._belongs(record.event)]
        if not kept:
            return None
        items = msgspec.json.decode(message.payload, type=list[Raw])
        sharing = Counter(record.position for record in records)
        singly = [_singly(record, items, sharing[record.position]) for record in kept]
        return replace(message, payload=join_frame([bytes(items[0]), *singly]))

    def _belongs(self, event: Event) -> bool:
        match event:
            case SignalReceived() | SignalResolved():
                return event.fingerprint in self._keys
            case BlockCleared():
                return event.fingerprint in self._keys or event.target in self._keys
            case RoutingDecided():
                return event.situation.fingerprint in self._keys
            case PhaseChanged():
                return event.fingerprint in self._keys
            case TargetReleased():
                return event.target in self._keys
            case SignalRejected() | PolicyRejected():
                return position_key(event.position)[0] in self._kept
            case PolicyAdopted() | PolicyShadowed():
                return True
            case OrchestratorStarted():
                first, self._adopted = not self._adopted and event.policy is not None, True
                return first
            case _:
                named = about(event)
                return named is not None and self._fingerprints.get(named) in self._keys


def _singly(record: Recorded, items: list[Raw], sharing: int) -> bytes:
    """A decision as it is stored, or, where others are stored in one record with it, written by itself."""
    if isinstance(record.event, RoutingDecided) and sharing > 1:
        return encode(record.event, decision_attributes(record.event, SOURCE, record.recorded_at))
    return bytes(items[position_key(record.position)[1]])


def _verdicts(messages: Iterable[StoredMessage]) -> Iterator[RoutingDecided]:
    for message in messages:
        for record in decode(message):
            if isinstance(record, Recorded) and isinstance(record.event, RoutingDecided):
                yield record.event
