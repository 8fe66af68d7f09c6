"""Who reads what anybody may publish. Each takes cases, and raises where the bytes have stopped it."""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from remediation_orchestrator.bus.memory import MemoryCell
from remediation_orchestrator.bus.port import LogError
from remediation_orchestrator.events import CellName, Position, Recorded, RoutingDecided, StoredMessage, decode
from remediation_orchestrator.events.codec import attributes_of, head_of
from remediation_orchestrator.events.stored import EXPECTED, export_line, import_line
from remediation_orchestrator.executor.analyser import Analyser
from remediation_orchestrator.executor.catalog import Catalog
from remediation_orchestrator.executor.engine import Run, RunOutcome, Stop, Succeeded
from remediation_orchestrator.executor.engines.script import Script
from remediation_orchestrator.executor.lease import ClaimLease, ConfirmSchedule
from remediation_orchestrator.executor.local import LocalEngine
from remediation_orchestrator.executor.ports import Ports
from remediation_orchestrator.executor.worker import Worker
from remediation_orchestrator.executor.workflow_file import Workflow, WorkflowFile
from remediation_orchestrator.gateway.access import OPEN, Authenticator
from remediation_orchestrator.gateway.door import Door
from remediation_orchestrator.gateway.sources import Rules, built_in
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator

from . import clock
from .catalogs import refresh
from .fuzz_promises import broken_by_reading
from .fuzz_records import MOMENT, FuzzMessage, Mutator
from .fuzz_verbs import read_by_every_verb
from .histories import tell
from .leads import lead_on
from .orchestrators import PACE, TTL

CELL = CellName("main")
GOOD = msgspec.json.encode({"name": "Good", "target": {"name": "checkout"}, "workflow": {"id": "restart"}})
GOOD_SUBJECT = "ro.main.signal.good"
# Of processor time. A message has at most a megabyte: a reader that takes longer over it has no bound.
MESSAGE_SECONDS = 1.0
# Far beyond what a crowded machine needs for it: somebody waits for something that never comes.
HUNG_SECONDS = 60.0
GZIP = b"\x1f\x8b"
# Whatever makes one reading differ from another does so in a short message, too.
SHORT_BYTES = 4_096
# Of virtual time: whatever is published meanwhile, a good signal is decided within it.
DECIDED_SECONDS = 900.0
# Without an expectation nothing is read any further where only whoever leads may write.
FENCED = {EXPECTED: "0"}


class StoppedError(Exception):
    """A reader was stopped, or held up, by what it read. The message says how."""


def read_one(cases: Sequence[FuzzMessage]) -> None:
    """`decode` gives values whatever the bytes, the same twice, and soon; and an export keeps them."""
    for case in cases:
        message = StoredMessage(3, MOMENT, case.subject, case.payload, case.headers or FENCED)
        begun = time.process_time()
        found = decode(message)
        if time.process_time() - begun > MESSAGE_SECONDS:
            raise StoppedError(f"decoding took longer than {MESSAGE_SECONDS:g} s")
        if not found and case.payload.strip() != b"[]" and b"[" not in case.payload[:16]:
            raise StoppedError("nothing was read, and nothing said")
        if len(case.payload) < SHORT_BYTES and repr(decode(message)) != repr(found):
            raise StoppedError("it was read differently the second time")
        for broken in broken_by_reading(message, found):
            raise StoppedError(broken)
        attributes_of(case.payload)
        if import_line(export_line(message)) != message:
            raise StoppedError("the exported line is another message")


def lead(cases: Sequence[FuzzMessage]) -> None:
    """An orchestrator that meets them still decides a good signal, and every verb reads its log."""
    messages = clock.run(_lead(cases))
    read_by_every_verb(messages)


async def _lead(cases: Sequence[FuzzMessage]) -> list[StoredMessage]:
    cell = MemoryCell(CELL, clock.broker_now)
    pace = msgspec.structs.replace(PACE, snapshot=1_000_000)
    process = clock.ProcessClock(clock.SkewedClock())
    lease = cell.lease(timedelta(seconds=TTL.total_seconds()))
    service = Orchestrator(cell.log(), lease, process, Identity("o1", "0"), pace=pace)
    task = asyncio.create_task(service.run())
    await asyncio.sleep(5)
    _store(cell, FuzzMessage(GOOD_SUBJECT, GOOD))
    await asyncio.sleep(5)
    for case in cases:
        if not _is_frame(case):
            _store(cell, case)
    good = _store(cell, FuzzMessage(GOOD_SUBJECT, GOOD.replace(b"Good", b"Better")))
    begun = asyncio.get_running_loop().time()
    while not _is_decided(cell, good):
        if task.done():
            raise StoppedError(f"the orchestrator ended: {task.exception()!r}") from task.exception()
        if asyncio.get_running_loop().time() > begun + DECIDED_SECONDS:
            raise StoppedError(f"a good signal is not decided after {DECIDED_SECONDS:g} s")
        await asyncio.sleep(10)
    return cell.messages


def _is_frame(case: FuzzMessage) -> bool:
    """Whether it is a whole frame: only an orchestrator may say one, and one that fits nothing is a broken log."""
    message = StoredMessage(3, MOMENT, case.subject, case.payload, case.headers or FENCED)
    return case.subject == "ro.main.decision" and head_of(message) is not None


def _store(cell: MemoryCell, case: FuzzMessage) -> int:
    with suppress(LogError):  # The broker refuses what is none of the log's subjects.
        newest = cell.newest(case.subject)
        return cell.store(case.subject, case.payload, 0 if newest is None else newest.sequence, None)
    return 0


def _is_decided(cell: MemoryCell, sequence: int) -> bool:
    verdicts = (
        record.event.signal
        for message in cell.messages[sequence:]
        if message.subject == "ro.main.decision"
        for record in decode(message)
        if isinstance(record, Recorded) and isinstance(record.event, RoutingDecided)
    )
    return Position(str(sequence)) in verdicts


class _Given:
    """A delivery that is always confirmed."""

    def __init__(self, case: FuzzMessage, sequence: int) -> None:
        self.command = StoredMessage(sequence, clock.broker_now(), case.subject, case.payload, FENCED)
        self.number = 1

    async def confirm(self) -> None:
        """It is."""

    async def acknowledge(self) -> None:
        """It is."""

    async def pass_on(self, seconds: float) -> None:
        """Nobody else is there."""


def _catalog() -> Catalog:
    program = Script(command=[sys.executable])
    return Catalog({"a": Workflow(WorkflowFile(id="a"), program, Path("/catalog/a.yaml"), "a")})


async def _succeed(_run: Run, _stop: Stop) -> RunOutcome:
    return Succeeded("")


def execute(cases: Sequence[FuzzMessage]) -> None:
    """An executor and an analyser answer what they are given, also where others have written on its subject."""
    for case in cases:
        clock.run(_execute(case))


async def _execute(case: FuzzMessage) -> None:
    cell, served = MemoryCell(CELL, clock.broker_now), _catalog()
    now = asyncio.get_running_loop().time
    engines = {"script": LocalEngine(_succeed)}
    worker = Worker("e1", Ports(cell.log(), lambda: served, engines, now, clock.broker_now, {}))
    analyser = Analyser("e1", cell.log(), lambda: served, clock.broker_now)
    _store(cell, FuzzMessage("ro.main.execution.wfe-3", case.payload))
    _store(cell, FuzzMessage("ro.main.analysis.rr-3", case.payload))
    async with asyncio.timeout(DECIDED_SECONDS):
        for name in ("wfe-2", "wfe-3"):
            delivery = _Given(FuzzMessage(f"ro.main.command.workflow.{name}", case.payload), 2)
            await worker.handle(delivery, ClaimLease(ConfirmSchedule(30.0), now, now()))
        for name in ("rr-2-a1", "rr-3-a1", "odd"):
            await analyser.handle(_Given(FuzzMessage(f"ro.main.command.analyze.{name}", case.payload), 2))


def knock(cases: Sequence[FuzzMessage]) -> None:
    """The door answers every body in its own words, and stores nothing that cannot be read."""
    asyncio.run(_knock(cases))


async def _knock(cases: Sequence[FuzzMessage]) -> None:
    cell = MemoryCell(CELL, lambda: MOMENT)
    door = Door(cell.log(), built_in(), Rules(), Authenticator(OPEN))
    await door.open()
    running = asyncio.create_task(door.run())
    try:
        for case in cases:
            begun = time.process_time()
            status = await _post(door, case)
            if not 200 <= status < 500:
                raise StoppedError(f"the door answers {status}")
            if time.process_time() - begun > MESSAGE_SECONDS:
                raise StoppedError(f"the door worked longer than {MESSAGE_SECONDS:g} s on one body")
        for message in cell.messages:
            if not any(isinstance(one, Recorded) for one in decode(message)):
                raise StoppedError("the door stored what holds no signal")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _post(door: Door, case: FuzzMessage) -> int:
    body, kind = case.payload, b"application/json"
    if case.subject.endswith("cloudevents"):
        kind = b"application/cloudevents-batch+json" if body[:1] == b"[" else b"application/cloudevents+json"
    headers = [(b"host", b"door"), (b"content-type", kind), (b"content-length", str(len(body)).encode())]
    if body[:2] == GZIP:
        headers.append((b"content-encoding", b"gzip"))
    scope = {
        "type": "http",
        "method": "POST",
        "path": case.subject,
        "headers": headers,
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "server": ("door", 80),
        "http_version": "1.1",
    }
    sent: list[Any] = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        while not waiting:
            await asyncio.Event().wait()
        return waiting.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    async with asyncio.timeout(HUNG_SECONDS):
        await door.app(scope, receive, send)
    return int(sent[0]["status"]) if sent else 0


def run_verbs(cases: Sequence[FuzzMessage]) -> None:
    """The verbs themselves, each a process, over an exported log: an answer, a "no", and never a fault of ours."""
    messages = clock.run(_lead(cases))
    with tempfile.TemporaryDirectory(prefix="ro-fuzz-") as folder:
        path = Path(folder) / "log.jsonl"
        path.write_bytes(b"".join(export_line(message) + b"\n" for message in messages))
        for verb in VERBS:
            command = [sys.executable, "-m", "remediation_orchestrator.cli.main", *verb, "--log", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=HUNG_SECONDS, check=False)
            if done.returncode not in ANSWERS:
                raise StoppedError(f"ro {' '.join(verb)} ends with {done.returncode}: {done.stderr[-200:]}")


VERBS = (
    *(["audit"], ["list"], ["replay"], ["backtest"], ["show", "2"], ["explain", "2"], ["timeline", "2"]),
    *(["list", "--json"], ["audit", "--json"]),
)
# All is well, "no", and what was given cannot be taken.
ANSWERS = (0, 1, 2)
Target = Callable[[Sequence[FuzzMessage]], None]


class Reader(Struct, frozen=True):
    """One of those who read: what takes cases, what kind of cases, and how many at a time."""

    take: Target
    case: Callable[[Mutator], FuzzMessage]
    together: int
    """A cell costs more to set up than a call, and a process more than a cell."""
    share: float = 1.0
    """Of the cases that are asked for: a history costs as much as a hundred records."""


def decide(cases: Sequence[FuzzMessage]) -> None:
    """An orchestrator keeps every promise about its log, whatever history it is told."""
    for case in cases:
        for broken in tell(case.payload):
            raise StoppedError(broken)


def take_part(cases: Sequence[FuzzMessage]) -> None:
    """Of two orchestrators the one leads that should, whatever becomes of them."""
    for case in cases:
        for broken in lead_on(case.payload):
            raise StoppedError(broken)


def serve(cases: Sequence[FuzzMessage]) -> None:
    """An executor serves what its folder has, and its analyser chooses what fits."""
    for case in cases:
        for broken in refresh(case.payload):
            raise StoppedError(broken)


READERS = {
    "decode": Reader(read_one, Mutator.case, 1_000, 4.0),
    "histories": Reader(decide, Mutator.history, 10, 0.3),
    "leads": Reader(take_part, Mutator.short, 10, 0.03),
    "catalogs": Reader(serve, Mutator.short, 10, 0.03),
    "orchestrator": Reader(lead, Mutator.case, 60),
    "executor": Reader(execute, Mutator.case, 30),
    "door": Reader(knock, Mutator.body, 100),
    "verbs": Reader(run_verbs, Mutator.case, 200),
}
