"""Snapshots on the real server: used when everything matches, and ignored when anything does not."""

import asyncio
import itertools
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from cell import PATIENCE_SECONDS, bare, events_of, findings, folded, orchestrator, running, tell, wait_for
from msgspec.structs import replace
from nats.aio.client import Client

from remediation_orchestrator.bus import api, topology
from remediation_orchestrator.bus.clock import BrokerClock
from remediation_orchestrator.bus.feed import Feed
from remediation_orchestrator.bus.file import FileSnapshots
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.lease import JetStreamLease
from remediation_orchestrator.bus.marks import HEADERS
from remediation_orchestrator.bus.memory import MemorySnapshots
from remediation_orchestrator.bus.port import EventLog, LogError, SnapshotStore
from remediation_orchestrator.bus.snapshots import CHUNK_BYTES, JetStreamSnapshots
from remediation_orchestrator.events import (
    CellName,
    CreateWorkflow,
    Duplicate,
    ExecutionId,
    OrchestratorStarted,
    RoutingDecided,
    StoredMessage,
    WorkflowFailed,
    WorkflowStarted,
    subjects,
)
from remediation_orchestrator.orchestrator.lead import LeaderSettings
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.snapshot import SnapshotError
from remediation_orchestrator.orchestrator.service import Identity, Orchestrator
from remediation_orchestrator.orchestrator.snapshots import begin, image_of, keep, read_head, resume


async def lived(log: JetStreamLog, connection: Client) -> None:
    """A log with something of everything that a projection keeps for long."""
    async with running(await orchestrator(connection, log.cell)):
        place = await log.append(subjects.signal(log.cell, "test"), bare(resolves=True))
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow))
        run = ExecutionId(f"wfe-{place}")
        await tell(log, WorkflowStarted(run), run)
        await tell(log, WorkflowFailed(run, reason="TaskFailed", idempotent=True), run)
        for number in range(30):
            last = await log.append(
                subjects.signal(log.cell, "test"), bare(target=f"t{number % 7}", name=f"n{number % 11}")
            )
        await wait_for(log, lambda event: isinstance(event, RoutingDecided) and event.signal == str(last))


async def snapshot_in(store: SnapshotStore, log: JetStreamLog) -> Fold:
    """Keep a snapshot behind the log's newest frame."""
    fold = Fold()
    newest = await log.last(subjects.decision(log.cell))
    assert newest is not None
    async for message in log.read():
        if message.sequence <= newest.sequence:
            fold.take(message)
    await keep(store, image_of(fold, newest.payload))
    return fold


async def gone_on(fold: Fold, log: JetStreamLog) -> Fold:
    """Read what is behind a fold."""
    async for message in log.read(fold.read + 1):
        fold.take(message)
    return fold


@pytest.fixture(params=["broker", "memory", "file"])
def store(request: pytest.FixtureRequest, connection: Client, cell: CellName, tmp_path: Path) -> SnapshotStore:
    """Each place in which a snapshot may be kept."""
    match request.param:
        case "broker":
            return JetStreamSnapshots(connection, cell)
        case "memory":
            return MemorySnapshots()
        case _:
            return FileSnapshots(tmp_path / "log.jsonl")


async def test_a_fold_goes_on_from_a_snapshot_as_if_it_had_read_everything(
    log: JetStreamLog, connection: Client, store: SnapshotStore
) -> None:
    """Every table, the chain, and what wakes it next."""
    assert await store.newest() is None
    await lived(log, connection)
    await snapshot_in(store, log)
    resumed = await resume(Kept(log, store))
    assert resumed is not None
    assert resumed.read > 30
    whole = await folded(log)
    await gone_on(resumed, log)
    assert resumed.view.tables() == whole.view.tables()
    assert resumed.view.next_wakeup() == whole.view.next_wakeup()
    assert resumed.chain.previous(resumed.read) == whole.chain.previous(whole.read)


async def test_an_orchestrator_writes_snapshots_while_it_decides_and_the_next_one_begins_from_them(
    log: JetStreamLog, connection: Client, cell: CellName
) -> None:
    """It reads what is behind the snapshot and nothing before, and what it decides audits clean."""
    store = JetStreamSnapshots(connection, cell)
    lease = await JetStreamLease.open(connection, cell)

    def service(name: str, log: EventLog) -> Orchestrator:
        identity = Identity(name, version("remediation-orchestrator"))
        clock = BrokerClock(datetime.now(UTC))
        return Orchestrator(log, lease, clock, identity, pace=LeaderSettings(snapshot=10))

    async with running(service("o1", log)):
        for number in range(60):
            last = await log.append(subjects.signal(cell, "test"), bare(target=f"t{number}"))
            await asyncio.sleep(0.002)
        await wait_for(log, lambda event: isinstance(event, RoutingDecided) and event.signal == str(last))
        async with asyncio.timeout(5):
            while await store.newest() is None:  # noqa: ASYNC110 - nobody tells when it is there
                await asyncio.sleep(0.01)
    reading = Kept(log, store)
    second = service("o2", cast(EventLog, reading))
    async with running(second):
        await log.append(subjects.signal(cell, "test"), bare(target="t1"))
        await wait_for(
            log, lambda event: isinstance(event, RoutingDecided) and isinstance(event.verdict, Duplicate)
        )
        assert second.fold.view.tables() == (await folded(log)).view.tables()
    assert reading.starts[0] > 10
    assert await findings(log) == []


@pytest.mark.parametrize("what", ["schema", "code", "frame", "sequence", "digest"])
async def test_a_snapshot_of_which_anything_does_not_match_is_ignored(
    log: JetStreamLog, connection: Client, what: str
) -> None:
    """The log is folded from its beginning instead."""
    await lived(log, connection)
    store = MemorySnapshots()
    await snapshot_in(store, log)
    newest = await store.newest()
    assert newest is not None
    head = read_head(newest[0])
    wrong = {"schema": 99, "sequence": 1}.get(what, "f" * 64)
    store._newest = msgspec.json.encode(replace(head, **{what: wrong})), list(newest[1])
    with pytest.raises(SnapshotError):
        await resume(Kept(log, store))
    assert (await begin(Kept(log, store))).read == 0


async def test_what_is_cut_short_or_no_snapshot_at_all_is_ignored(log: JetStreamLog, tmp_path: Path) -> None:
    """In a file as on the broker."""
    store = FileSnapshots(tmp_path / "log.jsonl")
    for written in (b"", b"no zstd", b"\x28\xb5\x2f\xfd"):
        store.path.write_bytes(written)
        with pytest.raises(LogError):
            await store.newest()
        assert (await begin(Kept(log, store))).read == 0


async def test_a_broker_that_lost_some_of_it_has_no_snapshot(
    log: JetStreamLog, connection: Client, cell: CellName
) -> None:
    """Another writer's purge may come in between."""
    store = JetStreamSnapshots(connection, cell)
    await lived(log, connection)
    await snapshot_in(store, log)
    info = await api.stream_info(connection, topology.SNAPSHOTS.stream)
    assert info is not None
    await api.call(connection, f"STREAM.PURGE.{topology.SNAPSHOTS.stream}", {"seq": info.state.last_seq}, api.Done)
    assert (await begin(Kept(log, store))).read == 0


async def test_the_newest_snapshot_takes_the_place_of_those_before_it(
    log: JetStreamLog, connection: Client, cell: CellName
) -> None:
    """And leaves those of other cells alone."""
    store = JetStreamSnapshots(connection, cell)
    other = JetStreamSnapshots(connection, CellName(f"{cell[:20]}-other"))
    await lived(log, connection)
    await snapshot_in(other, log)
    for _ in range(3):
        await snapshot_in(store, log)
    info = await api.stream_info(connection, topology.SNAPSHOTS.stream)
    assert info is not None
    assert await other.newest() is not None
    assert info.state.messages <= 4 or info.state.last_seq > 8  # Other tests keep snapshots here, too.
    assert await resume(Kept(log, store)) is not None


async def test_a_snapshot_that_another_replaces_while_it_is_read_is_followed_by_that_one(
    connection: Client, cell: CellName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parts are taken away between their reader's two questions; nothing more would ever come."""
    store = JetStreamSnapshots(connection, cell)
    await store.save([random.randbytes(4 * CHUNK_BYTES)], lambda _: b'"first"')
    ask, asked = Feed._ask, itertools.count()

    async def ask_too_late(feed: Feed) -> None:
        if next(asked) == 0:
            await store.save([b"part"], lambda _: b'"second"')
        await ask(feed)

    monkeypatch.setattr(Feed, "_ask", ask_too_late)
    async with asyncio.timeout(PATIENCE_SECONDS):
        found = await store.newest()
    assert found is not None
    assert (found[0], list(found[1])) == (b'"second"', [b"part"])


async def test_garbage_in_the_place_of_the_newest_snapshot_is_ignored(
    log: JetStreamLog, connection: Client, cell: CellName
) -> None:
    """Whoever may write there may write anything: junk is passed over, and what looks like ours is ignored."""
    store = JetStreamSnapshots(connection, cell)
    await lived(log, connection)
    await snapshot_in(store, log)
    subject = topology.SNAPSHOTS.subject(cell, "newest")
    begun = (await begin(log)).read
    assert begun > 0
    for garbage in (b"", b"no JSON", b"{}", b'{"head":1,"subject":"a b","first":1,"messages":0}'):
        await connection.request(subject, garbage)
        assert (await begin(log)).read == begun
        await connection.request(subject, garbage, headers=HEADERS)
        assert (await begin(log)).read == 0
        await snapshot_in(store, log)


async def test_a_part_of_a_table_that_nobody_knows_is_no_part(log: JetStreamLog, connection: Client) -> None:
    """It is ignored like every other snapshot that cannot be read."""
    await lived(log, connection)
    store = MemorySnapshots()
    await snapshot_in(store, log)
    newest = await store.newest()
    assert newest is not None
    for table in (b"nobody", b"names", b"view"):
        store._newest = newest[0], [b'{"table":"%s","rows":[]}' % table]
        with pytest.raises(SnapshotError):
            await resume(Kept(log, store))


async def test_a_snapshot_behind_which_facts_were_archived_is_ignored(
    log: JetStreamLog, connection: Client
) -> None:
    """Its frame may still be there when a fact that it does not cover is gone already."""
    await lived(log, connection)
    store = MemorySnapshots()
    await snapshot_in(store, log)
    kept = Kept(log, store)
    resumed = await resume(kept)
    assert resumed is not None
    kept.at_first = [resumed.read + 2]
    with pytest.raises(SnapshotError, match="begins at"):
        await resume(kept)


async def test_nobody_leads_who_has_missed_a_record(log: JetStreamLog, connection: Client, cell: CellName) -> None:
    """What is taken away while it is read from its beginning leaves a hole, and a fold over a hole is wrong."""
    await lived(log, connection)
    newest = await log.last(subjects.decision(cell))
    assert newest is not None
    kept = Kept(log, MemorySnapshots())
    kept.before_reading = lambda: log.purge(newest.sequence)
    lease = await JetStreamLease.open(connection, cell)
    clock = BrokerClock(datetime.now(UTC))
    identity = Identity("o2", version("remediation-orchestrator"))
    service = Orchestrator(cast(EventLog, kept), lease, clock, identity)
    running_it = asyncio.create_task(service.run())
    async with asyncio.timeout(5):
        while "not whole" not in (await service.why_not_ready() or ""):  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.01)
    assert not service.active.is_set()
    service.stop()
    await running_it


class Kept:
    """A log with its snapshots where we want them, of which we see where it is read from."""

    def __init__(self, log: JetStreamLog, store: SnapshotStore) -> None:
        self._log = log
        self.snapshots = store
        self.starts: list[int] = []
        self.at_first: list[int] = []
        """Where it is said to begin, until that is used up."""
        self.before_reading: Callable[[], Awaitable[None]] | None = None

    async def first_sequence(self) -> int:
        """The sequence of the oldest message of the log."""
        return self.at_first.pop() if self.at_first else await self._log.first_sequence()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def read(self, start: int = 1, *, follow: bool = False) -> AsyncGenerator[StoredMessage, None]:
        """Yield every message from there on."""
        self.starts.append(start)
        if self.before_reading is not None:
            await self.before_reading()
        async for message in self._log.read(start, follow=follow):
            yield message


async def test_a_snapshot_stream_that_is_deleted_is_made_again_and_deposes_nobody(
    log: JetStreamLog, connection: Client, cell: CellName
) -> None:
    """It is a cache: who leads writes the next one into another."""
    store = JetStreamSnapshots(connection, cell)
    lease = await JetStreamLease.open(connection, cell)
    identity, clock = Identity("o1", version("remediation-orchestrator")), BrokerClock(datetime.now(UTC))
    async with running(Orchestrator(log, lease, clock, identity, pace=LeaderSettings(snapshot=10))):
        for life in range(2):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await store.newest() is None:
                    await log.append(subjects.signal(cell, "test"), bare(target=f"t{life}"))
            await connection.jetstream().delete_stream(topology.SNAPSHOTS.stream)
        last = await log.append(subjects.signal(cell, "test"), bare(target="after"))
        await wait_for(log, lambda event: isinstance(event, RoutingDecided) and event.signal == str(last))
    assert sum(isinstance(event, OrchestratorStarted) for event in await events_of(log)) == 1
