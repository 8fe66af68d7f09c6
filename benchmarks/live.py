"""Many live fingerprints, quickly: a log in which each is at something that routing still needs, made by the real
core without a broker, and poured into one that syncs nothing until all is there.

As a child process: pour such a log (`live`), or a cell's long life (`life`), into a server."""

import asyncio
import contextlib
import itertools
import os
import random
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from benchmarks import history, workload
from benchmarks.broker_cluster import HOST, PATIENCE_SECONDS, free_port
from benchmarks.publisher import UNDER_WAY_MAX
from benchmarks.stage import ROOT
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import binary
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogUnreachableError
from remediation_orchestrator.events import (
    CellName,
    Command,
    CreateWorkflow,
    OrchestratorStarted,
    SignalReceived,
    StoredMessage,
    Target,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    subjects,
)
from remediation_orchestrator.events.codec import join_frame
from remediation_orchestrator.events.identity import cell_name
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT, Policy, policy_of
from remediation_orchestrator.orchestrator.routing.projection import Projection

CELL = history.CELL
# Half a million bytes of signals, and as many of their verdicts.
AT_ONCE = 400
# Of ten signals on top: one proceeds, one is blocked, four repeat these, and four repeat what is live already.
ON_TOP = workload.Mix(group=6, busy=2)
KNOWN, OF_TEN = 4, 10
# How fast `benchmarks.history` lives: so a log of so many events ends a little before now.
SECONDS_AN_EVENT = 0.06

SHAPES = {
    "mixed": "ebbbffffff",
    "failed": "f",
    "completed": "c",
    "executing": "e",
    "blocked": "ebbbbbbbbb",
}
"""One letter a fingerprint, over and over: e is executing, b waits for the target of the e before it, the run of
f has failed and that of c completed, both ended and still counting."""
OPEN = "eb"
# Of the failed runs one in so many has left its target half-changed; a prime, so that every shape has its share.
HALF_WAY = 11


def patient() -> Policy:
    """The defaults, except that no time limit strikes while a benchmark lasts."""
    document = DEFAULT.document()
    return policy_of({**document, "timeouts": {**document["timeouts"], "starting": "24h", "executing": "24h"}})


class Population(history.History):
    """A cell with so many live fingerprints, and what becomes of signals on top of them."""

    def __init__(self, start: datetime, policy: Policy = DEFAULT) -> None:
        super().__init__(problems=1)
        self._now = start
        self._policy = policy
        self._told: list[tuple[str, bytes]] = []

    @property
    def view(self) -> Projection:
        """What routing knows."""
        return self._fold.view

    def live(self, count: int, shape: str, over: timedelta = timedelta()) -> Iterator[StoredMessage]:
        """Yield the log that brings so many fingerprints to life: first, in this time, those that have ended."""
        first = OrchestratorStarted(
            "bench", version("remediation-orchestrator"), "0badcafe", self._policy.document(), self._policy.digest
        )
        yield self._writer.begin(self._now, first)
        kinds = list(itertools.islice(itertools.cycle(SHAPES[shape]), count))
        numbers = sorted(range(count), key=lambda number: kinds[number] in OPEN)
        ended = sum(kind not in OPEN for kind in kinds)
        for start in range(0, count, AT_ONCE):
            together = numbers[start : start + AT_ONCE]
            bodies = [msgspec.json.encode(_signal(number, shape, kinds[number])) for number in together]
            self._now += over * (AT_ONCE / ended) if start < ended else timedelta()
            yield from self.arrive([join_frame(bodies)])
            told, self._told = self._told, []
            for subject, payload in told:
                yield self._writer.append(self._now, subject, payload, self._writer.expecting(subject))
            yield from self._round(self._now)

    def arrive(self, payloads: list[bytes]) -> Iterator[StoredMessage]:
        """Yield messages of signals, and the round that decides them."""
        self._now += timedelta(milliseconds=1)
        for payload in payloads:
            yield self._writer.append(self._now, subjects.signal(CELL, "bench"), payload)
        yield from self._round(self._now)

    def _answer(self, command: Command, now: datetime) -> None:
        """An executor that is done at once, in one message."""
        if not isinstance(command, CreateWorkflow):
            return
        run = command.execution
        facts: list[bytes] = [self._event(WorkflowStarted(run, executor="bench"), now)]
        if command.fingerprint.startswith("f"):
            safe = int(command.fingerprint[1:], 16) % HALF_WAY != 0
            failed = WorkflowFailed(run, "TaskFailed", "exit code 1", idempotent=safe, exit_code=1)
            facts.append(self._event(failed, now))
        elif command.fingerprint.startswith("c"):
            facts.append(self._event(WorkflowCompleted(run, output="restarted"), now))
        elif not command.fingerprint.startswith("e"):
            return
        self._told.append((subjects.execution(CELL, run), join_frame(facts)))


def _signal(number: int, shape: str, kind: str) -> SignalReceived:
    """Its fingerprint begins with what becomes of it."""
    pattern = SHAPES[shape]
    first = number - number % len(pattern) if kind in OPEN else number
    workload_name = f"workload-{first}"
    return SignalReceived(
        name="KubePodCrashLooping",
        target=Target(workload_name, "eu-1", "shop", "Deployment"),
        severity="critical",
        labels={"alertname": "KubePodCrashLooping", "namespace": "shop", "deployment": workload_name},
        annotations={"summary": f"{workload_name} does not come up"},
        starts_at=history.START,
        fingerprint=f"{kind}{number:015x}",
        resolves=kind != "f",  # Else it would be judged again for ever, and not end as Failed.
        workflow=history.RESTART,
    )


def on_top(count: int, live: int, shape: str, turn: int) -> list[bytes]:
    """Draw so many signals, four of ten about remediations that are open, the others about new problems.

    Whatever is live, the verdicts on them are the same; only what has to be looked up lies in a larger heap."""
    chance = random.Random(f"{workload.SEED}.{turn}")
    pattern = SHAPES[shape]
    still_open = [place for place, kind in enumerate(pattern) if kind in OPEN]
    assert still_open, f"{shape} leaves nothing open"
    known = count * KNOWN // OF_TEN
    fresh = workload.signals(count - known, ON_TOP, seed=chance.getrandbits(32), prefix=f"turn-{turn}-")
    drawn = [_repeated(chance, live, shape, still_open) for _ in range(known)]
    places = set(chance.sample(range(count), known))
    of_fresh, of_known = iter(fresh), iter(drawn)
    return [next(of_known) if place in places else next(of_fresh) for place in range(count)]


def _repeated(chance: random.Random, live: int, shape: str, still_open: list[int]) -> bytes:
    pattern = SHAPES[shape]
    number = chance.randrange(max(live // len(pattern), 1)) * len(pattern) + chance.choice(still_open)
    return msgspec.json.encode(_signal(number, shape, pattern[number % len(pattern)]))


# -- into a broker -------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def lax_server(folder: Path) -> AsyncIterator[str]:
    """A server on the store of an embedded one, which syncs when it likes: for what is made before measuring."""
    store = folder / "nats" / "store"
    store.mkdir(parents=True, exist_ok=True)
    port = free_port()
    file = folder / "lax.conf"
    file.write_text(
        f'listen: "{HOST}:{port}"\nlog_file: "{folder}/lax.log"\njetstream {{ store_dir: "{store}" }}\n'
    )
    process = await asyncio.create_subprocess_exec(binary(), "--config", str(file))
    try:
        url = f"nats://{HOST}:{port}"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await _answers(url):  # noqa: ASYNC110 - it says nothing by itself
                await asyncio.sleep(0.05)
        yield url
    finally:
        process.terminate()
        await process.wait()


async def _answers(url: str) -> bool:
    with contextlib.suppress(LogUnreachableError):
        async with connected(url):
            return True
    return False


async def pour(connection: Client, cell: CellName, messages: Iterable[StoredMessage]) -> int:
    """Store messages in a fresh cell in their order, many under way at once. Return how many there are."""
    log = await JetStreamLog.ensure(connection, cell)
    acknowledged = sent = 0
    progress = asyncio.Event()

    async def on_answer(answer: Msg) -> None:
        nonlocal acknowledged
        if b'"error"' in answer.data:
            raise RuntimeError(answer.data.decode())
        acknowledged += 1
        progress.set()

    inbox = connection.new_inbox()
    subscription = await connection.subscribe(inbox, cb=on_answer, pending_msgs_limit=0, pending_bytes_limit=0)
    for message in messages:
        while sent - acknowledged >= UNDER_WAY_MAX:
            progress.clear()
            await progress.wait()
        sent += 1
        subject = message.subject.replace(f".{CELL}.", f".{cell}.", 1)
        await connection.publish(subject, message.payload, reply=inbox)
    while acknowledged < sent:
        progress.clear()
        await progress.wait()
    await subscription.unsubscribe()
    if (stored := await log.last_sequence()) != sent:
        raise RuntimeError(f"{sent} messages were made, and {stored} are stored")
    return sent


async def fill(folder: Path, cells: dict[CellName, tuple[str, ...]]) -> None:
    """Make what each cell is to hold in the store of an embedded server, and have it on disk."""
    async with lax_server(folder) as url:
        for cell, (what, *arguments) in cells.items():
            command = ("-m", "benchmarks.live", what, url, cell, *arguments)
            process = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT)
            if await process.wait() != 0:
                raise RuntimeError(f"{cell} could not be filled")
    os.sync()  # Else what was made would be written while something else is measured.


def life(events: int) -> Iterator[StoredMessage]:
    """Yield so many events of a cell's life, which ends about now: what is live at its end is live today."""
    history.START = datetime.now(UTC) - timedelta(seconds=events * SECONDS_AN_EVENT)
    return history.messages(events)


async def _child(what: str, url: str, cell: str, *arguments: str) -> None:
    async with connected(url, name="bench") as connection:
        match what:
            case "live":
                made = Population(datetime.now(UTC), patient()).live(int(arguments[0]), arguments[1])
                await pour(connection, cell_name(cell), made)
            case "life":
                await pour(connection, cell_name(cell), life(int(arguments[0])))


if __name__ == "__main__":
    asyncio.run(_child(*sys.argv[1:]))
