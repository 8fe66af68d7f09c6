"""What came of it: the driver's account, the log and the scripts' diary held against each other.

Every figure is counted here from the records themselves; no table of the orchestrator is believed."""

import copy
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from remediation_orchestrator.bus.port import LogError, ReadableLog
from remediation_orchestrator.events import (
    Position,
    Recorded,
    RemediationId,
    RoutingDecided,
    SignalReceived,
    StoredMessage,
    Target,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    decode,
    subjects,
)
from remediation_orchestrator.events.codec import attributes_of
from remediation_orchestrator.events.identity import DEFAULT_CELL
from remediation_orchestrator.events.stored import export_line
from remediation_orchestrator.orchestrator.queries.audit import Auditor
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS, Drift, Report
from remediation_orchestrator.orchestrator.queries.fold_digest import FoldDigest, digest_fold
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.projection import Projection

from .bursts import is_thrown
from .catalog import DiaryLine, read_diary


class ChaosTally(Struct, frozen=True):
    """The figures of a round, or of all. From `decided_twice` on, zero is the promise: see `PROMISES`."""

    accepted: int = 0
    decided: int = 0
    run: int = 0
    archived: int = 0
    untold: int = 0
    decided_twice: int = 0
    run_twice: int = 0
    two_at_once: int = 0
    left: int = 0
    lost: int = 0
    stuck: int = 0
    forgotten: int = 0
    findings: int = 0
    archives: int = 0
    led_not_whole: int = 0
    unsaid: int = 0

    def minus(self, earlier: "ChaosTally") -> "ChaosTally":
        """What has come since."""
        return ChaosTally(*(getattr(self, name) - getattr(earlier, name) for name in self.__struct_fields__))

    def plus(self, other: "ChaosTally") -> "ChaosTally":
        """Both together."""
        return ChaosTally(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not any(getattr(self, name) for name in PROMISES)

    @property
    def broken(self) -> list[str]:
        """The promises that were not kept, in words."""
        return [says for name, says in PROMISES.items() if getattr(self, name)]


PROMISES = {
    "decided_twice": "nothing is decided or stored twice",
    "run_twice": "no command is run twice",
    "two_at_once": "no two runs at once on one target",
    "left": "nothing of a run is left when it has ended",
    "lost": "nothing accepted is lost",
    "stuck": "everything is finished within a minute",
    "forgotten": "no live state differs from a fresh fold",
    "findings": "audit finds nothing, and log and diary agree",
    "archives": "segments and rest are the whole log, and equal",
    "led_not_whole": "no verdict on a log that is not whole",
    "unsaid": "a log that is not whole is called so",
}
"""What is promised, by the figure that counts how often it was not kept."""


class Bad(Struct, frozen=True):
    """What a store that was not whole lacked, and the frames that were stored on it."""

    missing: list[int]
    frames: list[int]


class Account:
    """Reads on in the log and the diary, and counts."""

    def __init__(self, diary: Path) -> None:
        self._diary = diary
        self.messages: list[StoredMessage] = []
        self._auditor = Auditor(Report())
        self._fold = Fold()
        """Of every record from the first on; what no frame covers yet waits in it."""
        self._verdicts: Counter[tuple[str, int]] = Counter()
        self._stored: Counter[str] = Counter()
        self._started: set[str] = set()
        self._executors: dict[str, str] = {}
        """By whom each run was claimed."""
        self._completed: set[str] = set()
        self.ended: set[str] = set()
        """The runs whose end is in the log, as whoever had them told it: of a lost one another knows nothing."""
        self._looked_at = 0
        self._cleared: set[str] = set()
        self._apart: list[tuple[set[str], int, int]] = []
        """Runs that were claimed on a store of which nothing could tell that it was not ours, and when."""
        self.findings: list[str] = []
        """What audit found on the way, and where the diary and the log disagree."""

    @property
    def read(self) -> int:
        """The sequence of the newest message read."""
        return self.messages[-1].sequence if self.messages else 0

    async def read_on(self, log: ReadableLog) -> bool:
        """Read what is new; False where the log could not be asked."""
        try:
            async for message in log.read(self.read + 1):
                self._take(message)
        except LogError:
            return False
        return True

    def _take(self, message: StoredMessage) -> None:
        self.messages.append(message)
        self._fold.take(message)
        found = self._auditor.take(message)
        self.findings += [
            f"{one.position}: {one.drift}: {one.message}"
            for one in found
            if one.drift not in HARMLESS and not (one.drift is Drift.UNREADABLE and is_thrown(message))
        ]
        for record in decode(message):
            if isinstance(record, Recorded):
                match record.event:
                    case RoutingDecided(signal=signal, attempt=attempt):
                        self._verdicts[signal, attempt] += 1
                    case SignalReceived(labels={"id": name}):
                        self._stored[name] += 1
                    case WorkflowStarted(execution=execution, executor=executor):
                        self._started.add(execution)
                        self._executors.setdefault(execution, executor)
                    case WorkflowCompleted(execution=execution):
                        self._completed.add(execution)
                        self.ended.add(execution)
                    case WorkflowFailed(execution=execution) if self._is_its_own(execution, message):
                        self.ended.add(execution)

    def _is_its_own(self, execution: str, message: StoredMessage) -> bool:
        """Whether an end was told by the executor that had claimed the run."""
        attributes = attributes_of(message.payload)
        return attributes is not None and attributes.source.endswith(f"/{self._executors.get(execution)}")

    # -- is it over? -----------------------------------------------------------------------------------

    def unfinished(self, accepted: dict[str, Position]) -> list[str]:
        """What is still to come: no list is longer than a person reads."""
        left = self._left(self._auditor.fold.view, accepted)
        if left and self.read == self._looked_at:  # The facts behind the last frame may be all that is missing.
            left = self._left(self._fresh(tail=True).view, accepted)
        self._looked_at = self.read
        return left[:5]

    def _left(self, view: Projection, accepted: dict[str, Position]) -> list[str]:
        undecided = [name for name, place in accepted.items() if not self._verdicts[place, 1]]
        waiting = [str(key) for table in (view.unjudged, view.tasks, view.owed, view.runs) for key in table]
        return [*undecided, *waiting, *(one.id for one in view.blocked())]

    def to_clear(self) -> list[Target]:
        """The targets that wait for an operator, of lost runs and of half-done ones; each cause is told once."""
        view = self._auditor.fold.view
        causes: dict[str, Target] = {run.execution: run.target for run in view.runs.values() if run.lost}
        causes |= {one.remediation: target for (target, _), one in view.half_done.items()}
        fresh = causes.keys() - self._cleared
        self._cleared |= fresh
        return list({causes[cause]: None for cause in sorted(fresh)})

    def running(self) -> list[RemediationId]:
        """The remediations of which something runs."""
        return [run.remediation for run in self._auditor.fold.view.runs.values() if run.started]

    def fresh(self, like: FoldDigest) -> FoldDigest | None:
        """What a fresh fold of the same records says; None where others were read here."""
        if like.read != self.read:
            return None
        # Whoever is active has folded the facts at the tail, whoever stands by has not.
        return digest_fold(self._fresh(tail=like.waiting == 0))

    def _fresh(self, *, tail: bool) -> Fold:
        fold = copy.deepcopy(self._fold)  # It keeps little; to fold the whole log again takes seconds, and grows.
        if tail:
            fold.fold_facts()
        return fold

    # -- counting --------------------------------------------------------------------------------------

    def tally(self, accepted: dict[str, Position], asked: Mapping[str, int]) -> ChaosTally:
        """Count everything from the first record on. `asked`: the figures for which others had to be asked."""
        lines = self._lines()
        begun = Counter(one.execution for one in lines if one.word == "begin")
        decided = [name for name, place in accepted.items() if self._verdicts[place, 1]]
        kept = [name for name in decided if self._stored[name]]
        stored_twice = sum(count - 1 for count in self._stored.values())
        return ChaosTally(
            accepted=len(accepted),
            decided=len(decided),
            run=len(begun),
            decided_twice=sum(count - 1 for count in self._verdicts.values()) + stored_twice,
            run_twice=sum(count - 1 for count in begun.values()),
            two_at_once=len(overlapping(lines)),
            lost=len(accepted) - len(kept),
            findings=len(self.findings) + len(self.contradictions(lines)),
            **asked,
        )

    def contradictions(self, lines: list[DiaryLine] | None = None) -> list[str]:
        """What is open, and where diary and log disagree: a run without a claim, a success without an end."""
        lines = self._lines() if lines is None else lines
        begun = {one.execution for one in lines if one.word == "begin"}
        ended = {one.execution for one in lines if one.word == "end"}
        return [
            *(f"{one.position}: {one.drift}: {one.message}" for one in self._auditor.end()),
            *(f"{one} began without a claim" for one in sorted(begun - self._started)),
            *(
                f"{one} is said to have completed and has written no end"
                for one in sorted(self._completed - ended)
            ),
        ]

    def differs_from(self, bad: list[StoredMessage], through: int) -> "Bad":
        """Hold what was read of a store that was not ours against what the log is, and had come to by then."""
        ours = {one.sequence: one for one in self.messages}
        first = bad[0].sequence
        there = {one.sequence: (one.subject, one.payload) for one in bad}
        self._started |= {run for one in bad for run in _claims(one)}  # Its executor could not know better.
        frames = [
            one
            for one in bad
            if one.subject == subjects.decision(DEFAULT_CELL) and one.payload != _payload(ours.get(one.sequence))
        ]
        return Bad(
            # By their bytes: where a log has lost its end, others stand at the same sequences soon.
            missing=[
                sequence
                for sequence, one in ours.items()
                if first <= sequence <= through and there.get(sequence) != (one.subject, one.payload)
            ],
            frames=[one.sequence for one in frames if any(isinstance(each, Recorded) for each in decode(one))],
        )

    def spare(self, bad: list[StoredMessage], since: int, until: int) -> None:
        """Count no run that was claimed on a store of which nothing could tell that it was not ours.

        The times are of the diary's clock: what the same executions did before and after that counts."""
        ours = {one.sequence: one.payload for one in self.messages}
        others = [one for one in bad if ours.get(one.sequence) != one.payload]
        self._apart.append(({run for one in others for run in _claims(one)}, since, until))

    def _lines(self) -> list[DiaryLine]:
        """The diary, without the runs that are spared."""
        lines = read_diary(self._diary)
        apart = {
            (one.execution, one.pid)
            for one in lines
            for runs, since, until in self._apart
            if one.word == "begin" and one.execution in runs and since <= one.at <= until
        }
        return [one for one in lines if (one.execution, one.pid) not in apart]

    def export(self, file: Path) -> None:
        """Keep the log as it was read, for `ro ... --log`."""
        file.write_bytes(b"".join(export_line(one) + b"\n" for one in self.messages))


def overlapping(lines: list[DiaryLine]) -> set[tuple[str, int]]:
    """The runs that began while another run on their target had not ended.

    Of a run that was killed nobody wrote the end; its lock says whether it was still there."""
    ended = {(one.execution, one.pid): one.at for one in lines if one.word == "end"}
    found = {(one.execution, one.pid) for one in lines if one.word == "begin" and not one.alone}
    on_target: dict[str, list[DiaryLine]] = defaultdict(list)
    for line in sorted((one for one in lines if one.word == "begin"), key=lambda one: one.at):
        on_target[line.target].append(line)
    for begins in on_target.values():
        busy_until = 0
        for line in begins:
            if line.at < busy_until:
                found.add((line.execution, line.pid))
            busy_until = max(busy_until, ended.get((line.execution, line.pid), line.at))
    return found


def _payload(message: StoredMessage | None) -> bytes | None:
    return message.payload if message is not None else None


def _claims(message: StoredMessage) -> Iterator[str]:
    for record in decode(message):
        if isinstance(record, Recorded) and isinstance(record.event, WorkflowStarted):
            yield record.event.execution
