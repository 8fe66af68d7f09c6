"""A fold at one frame of its log, written down so that a fold can go on from there: a cache, and never the truth.

It is taken right behind a frame of one's own, when every fact that the frame covers is folded and everything is
judged: so nothing waits for a verdict, and the chain goes on from what the frame says of all before it. The
tables are written in parts, each a JSON object {"table", "rows"}; their values are frozen, so a copy of the
tables is a copy of all."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from remediation_orchestrator.events import (
    ExecutionId,
    Fingerprint,
    PhaseChanged,
    Position,
    RemediationId,
    RoutingDecided,
    StoredMessage,
    Target,
)

from .alerts import AlertRow
from .fold import Fold
from .outbox import Errand, OwedKey
from .policy import PolicyError, policy_of
from .projection import Projection
from .state import (
    FingerprintHistory,
    HalfDone,
    HeldRun,
    Owed,
    Remediation,
    WorkflowHistory,
    shared_target,
    shared_text,
    shared_within,
    shared_words,
    shared_workflow,
)
from .verification import IneffectiveChain

SCHEMA = 6
"""Of the parts and the head; a snapshot of another schema is not read."""
# A part is written in one go, while nobody decides.
ROWS = 100


class SnapshotError(ValueError):
    """Something in a snapshot does not match. The message says what."""


class Manifest(Struct, frozen=True):
    """Where a snapshot stands, and what it takes to trust it."""

    schema: int
    code: str
    """Digest of the code that folds and judges: a snapshot of other code is not used."""
    sequence: int
    """Of the frame behind which it was taken."""
    frame: str
    """SHA-256, in hex, of that frame's stored bytes: they tell of every fact and frame before it."""
    previous: str
    """What that frame says of all that came before it."""
    as_of: int
    """Sequence of the last fact folded."""
    read: int
    """How far that frame covers whole records: the chain goes on behind it."""
    through: int
    """Sequence of the last record that need not be read again: no fact that waits is among them."""
    seen: int
    """Sequence of the newest message read: commands behind it may still be owed here."""
    newest: datetime
    recorded_at: datetime
    version: str
    unknown: str | None
    adopted: bool
    policy: dict[str, object]
    shadow: dict[str, object] | None
    digest: str = ""
    """SHA-256, in hex, over all its parts."""


class Origin(Struct, frozen=True):
    """The projection from which a log goes on whose beginning was archived."""

    head: Manifest
    digest: str
    """SHA-256, in hex, of its head as it is kept: what the log's own record of the archive says."""


class SnapshotPart(Struct, frozen=True):
    """Some rows of one table."""

    table: str
    rows: msgspec.Raw


_ROWS: dict[str, msgspec.json.Decoder[Any]] = {
    table: msgspec.json.Decoder(list[row])  # type: ignore[valid-type]
    for table, row in {
        "histories": tuple[Fingerprint, FingerprintHistory],
        "remediations": Remediation,
        "runs": HeldRun,
        "holders": ExecutionId,
        "queues": tuple[Target, list[RemediationId]],
        "firing": AlertRow,
        "chains": tuple[Target, IneffectiveChain],
        "workflows": tuple[Target, str, WorkflowHistory],
        "half_done": tuple[Target, str, HalfDone],
        "spoilt": tuple[RemediationId, list[ExecutionId]],
        "owed_verdicts": tuple[Errand, str, Position, RoutingDecided],
        "owed_changes": tuple[Errand, str, Position, PhaseChanged],
    }.items()
}
_part = msgspec.json.Decoder(SnapshotPart)
_encoder = msgspec.json.Encoder()


class Image:
    """A fold's tables as they are now: they may be written down later, whatever the fold does meanwhile."""

    def __init__(self, fold: Fold, frame: bytes, at: datetime, *, code: str) -> None:
        """Copy the tables of a fold that has just stored, or folded, this frame. Raises SnapshotError.

        `at` is when it is taken, `code` the digest of the code that folds and judges."""
        view = fold.view
        if view.tasks or view.unjudged or fold.chain.as_of != fold.chain.covered:
            raise SnapshotError("something waits for its verdict")
        self._tables = _tables_of(view)
        self.head = Manifest(
            schema=SCHEMA,
            code=code,
            sequence=fold.chain.last,
            frame=hashlib.sha256(frame).hexdigest(),
            previous=fold.chain.stated,
            as_of=fold.chain.as_of,
            read=fold.chain.read,
            through=_through(fold),
            seen=fold.read,
            newest=view.newest,
            recorded_at=at,
            version=fold.version,
            unknown=fold.unknown,
            adopted=view.adopted,
            policy=view.policy.document(),
            shadow=None if view.shadow is None else view.shadow.document(),
        )

    def parts(self, *, ordered: bool = False) -> Iterator[bytes]:
        """Write the tables down, some rows at a time; once. `ordered`: each in the order of what its rows say."""
        for table, rows in self._tables.items():
            if ordered:
                rows = iter(sorted(rows, key=_encoder.encode))
            while some := list(islice(rows, ROWS)):
                yield _encoder.encode({"table": table, "rows": some})


def _tables_of(view: Projection) -> dict[str, Iterator[object]]:
    """A copy of every table, by its name."""
    owed = [(*key, one.position, one.decision) for key, one in view.owed.items()]
    workflows, half_done = dict(view.workflows), dict(view.half_done)
    return {
        "remediations": iter(dict(view.remediations).values()),
        "histories": iter(dict(view.histories).items()),
        "runs": iter(dict(view.runs).values()),
        "holders": iter(dict(view.holders).values()),
        "queues": iter([(target, list(queue)) for target, queue in view.queues.items()]),
        "firing": iter(view.retention.alerts.rows()),
        "chains": iter(dict(view.chains).items()),
        "workflows": ((*key, done) for key, done in workflows.items()),
        "half_done": ((*key, left) for key, left in half_done.items()),
        "spoilt": iter([(of, sorted(names)) for of, names in view.spoilt.items()]),
        "owed_verdicts": iter([row for row in owed if isinstance(row[-1], RoutingDecided)]),
        "owed_changes": iter([row for row in owed if isinstance(row[-1], PhaseChanged)]),
    }


def restore(fold: Fold, head: Manifest, frame: StoredMessage, parts: Iterable[bytes]) -> None:
    """Have a fresh fold go on from a snapshot: it has to be given every message behind `head.through`.

    Raises SnapshotError where anything does not match; the fold is of no use then."""
    if head.schema != SCHEMA:
        raise SnapshotError(f"its schema is {head.schema}, and {SCHEMA} is wanted")
    if frame.sequence != head.sequence or hashlib.sha256(frame.payload).hexdigest() != head.frame:
        raise SnapshotError(f"the log has another frame at {head.sequence}")
    digest = hashlib.sha256()
    try:
        reader = _Reader(fold.view)
        for part in parts:
            digest.update(part)
            reader.take(_part.decode(part))
        _put_in_force(fold.view, head)
    except (msgspec.DecodeError, PolicyError, KeyError) as error:
        raise SnapshotError(f"it cannot be read: {error}") from error
    if digest.hexdigest() != head.digest:
        raise SnapshotError("its parts are not those that were written")
    fold.version, fold.unknown, fold.read = head.version, head.unknown, head.through
    fold.view.resume(head.newest)
    fold.chain.as_of = head.as_of
    fold.chain.frame(head.sequence, head.previous, frame.payload, read=head.read)


def _put_in_force(view: Projection, head: Manifest) -> None:
    shadow = None if head.shadow is None else policy_of(head.shadow)
    view.retention.put_in_force(policy_of(head.policy), shadow, adopted=head.adopted)


def _through(fold: Fold) -> int:
    """How far a log need not be read again: the chain goes on behind its frame's `read`, and so do facts, unless
    its writer had read more of them than it took."""
    waiting = fold.facts[0].sequence - 1 if fold.facts else fold.chain.read
    return min(waiting, fold.chain.read)


class _Reader:
    """Fills the tables of a projection; what many rows say is one value again."""

    def __init__(self, view: Projection) -> None:
        self._view = view
        self._fingerprints: dict[str, Fingerprint] = {}
        self._names: dict[str, RemediationId] = {}

    def take(self, part: SnapshotPart) -> None:
        """Take the rows of one part."""
        rows = _ROWS[part.table].decode(part.rows)
        getattr(self, f"_{part.table}")(rows)

    def _remediations(self, rows: list[Remediation]) -> None:
        for one in rows:
            _set(one, "fingerprint", self._fingerprints.setdefault(one.fingerprint, one.fingerprint))
            _set(one, "words", shared_words(*msgspec.structs.astuple(one.words)))
            _set(one, "target", shared_target(one.target))
            _set(one, "within", shared_within(one.within))
            home = one.home
            _set(one, "home", None if home is None else (shared_target(home[0]), shared_within(home[1])))
            _set(one, "workflow", shared_workflow(one.workflow))
            self._names[one.id] = one.id
            self._view.retention.know(one)

    def _histories(self, rows: list[tuple[Fingerprint, FingerprintHistory]]) -> None:
        for _, history in rows:
            for field in ("active", "ended", "completed_by"):
                name = getattr(history, field)
                if name is not None:
                    _set(history, field, self._names.get(name, name))
        named = ((self._fingerprints.get(fingerprint, fingerprint), history) for fingerprint, history in rows)
        self._view.retention.restore(histories=named)

    def _runs(self, rows: list[HeldRun]) -> None:
        for run in rows:
            remediation = self._view.remediations.get(run.remediation)
            if remediation is not None:
                _set(run, "remediation", remediation.id)
                _set(run, "fingerprint", remediation.fingerprint)
            _set(run, "workflow", shared_text(run.workflow))
            _set(run, "target", shared_target(run.target))
            self._view.targets.renew(run)

    def _holders(self, rows: list[ExecutionId]) -> None:
        runs = [self._view.runs[execution] for execution in rows]
        self._view.targets.restore(holders=((run.target, run.execution) for run in runs))

    def _queues(self, rows: list[tuple[Target, list[RemediationId]]]) -> None:
        self._view.targets.restore(queues=((target, dict.fromkeys(queue)) for target, queue in rows))

    def _firing(self, rows: list[AlertRow]) -> None:
        self._view.retention.alerts.restore((self._fingerprints.get(of, of), alert, at) for of, alert, at in rows)

    def _chains(self, rows: list[tuple[Target, IneffectiveChain]]) -> None:
        self._view.retention.chains.restore(rows)

    def _workflows(self, rows: list[tuple[Target, str, WorkflowHistory]]) -> None:
        self._view.retention.restore(workflows=(((target, workflow), done) for target, workflow, done in rows))

    def _half_done(self, rows: list[tuple[Target, str, HalfDone]]) -> None:
        self._view.targets.restore(half_done=(((target, workflow), left) for target, workflow, left in rows))

    def _spoilt(self, rows: list[tuple[RemediationId, list[ExecutionId]]]) -> None:
        self._view.retention.restore(spoilt=((of, set(names)) for of, names in rows))

    def _owed_verdicts(self, rows: list[tuple[Errand, str, Position, RoutingDecided]]) -> None:
        self._owe(rows)

    def _owed_changes(self, rows: list[tuple[Errand, str, Position, PhaseChanged]]) -> None:
        self._owe(rows)

    def _owe(self, rows: Iterable[tuple[Errand, str, Position, RoutingDecided | PhaseChanged]]) -> None:
        self._view.outbox.restore(
            (OwedKey(kind, name), Owed(decision, position)) for kind, name, position, decision in rows
        )


# The values are not yet anybody's: nothing has seen them unshared.
_set = msgspec.structs.force_setattr
