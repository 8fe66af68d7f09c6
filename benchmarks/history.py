"""A long log to ask questions of: what a cell lives through in hours, drawn from a seed, decided by the real core.

Signals fall by Zipf's law on their problems, alone and in storms, many twice; problems flap, two on one target;
some have to be analysed; runs complete, fail, fail half-way or are never heard of again, and people clear what is
stuck. Rounds, frames and commands are made by the orchestrator's own functions, so the log audits clean."""

import heapq
import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import msgspec
from msgspec import Struct

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalyzeSignal,
    BlockCleared,
    CellName,
    Command,
    CreateWorkflow,
    Fact,
    Notify,
    OrchestratorStarted,
    SignalReceived,
    SignalResolved,
    StoredMessage,
    Target,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRef,
    WorkflowRevoked,
    WorkflowStarted,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes, join_frame
from remediation_orchestrator.events.subjects import Family, parse
from remediation_orchestrator.orchestrator.routing.judge import judge
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT
from remediation_orchestrator.testing.writer import LogWriter

CELL = CellName("bench")
SEED = 20_261_121
START = datetime(2026, 11, 21, 10, tzinfo=UTC)
RESTART = WorkflowRef("restart-deployment", {"grace": 30})
ZIPF_EXPONENT = 1.1
SECONDS_BETWEEN_ARRIVALS = 1.0
# Of all arrivals; a storm is a node or a zone that goes down.
STORMS, STORM_MIN, STORM_MAX = 0.02, 30, 200
# Of all signals.
SENT_TWICE, CLOUD_EVENTS = 0.3, 0.3
# Of all problems.
UNRELIABLE, RESOLVING, FLAPPING, TO_ANALYSE, SHARING_A_TARGET = 0.1, 0.7, 0.2, 0.2, 0.2
_items = msgspec.json.Decoder(list[msgspec.Raw])
# Of all runs.
NEVER_HEARD_OF_AGAIN, FAILING, FAILING_HALF_WAY = 0.002, 0.05, 0.1


class Problem(Struct, frozen=True):
    """Something that goes wrong again and again: what its signals say, and how it behaves."""

    signal: SignalReceived
    failing: float
    """The share of its runs that fail."""
    lasts: timedelta | None
    """How long until its source says that it is over; None where it never does."""


class History:
    """The life of a cell."""

    def __init__(self, problems: int, seed: int = SEED) -> None:
        self._chance = random.Random(seed)
        self._problems = list(_problems(problems, self._chance))
        self._weights = list(itertools.accumulate(1 / (n + 1) ** ZIPF_EXPONENT for n in range(problems)))
        self._failing = {problem.signal.fingerprint: problem.failing for problem in self._problems}
        self._writer = Stamped()
        self._fold = self._writer.fold
        self._coming: list[tuple[datetime, int, str, bytes]] = []
        self._ids = itertools.count()

    @property
    def events(self) -> int:
        """How many have been stored so far."""
        return self._writer.events

    def messages(self) -> Iterator[StoredMessage]:
        """Yield every message that is stored, in order, without end."""
        first = OrchestratorStarted(
            "bench", version("remediation-orchestrator"), "0badcafe", DEFAULT.document(), DEFAULT.digest
        )
        yield self._writer.begin(START, first)
        arrival = START
        while True:
            if self._next() >= arrival:
                now = arrival
                yield from self._arrive(now)
                arrival += timedelta(seconds=self._chance.expovariate(1 / SECONDS_BETWEEN_ARRIVALS))
            else:
                now = self._next()
            while self._coming and self._coming[0][0] <= now:
                _, _, subject, payload = heapq.heappop(self._coming)
                told = parse(subject).family is not Family.SIGNAL  # Whoever sends signals expects nothing.
                expected = self._writer.expecting(subject) if told else None
                yield self._writer.append(now, subject, payload, expected)
            yield from self._round(now)

    def _next(self) -> datetime:
        """When something comes or becomes due."""
        moments = [self._coming[0][0] if self._coming else None, self._fold.view.next_wakeup()]
        return min((moment for moment in moments if moment is not None), default=datetime.max.replace(tzinfo=UTC))

    # -- what comes from outside -----------------------------------------------------------------------

    def _arrive(self, now: datetime) -> Iterator[StoredMessage]:
        """One signal or a storm of them; what came of a storm's problems is sent as an array, as webhooks do."""
        storm = self._chance.random() < STORMS
        count = self._chance.randint(STORM_MIN, STORM_MAX) if storm else 1
        drawn = self._chance.choices(self._problems, cum_weights=self._weights, k=count)
        bodies = [body for problem in drawn for body in self._bodies(problem, now)]
        if storm:
            yield self._writer.append(now, subjects.signal(CELL, "alertmanager"), join_frame(bodies))
        else:
            for body in bodies:
                yield self._writer.append(now, subjects.signal(CELL, "probe"), body)

    def _bodies(self, problem: Problem, now: datetime) -> list[bytes]:
        times = 2 if self._chance.random() < SENT_TWICE else 1
        if problem.lasts is not None:
            over = SignalResolved(**{**msgspec.structs.asdict(problem.signal), "status": "resolved"})
            self._later(now + problem.lasts * self._chance.uniform(0.5, 2), subjects.signal(CELL, "probe"), over)
        if self._chance.random() < CLOUD_EVENTS:
            return [self._event(problem.signal, now)] * times
        return [msgspec.json.encode(problem.signal)] * times

    def _later(self, at: datetime, subject: str, fact: Fact) -> None:
        heapq.heappush(self._coming, (at, next(self._ids), subject, self._event(fact, at)))

    def _event(self, fact: Fact, at: datetime) -> bytes:
        return encode(fact, Attributes(id=f"e{next(self._ids)}", source="/bench", time=at))

    def _answer(self, command: Command, now: datetime) -> None:
        """What executors, analysers and people do when they are told to."""
        chance, seconds = self._chance.random(), self._chance.uniform(2, 60)
        match command:
            case CreateWorkflow(execution=run):
                subject = subjects.execution(CELL, run)
                self._later(now + timedelta(milliseconds=20), subject, WorkflowStarted(run, executor="executor-1"))
                if chance < NEVER_HEARD_OF_AGAIN:
                    return
                failing = self._failing[command.fingerprint]
                half_way = self._chance.random() < FAILING_HALF_WAY
                end = (
                    WorkflowFailed(
                        run, "TaskFailed", "exit code 1: no such pod", idempotent=not half_way, exit_code=1
                    )
                    if chance < failing
                    else WorkflowCompleted(run, output="restarted\nrolled out in 12 s")
                )
                self._later(now + timedelta(seconds=seconds), subject, end)
            case AnalyzeSignal(remediation=about, target=target):
                subject = subjects.analysis(CELL, about)
                self._later(
                    now + timedelta(seconds=seconds / 10), subject, AnalysisCompleted(about, target, RESTART)
                )
            case Notify(fingerprint=fingerprint, target=target):
                cleared = BlockCleared(fingerprint, target, by="ops", reason="looked into it")
                self._later(now + timedelta(minutes=seconds), subjects.operator(CELL, cleared), cleared)
            case _:
                pass

    # -- what the orchestrator does --------------------------------------------------------------------

    def _round(self, now: datetime) -> Iterator[StoredMessage]:
        fold, writer = self._fold, self._writer
        fold.fold_facts()
        now = max(now, fold.view.newest)
        result = judge(fold.view, now)
        yield from writer.frames(now, result.decisions)
        if not result.decisions and any(kind == "cancel" for kind, _ in fold.view.owed):
            yield writer.frame(now, [])
        for run in result.overdue:
            yield writer.revoke(now, WorkflowRevoked(run))
        yield from writer.revoke_owed(now)
        for command, message in writer.send(now):
            yield message
            self._answer(command, now)


class Stamped(LogWriter):
    """Counts events, and stores no two records at one moment."""

    def __init__(self) -> None:
        super().__init__(CELL, "bench")
        self._stamp = START
        self.events = 0
        """How many have been stored so far: one of a message, or several of an array."""

    def message(
        self, at: datetime, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> StoredMessage:
        """Store it, a moment after the one before it."""
        self._stamp = max(at, self._stamp + timedelta(microseconds=1))
        self.events += len(_items.decode(payload)) if payload[:1] == b"[" else 1
        return super().message(self._stamp, subject, payload, headers)


def messages(events: int, seed: int = SEED) -> Iterator[StoredMessage]:
    """The first so many events of a cell's life; a hundredth as many problems trouble it."""
    history = History(max(events // 100, 20), seed)
    return itertools.takewhile(lambda _: history.events <= events, history.messages())


def _problems(count: int, chance: random.Random) -> Iterator[Problem]:
    workload = ""
    for number in range(count):
        if not number or chance.random() >= SHARING_A_TARGET:
            workload = f"workload-{number}"
        resolves = chance.random() < RESOLVING
        lasts = timedelta(seconds=10) if chance.random() < FLAPPING else timedelta(minutes=10)
        yield Problem(
            signal=_signal(number, workload, resolves=resolves, known=chance.random() >= TO_ANALYSE),
            failing=0.7 if chance.random() < UNRELIABLE else FAILING,
            lasts=lasts if resolves else None,
        )


def _signal(number: int, workload: str, *, resolves: bool, known: bool) -> SignalReceived:
    name = ("KubePodCrashLooping", "KubeDeploymentReplicasMismatch", "HighErrorRate", "DiskFilling")[number % 4]
    return SignalReceived(
        name=name,
        target=Target(workload, "eu-1", "shop", "Deployment"),
        severity="critical" if number % 3 else "warning",
        labels={"alertname": name, "namespace": "shop", "deployment": workload, "team": "checkout"},
        annotations={"summary": f"{workload} does not come up"},
        starts_at=START,
        fingerprint=f"{number:016x}",
        resolves=resolves,
        workflow=RESTART if known else None,
    )
