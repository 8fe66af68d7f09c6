"""The commands that a log's decisions owe, followed through it, and each held against what owes it.

Every command stands in the log that whoever led had the time to send, whatever has settled it meanwhile: an answer
or an end says nothing of what it answers. Not sent is what was over within the round that decided it, or before
another took over; what had no time left, or was revoked instead; and what the end of the log cuts off."""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from remediation_orchestrator.events import (
    Command,
    CreateWorkflow,
    Event,
    ExecutionId,
    PhaseChanged,
    Position,
    RemediationId,
    RoutingDecided,
    StoredMessage,
)
from remediation_orchestrator.events.codec import attributes_of
from remediation_orchestrator.events.identity import analysis_id, position
from remediation_orchestrator.events.subjects import command_id
from remediation_orchestrator.orchestrator.frames import command_attributes
from remediation_orchestrator.orchestrator.routing.outbox import Errand, OwedKey, command_of, promises
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Owed

from .envelopes import wrong_around
from .fences import Fences
from .findings import Drift, Finding
from .leaders import Leaders
from .moments import moment_of
from .revocations import NOT_OURS

# An append is answered within five seconds or tried again: twice that after its round a command is late.
COMMAND_GRACE = timedelta(seconds=10)
FOREVER = datetime.max.replace(tzinfo=UTC)


class Promises:
    """What decisions owe, until it is in the log: also where its remediation ended meanwhile."""

    def __init__(self, view: Projection, fences: Fences, leaders: Leaders) -> None:
        self._view = view
        self._fences = fences
        self._leaders = leaders
        self._owed: dict[OwedKey, Owed] = {}
        self._revoked: dict[OwedKey, Owed] = {}
        """What was owed of runs that were revoked before their command came."""
        self._sent: dict[ExecutionId, int] = {}
        """Where the command of each run stands."""
        self._new: list[OwedKey] = []
        """Owed since the round under way, or since another took over: perhaps over before it is sent."""
        self._since: deque[tuple[OwedKey, datetime, datetime]] = deque()
        """What whoever leads has begun to send, the oldest first; and a later frame: judged when, stored when."""
        self._due: set[OwedKey] = set()
        """What has to stand in the log."""
        self._told: set[OwedKey] = set()
        self._never: set[ExecutionId] = set()
        """The runs whose command was over before it could be sent."""
        self._time: datetime | None = None
        """When the newest frame was judged."""
        self._begun = False
        """Whether that one began with a start."""
        self._under_way: list[OwedKey] = []
        """What was owed behind a round that is over."""

    def add(self, decision: RoutingDecided | PhaseChanged, place: Position) -> None:
        """A decision owes what it owes."""
        for key in promises(decision):
            self._owed[key] = Owed(decision, place)
            self._new.append(key)

    def resume(self, sequence: int) -> None:
        """Begin where a projection stands: what it owes is owed, and of every other run the command was sent."""
        self._owed = dict(self._view.owed)
        self._new = list(self._owed)
        self._sent = {run: sequence for run in self._view.runs if OwedKey(Errand.WORKFLOW, run) not in self._owed}

    def check(self, message: StoredMessage, command: Event, key: tuple[str, str]) -> Iterator[Finding]:
        """A command is there: hold it against what owes it, and against who wrote it, and when."""
        place, name = position(message.sequence), ".".join(key)
        owed = self._keep(key, message.sequence)
        if owed is None or owed.position is None:
            yield Finding(place, Drift.COMMAND, f"no decision owes {name}")
            return
        expected = command_of(key[0], owed.decision, owed.position)
        if expected != command:
            yield Finding(place, Drift.RECORD, f"{name} does not say what its decision says")
        if not self._fences.is_first(message):
            what = f"{name} expects another record before it than stands there"
            yield Finding(place, Drift.FENCE, what)
        yield from self._wrong_around(place, message, expected, owed)

    def _wrong_around(
        self, place: Position, message: StoredMessage, command: Command, owed: Owed
    ) -> Iterator[Finding]:
        """Hold what stands around a command against who wrote it, and when it may have been sent."""
        sent, name = attributes_of(message.payload), ".".join(command_id(command))
        ours = sent is not None and self._leaders.may_have_written(sent.source)
        by, time = (sent.source if sent and ours else NOT_OURS), sent.time if sent else message.recorded_at
        yield from wrong_around(place, command_attributes(command, by, time), sent)
        yield from self._leaders.sent(place, message.recorded_at, time, moment_of(owed.decision))
        limit = command.start_before if isinstance(command, CreateWorkflow) else None
        if limit is not None and time > limit:
            yield Finding(place, Drift.LATE, f"{name} was sent after its start_before, {limit.isoformat()}")
        elif limit is not None and message.recorded_at > limit:
            yield Finding(place, Drift.DELAYED, f"{name} was stored after its start_before, {limit.isoformat()}")

    def _keep(self, key: tuple[str, str], sequence: int) -> Owed | None:
        """A command stands there: return what owed it."""
        if key[0] == Errand.WORKFLOW:
            self._sent[ExecutionId(key[1])] = sequence
        same: Any = key  # A pair of words equals a key.
        return self._owed.pop(same, None) or self._revoked.pop(same, None)

    def was_never_owed(self, execution: ExecutionId) -> bool:
        """Whether no command of a run was owed behind any frame: nobody was asked to run it."""
        return execution in self._never

    def told(self, execution: ExecutionId, sequence: int) -> None:
        """It was said of a run that its command was not there: that is said once."""
        self._sent[execution] = sequence
        self._told.add(OwedKey(Errand.WORKFLOW, execution))

    def began(self, execution: ExecutionId) -> None:
        """A run has begun: what could not be revoked any more is to be cancelled."""
        self._owed.pop(OwedKey(Errand.REVOKE, execution), None)
        self._new.append(OwedKey(Errand.CANCEL, execution))

    def answered(self, remediation: RemediationId) -> None:
        """An analysis has its answer, so somebody was asked."""
        known = self._view.remediations.get(remediation)
        if known is not None:
            self._due.add(OwedKey(Errand.ANALYZE, analysis_id(known.id, known.analyses)))

    def revoked(self, execution: ExecutionId) -> None:
        """A run was revoked, so nobody has begun it: a command less is what its sender's clock has said, and one
        that was under way may come yet."""
        key = OwedKey(Errand.WORKFLOW, execution)
        if key in self._owed:
            self._revoked[key] = self._owed.pop(key)

    def forget(self, execution: ExecutionId) -> None:
        """A run is over: nothing more is asked about its command, nor is its revocation missed."""
        self._sent.pop(execution, None)
        self._never.discard(execution)
        self._owed.pop(OwedKey(Errand.REVOKE, execution), None)

    def was_sent(self, execution: ExecutionId, sequence: int) -> bool:
        """Whether the command of a run stands before this record."""
        return self._sent.get(execution, sequence) < sequence

    def next_frame(self, said: datetime | None, *, further: bool) -> None:
        """A frame is next: of another round, if it covers further facts or says another moment.

        All that is owed behind the one before is under way by then; what is not owed any more was never sent."""
        if not self._begun and (further or said not in (None, self._time)):
            for key in self._new:
                if key in self._view.owed:
                    self._under_way.append(key)
                elif key.errand is Errand.WORKFLOW and key in self._owed:
                    self._never.add(ExecutionId(key.name))
            self._new = []

    def stored(self, judged: datetime, stamp: datetime, *, begins: bool) -> None:
        """A frame stands; with a start whoever led before sends nothing any more.

        A frame may be stored long after it was judged, and a broker may step its clock: both have to go on."""
        if begins:
            self._new, self._under_way = list(self._owed), []
            self._since.clear()
        self._since += [(key, judged, stamp) for key in self._under_way]
        self._begun, self._time, self._under_way = begins, judged, []
        while self._since and min(judged - self._since[0][1], stamp - self._since[0][2]) >= COMMAND_GRACE:
            key, _, _ = self._since.popleft()
            owed = self._owed.get(key)
            if owed is not None and _until(key, owed) >= judged:
                self._due.add(key)

    def missing(self) -> Iterator[tuple[OwedKey, Position]]:
        """The log is over: what has to stand in it, and does not, and what is owed still and late."""
        before = self._view.newest - COMMAND_GRACE
        for key, owed in self._owed.items():
            late = key in self._view.owed and (moment_of(owed.decision) or before) < before
            if (late or key in self._due) and key not in self._told and owed.position is not None:
                yield key, owed.position


def _until(key: OwedKey, owed: Owed) -> datetime:
    """Until when it may be sent: nobody begins a run behind its `start_before`, and it is revoked instead."""
    if key.errand is not Errand.WORKFLOW or not isinstance(owed.decision, RoutingDecided):
        return FOREVER
    return owed.decision.start_before or FOREVER
